"""Where everything of a stack lies, and on which ports it listens."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from runbook_lib.errors import ConfigurationError

EDGE = "127.0.0.2"
"""Where the edges listen: loopback, yet not where the services do, so that *public* and *private* can be told apart."""
INNER = "127.0.0.1"
PORTS_EACH = 200
"""How many successive ports a stack has to itself; phase 12 scans them all."""
_FIRST, _LAST = 20_000, 32_600  # below the ports that Linux hands out to clients
_ATTEMPTS = 50


@dataclass(frozen=True)
class Ports:
    """The ports of one stack, all within `PORTS_EACH` from `base`."""

    base: int

    @property
    def https(self) -> int:
        """The edge."""
        return self.base

    @property
    def http(self) -> int:
        """The edge's redirect."""
        return self.base + 1

    @property
    def backend(self) -> int:
        """The application."""
        return self.base + 2

    @property
    def database(self) -> int:
        """PostgreSQL."""
        return self.base + 3

    @property
    def cache(self) -> int:
        """Valkey."""
        return self.base + 4

    @property
    def tracker(self) -> int:
        """The error tracker; used in the stack that it runs with."""
        return self.base + 5

    @property
    def sink(self) -> int:
        """Where alerts and announcements arrive, and the status page is."""
        return self.base + 6

    @property
    def frontend(self) -> int:
        """The page, where a server of its own hands it to the edge."""
        return self.base + 7

    @property
    def last(self) -> int:
        """The last port of the stack's range."""
        return self.base + PORTS_EACH - 1

    def free(self) -> bool:
        """Whether nobody listens on any of them."""
        return all(_free(address, port) for address in (INNER, EDGE) for port in range(self.base, self.frontend + 1))


def choose_ports(taken: tuple[Ports, ...]) -> Ports:
    """A free range of ports beside those in `taken`. Raises ConfigurationError where none is found."""
    for _ in range(_ATTEMPTS):
        ports = Ports(random.randrange(_FIRST, _LAST - PORTS_EACH, PORTS_EACH))  # noqa: S311 (no secret)
        if ports not in taken and _wholly_free(ports):
            return ports
    raise ConfigurationError(
        f"No {PORTS_EACH} successive free ports on {INNER} and {EDGE} between {_FIRST} and {_LAST}; "
        f"free some, and check that this system has {EDGE} ('ping {EDGE}')."
    )


def _wholly_free(ports: Ports) -> bool:
    return all(_free(address, port) for address in (INNER, EDGE) for port in range(ports.base, ports.last + 1))


def _free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # So that only listeners count, and not connections that were closed a moment ago.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class Stack:
    """The folders and files of one of the sandbox's two stacks."""

    root: Path
    name: str

    @property
    def kind(self) -> str:
        """The kind of its environment."""
        return "staging" if self.name.endswith("staging") else "sandbox"

    @property
    def host(self) -> str:
        """The name that its certificate carries beside the address."""
        return f"{self.kind}.localhost"

    @property
    def folder(self) -> Path:
        """All that belongs to this stack alone."""
        return self.root / self.name

    @property
    def environment(self) -> Path:
        """Its environment's TOML."""
        return self.root / "environments" / f"{self.name}.toml"

    @property
    def dotenv(self) -> Path:
        """The application's settings."""
        return self.folder / ".env"

    @property
    def logs(self) -> Path:
        """One file for each program."""
        return self.folder / "logs"

    @property
    def backups(self) -> Path:
        """Database dumps."""
        return self.folder / "backups"

    @property
    def schedules(self) -> Path:
        """What supervisord runs besides the services, such as the daily backup."""
        return self.folder / "schedules"

    @property
    def platform(self) -> Path:
        """Images, deployments and the link ``current``."""
        return self.folder / "platform"

    @property
    def database(self) -> Path:
        """PostgreSQL's data."""
        return self.folder / "postgres"

    @property
    def cache(self) -> Path:
        """Valkey's configuration and data."""
        return self.folder / "valkey"

    @property
    def edge(self) -> Path:
        """Caddy's configuration, certificate and data."""
        return self.folder / "caddy"

    @property
    def sink(self) -> Path:
        """What arrived at the sink."""
        return self.folder / "sink"

    @property
    def edge_marker(self) -> Path:
        """While this file exists the edge answers 503."""
        return self.edge / "closed"

    @property
    def edge_bypass(self) -> Path:
        """The secret that passes the closed edge."""
        return self.edge / "bypass.env"

    @property
    def runtime(self) -> Path:
        """Supervisord's socket and process id: a short path, since a socket's may have some hundred bytes only."""
        digest = hashlib.sha256(os.fspath(self.folder).encode()).hexdigest()[:12]
        return Path("/tmp") / f"runbook-{os.getuid()}-{digest}"  # noqa: S108 (its owner and mode are checked)

    @property
    def socket(self) -> Path:
        """Where supervisord is spoken to."""
        return self.runtime / "supervisor.sock"

    def ports(self) -> Ports | None:
        """The ports chosen earlier, None before the first start."""
        path = self.folder / "ports.json"
        return Ports(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def keep(self, ports: Ports) -> None:
        """Remember the ports."""
        write(self.folder / "ports.json", json.dumps(asdict(ports)))


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file in one step: whoever reads it sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}-{os.getpid()}")
    new.touch(mode=mode)
    new.write_text(text, encoding="utf-8")
    new.replace(path)
