"""Services as programs of the stack's supervisord: the sandbox's default, which needs neither root nor Docker."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from runbook_lib.sandbox import daemon, edge, launch, postgres, valkey
from runbook_lib.sandbox.daemon import Program
from runbook_lib.sandbox.layout import INNER, Ports, Stack

WORKERS = 2
SERVICES = ("database", "cache", "backend", "edge")
_PLATFORM = """\
kind = "supervisor"
socket = {socket}
folder = "../{name}/platform"
services = {services}"""


class Embedded:
    """Everything by one supervisord for each stack."""

    name = "sandbox"
    waived: Mapping[str, str] = {}

    def create(self, root: Path) -> None:
        """Nothing: the programs come with the kit."""

    def programs(self, stack: Stack, ports: Ports) -> tuple[Program, ...]:
        """All of them, in the order in which they are started."""
        page = edge.files(stack.platform / "current" / "frontend")
        return (
            # At SIGTERM PostgreSQL waits for its clients, at SIGINT it disconnects them.
            Program("database", postgres.server(stack, ports.database), stack.folder, signal="INT"),
            Program("cache", valkey.server(stack, ports.cache), stack.folder),
            Program(
                "backend",
                _backend(stack, ports),
                stack.platform / "current" / "backend",
                # The demo application sends errors to no tracker beyond this machine, whatever the .env file says.
                environment=f'PROMETHEUS_MULTIPROC_DIR="{stack.folder / "metrics"}",SENTRY_HOSTS="{INNER}"',
            ),
            Program("edge", edge.server(stack, ports, page), stack.folder, environment=f'HOME="{stack.edge}"'),
        )

    def start_foundation(self, stack: Stack, ports: Ports) -> None:
        """Database, cache and edge."""
        daemon.start_programs(stack, [name for name in SERVICES if name != "backend"])

    def start_release(self, stack: Stack) -> None:
        """The back end; the front end is files that the edge serves."""
        daemon.start_programs(stack, SERVICES)

    def stop(self, stack: Stack) -> None:
        """Nothing: all ends with supervisord."""

    def destroy(self, stack: Stack) -> None:
        """Nothing: all lies in the sandbox's folder."""

    def platform(self, stack: Stack) -> str:
        """Supervisord's socket and the folder of the deployments."""
        socket, services = json.dumps(os.fspath(stack.socket)), json.dumps(SERVICES)
        return _PLATFORM.format(socket=socket, name=stack.name, services=services)

    def database_log(self, stack: Stack) -> str:
        """The file that supervisord writes."""
        return f'log_file = "../{stack.name}/logs/database.log"'


def _backend(stack: Stack, ports: Ports) -> list[str]:
    """Uvicorn from the deployed release, under the .env file's values; the edge alone tells it who the client is."""
    python = stack.platform / "current" / "backend" / ".venv" / "bin" / "python"
    launcher = [sys.executable, "-I", launch.__file__, os.fspath(stack.dotenv)]
    uvicorn = [os.fspath(python), "-m", "uvicorn", "main:app", "--workers", str(WORKERS)]
    listening = ["--host", INNER, "--port", str(ports.backend), "--proxy-headers", "--forwarded-allow-ips", INNER]
    return [*launcher, *uvicorn, *listening, "--no-access-log", "--timeout-graceful-shutdown", "3"]
