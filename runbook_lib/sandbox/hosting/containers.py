"""Services as containers, by Docker Compose and the application's own ``docker-compose.sandbox.yml``.

Their data lies in the stack's folder as the embedded sandbox's does, so that the password in its .env file and the
database that knows it are made, kept and removed together. The engine must be this machine's: the containers use
the host's network.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runbook_lib import environment, platforms
from runbook_lib import release as releases
from runbook_lib.errors import ConfigurationError
from runbook_lib.platforms import compose_engine, compose_file
from runbook_lib.sandbox import daemon, edge, first_release, postgres, valkey
from runbook_lib.sandbox.daemon import Program
from runbook_lib.sandbox.hosting import base_image
from runbook_lib.sandbox.layout import INNER, Ports, Stack, write
from runbook_lib.sandbox.parallel import together
from runbook_lib.step import progress

FILE: Final = "docker-compose.sandbox.yml"
FOUNDATION: Final = ("database", "cache", "edge")
START_SECONDS: Final = 60.0
_OWN: Final = "built on this machine under a name that only its own contents have"
_NO_SCANNER: Final = "no scanner of images comes with the sandbox: it must run on machines without Trivy too"
_PLATFORM = """\
kind = "compose"
file = "{file}"
project = "{project}"
env_file = "../{name}/compose.env"
services = ["database", "cache", "backend", "frontend", "edge"]
settle_seconds = 3.0
start_seconds = {start_seconds}
accepted_risks = {{ {accepted} }}"""


class Containers:
    """Every service is a container of the stack's Compose project."""

    name = "sandbox-compose"
    waived: Mapping[str, str] = {"5.2.1": _NO_SCANNER, "5.2.2": _NO_SCANNER}

    def create(self, root: Path) -> None:
        """The image that all others build on."""
        base_image.create(root, images(root))

    def programs(self, stack: Stack, ports: Ports) -> tuple[Program, ...]:
        """None."""
        return ()

    def start_foundation(self, stack: Stack, ports: Ports) -> None:
        """From the first release's file; a later release's file says the same of them."""
        valkey.server(stack, ports.cache)
        edge.configure(stack, ports, f"reverse_proxy {INNER}:{ports.frontend}")
        write(_values(stack), "".join(f"{key}={value}\n" for key, value in _variables(stack, ports).items()))
        env = environment.read(stack.environment)
        first = releases.find(env, first_release.TAG)
        document = compose_file.read(env, first).pinned(_project(stack), first.tag)
        words = ["-f", "-", "up", "-d", "--no-build", *FOUNDATION]
        progress(f"{stack.name}: starting {', '.join(FOUNDATION)}")
        completed = compose_file.run(env, first, words, timeout=START_SECONDS, stdin=document)
        if not completed.ok:
            raise ConfigurationError(f"{stack.name}: Compose did not start {FOUNDATION}: {completed.tail()}")

    def start_release(self, stack: Stack) -> None:
        """What was deployed last, on its own images."""
        env = environment.read(stack.environment)
        platform = platforms.connect(env)
        deployed = platform.deployed()
        if deployed is not None:
            platform.up(releases.find(env, deployed))

    def stop(self, stack: Stack) -> None:
        """Stop the containers and keep them: they say which release is deployed."""
        with compose_engine.answering() as client:
            found = compose_engine.containers(client, _project(stack)).values()
            running = [each for each in found if each.status != "exited"]
            if running:
                progress(f"{stack.name}: stopping {len(running)} containers")
                together(*(each.stop for each in running))

    def destroy(self, stack: Stack) -> None:
        """Remove the stack's containers, and this sandbox's images once none of its containers needs them."""
        from docker.errors import APIError

        with compose_engine.answering() as client:
            for each in compose_engine.containers(client, _project(stack)).values():
                each.remove(force=True, v=True)
            for image in client.images.list():
                for tag in (tag for tag in image.tags if tag.startswith(images(stack.root))):
                    try:
                        client.images.remove(tag)
                    except APIError as error:
                        # The other stack's containers run on it; it goes with them.
                        if error.status_code != 409:
                            raise

    def platform(self, stack: Stack) -> str:
        """The compose file within the release, and the project."""
        accepted = ", ".join(f'"{name}.digest" = "{_OWN}"' for name in FOUNDATION)
        return _PLATFORM.format(
            file=FILE, project=_project(stack), name=stack.name, start_seconds=START_SECONDS, accepted=accepted
        )

    def database_log(self, stack: Stack) -> str:
        """The engine keeps it."""
        return 'log_service = "database"'


def images(root: Path) -> str:
    """What the names of this sandbox's images begin with: two sandboxes may share an engine."""
    return f"runbook-sandbox-{hashlib.sha256(os.fspath(root).encode()).hexdigest()[:8]}"


def _project(stack: Stack) -> str:
    return f"{images(stack.root)}-{stack.kind}"


def _values(stack: Stack) -> Path:
    return stack.folder / "compose.env"


def _variables(stack: Stack, ports: Ports) -> dict[str, str]:
    """What the compose file leaves open; no secret among it."""
    user = f"{os.geteuid()}:{os.getegid()}"
    return {
        "SANDBOX_IMAGE": base_image.tag(images(stack.root)),
        "SANDBOX_IMAGES": images(stack.root),
        "SANDBOX_FOLDER": os.fspath(stack.folder),
        "SANDBOX_USER": user,
        "SANDBOX_DATABASE_USER": _database_user() or user,
        "SANDBOX_DATABASE_PORT": str(ports.database),
        "SANDBOX_CACHE_PORT": str(ports.cache),
        "SANDBOX_BACKEND_PORT": str(ports.backend),
        "SANDBOX_FRONTEND_PORT": str(ports.frontend),
        "SANDBOX_HTTPS_PORT": str(ports.https),
        "SANDBOX_LOG_BYTES": str(daemon.LOG_BYTES),
        # The one that is written, and those beside it.
        "SANDBOX_LOG_FILES": str(daemon.LOG_BACKUPS + 1),
    }


def _database_user() -> str:
    """Whom PostgreSQL's folder was given to where we are root; empty where we are not."""
    if os.geteuid() != 0:
        return ""
    nobody = pwd.getpwnam(postgres.UNPRIVILEGED)
    return f"{nobody.pw_uid}:{nobody.pw_gid}"
