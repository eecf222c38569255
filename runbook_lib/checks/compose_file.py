"""What a compose file risks, found before anything of it is started."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from runbook_lib.environment import Environment
from runbook_lib.platforms import compose_file
from runbook_lib.platforms.compose_file import ComposeFile
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, check

STORES: Final = ("postgres", "postgresql", "postgis", "mysql", "mariadb", "mongo", "redis", "valkey", "memcached")
STORE_PORTS: Final = (3306, 5432, 6379, 11211, 27017)
DEFAULT: Final = re.compile(r"(?<!\$)\$\{(\w+):?-([^}]+)\}")
"""``${NAME:-default}`` and ``${NAME-default}``; ``$${…}`` is no variable."""
SECRET_NAME: Final = re.compile(r"PASS|SECRET|TOKEN|(?:^|_)KEY(?:$|_)", re.IGNORECASE)
PASSWORD_IN_URL: Final = re.compile(r"://[^:/@\s]*:[^@\s]+@")
PORT: Final = re.compile(
    r"(?:(?P<host>\[[^]]*\]|[\d.]+):)?(?:(?P<published>[\d-]*):)?(?P<target>[\d-]+)(?:/(?P<protocol>\w+))?"
)
KEEPS_ITSELF_SMALL: Final = ("local", "journald")
"""Log drivers that rotate by themselves (https://docs.docker.com/engine/logging/configure/)."""


@dataclass(frozen=True)
class Risk:
    """One thing that is wrong with one service: `name` is ``service.kind``."""

    name: str
    seen: str
    remedy: str


@dataclass(frozen=True)
class Published:
    """One port of the host, and where it leads; `host` is empty for every address, `port` None for any free one."""

    service: str
    host: str
    port: int | None
    target: int
    protocol: str

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return bool(self.host) and ip_address(self.host).is_loopback


@check("The compose file of {release} publishes nothing that is private")
def stores_unpublished(env: Environment, release: Release) -> Finding:
    """12.4: no database or cache beyond loopback, by the file. Raises NotApplicable on other platforms."""
    return _judged(env, release, (exposed_stores,))


@check("The compose file of {release} can be deployed")
def acceptable(env: Environment, release: Release) -> Finding:
    """8.1: none of the file's risks is there that ``platform.accepted_risks`` does not name, with its reason.

    Raises
    ------
    NotApplicable
        The platform has no compose file.
    Unanswerable
        The file is missing, or Compose finds errors in it.
    """
    declared = compose_file.settings_of(env).services
    return _judged(env, release, (*RISKS, partial(unknown_services, declared)))


def _judged(env: Environment, release: Release, kinds: tuple[Callable[[ComposeFile], Iterator[Risk]], ...]) -> Finding:
    settings = compose_file.settings_of(env)
    file = compose_file.read(env, release)
    found = [risk for kind in kinds for risk in kind(file)]
    open_ones = [risk for risk in found if risk.name not in settings.accepted_risks]
    rows = tuple((r.name, r.seen, settings.accepted_risks.get(r.name, f"to do: {r.remedy}")) for r in found)
    return Finding(
        ok=not open_ones,
        observed={risk.name: risk.seen for risk in open_ones} or f"{len(file.services)} services, no open risk",
        expected=f"no risk in {file.path.name} that platform.accepted_risks does not name",
        remedy="; ".join(f"{risk.name}: {risk.remedy}" for risk in open_ones),
        tables=(Table(("risk", "what the file says", "accepted because"), rows),) if rows else (),
    )


def unknown_services(declared: Sequence[str], file: ComposeFile) -> Iterator[Risk]:
    """Services of ``platform.services`` that the release does not have, as after a renaming."""
    for name in declared:
        if name not in file.services:
            there = ", ".join(file.services)
            yield Risk(f"{name}.unknown", f"the file has {there}", "correct platform.services, or the file")


def exposed_stores(file: ComposeFile) -> Iterator[Risk]:
    """Databases and caches that other machines reach."""
    for name, settings in file.services.items():
        ports = published(name, settings)
        if not _is_store(settings) and not any(port.target in STORE_PORTS for port in ports):
            continue
        beyond = [port for port in ports if not port.on_loopback]
        if beyond:
            where = ", ".join(f"{port.host or '*'}:{port.port or 'any'}" for port in beyond)
            yield Risk(f"{name}.exposed", f"published at {where}", "remove its ports, or publish at 127.0.0.1 only")
        elif settings.get("network_mode") == "host":
            yield Risk(f"{name}.exposed", "it shares the host's network", "give it a network of the project")


def double_ports(file: ComposeFile) -> Iterator[Risk]:
    """Two services that want the same port of the host."""
    wanted: dict[tuple[int, str], list[Published]] = defaultdict(list)
    for name, settings in file.services.items():
        for port in published(name, settings):
            if port.port is None:
                continue
            rivals = [one for one in wanted[port.port, port.protocol] if one.service != name and _collide(one, port)]
            if rivals:
                yield Risk(
                    f"{name}.port",
                    f"{rivals[0].service} publishes {port.port}/{port.protocol} too",
                    "give one of them another port",
                )
            wanted[port.port, port.protocol].append(port)


def default_passwords(file: ComposeFile) -> Iterator[Risk]:
    """Secrets that have a value where nobody sets one; the value itself is not told."""
    lines = [line for line in file.text.splitlines() if not line.lstrip().startswith("#")]
    names = {
        name
        for name, value in DEFAULT.findall("\n".join(lines))
        if SECRET_NAME.search(name) or PASSWORD_IN_URL.search(value)
    }
    for name in sorted(names):
        yield Risk(
            f"{name}.default", "the file gives it a default", f"write ${{{name}:?set it}}, and set it in the .env file"
        )


def moving_images(file: ComposeFile) -> Iterator[Risk]:
    """Images that may be another one tomorrow; what is built from the release runs on the release's own images."""
    for name, settings in file.services.items():
        reference = str(settings.get("image", ""))
        if "build" in settings or "@sha256:" in reference:
            continue
        tag = reference.removeprefix(compose_file.repository(reference)).removeprefix(":")
        if tag in ("", "latest"):
            yield Risk(f"{name}.latest", f"{reference} has the tag latest", "name a version")
        yield Risk(f"{name}.digest", f"{reference} has no digest", "write name:version@sha256:…")


def unwatched(file: ComposeFile) -> Iterator[Risk]:
    """Services of which nobody knows whether they work; the file alone is read, as the image may not be there yet."""
    for name, settings in file.services.items():
        probe = settings.get("healthcheck") or {}
        if not probe.get("test") or probe.get("disable") or probe["test"] in ("NONE", ["NONE"]):
            yield Risk(
                f"{name}.healthcheck",
                "no health check in the file",
                "give it a healthcheck (or accept this, where its image has one)",
            )


def unrestarted(file: ComposeFile) -> Iterator[Risk]:
    """Services that stay down after the machine or they themselves went down."""
    for name, settings in file.services.items():
        if settings.get("restart") in (None, "no", False):
            yield Risk(f"{name}.restart", "no restart policy", "write restart: unless-stopped")


def unrotated(file: ComposeFile) -> Iterator[Risk]:
    """Services whose log fills the disk, or is kept nowhere."""
    for name, settings in file.services.items():
        logging = settings.get("logging") or {}
        options = logging.get("options") or {}
        driver = logging.get("driver") or "json-file"
        if driver == "none":
            yield Risk(f"{name}.logging", "its log is thrown away", "use the driver json-file or journald")
        elif driver == "json-file" and not {"max-size", "max-file"} <= options.keys():
            yield Risk(f"{name}.logging", "its log is not rotated", "set max-size and max-file, or use journald")


RISKS: Final = (exposed_stores, double_ports, default_passwords, moving_images, unwatched, unrestarted, unrotated)


def published(service: str, settings: Mapping[str, Any]) -> tuple[Published, ...]:
    """The service's published ports, as v1 (``127.0.0.1:80:80/tcp``, or a mapping) or v2 (a mapping) writes them."""
    return tuple(port for entry in settings.get("ports") or () for port in _ports(service, entry))


def _ports(service: str, entry: Any) -> Iterator[Published]:
    if isinstance(entry, Mapping):
        values = {key: str(entry.get(key) or "") for key in ("published", "target", "protocol")}
        values["host"] = str(entry.get("host_ip") or "")
    else:
        found = PORT.fullmatch(str(entry))
        if found is None:
            raise ValueError(f"the port '{entry}' of {service} is not understood")
        values = {key: value or "" for key, value in found.groupdict().items()}
    host, protocol = values["host"].strip("[]"), values["protocol"] or "tcp"
    targets = _range(values["target"])
    outside = _range(values["published"]) if values["published"] else [None] * len(targets)
    if len(targets) == 1:
        targets = targets * len(outside)
    for port, target in zip(outside, targets, strict=True):
        yield Published(service, host, port, target, protocol)


def _range(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _collide(one: Published, other: Published) -> bool:
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 (compared with, not bound to)
    return one.host == other.host or one.host in everywhere or other.host in everywhere


def _is_store(settings: Mapping[str, Any]) -> bool:
    image = compose_file.repository(str(settings.get("image", "")))
    return image.rpartition("/")[2].lower() in STORES
