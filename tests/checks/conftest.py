"""Small real servers to plant faults in, and environments that point at them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from runbook_lib.environment import Environment


@dataclass(frozen=True)
class Reply:
    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    @property
    def kind(self) -> str:
        return "text/html" if isinstance(self.body, str) else "application/json"


Route = Reply | Callable[["Asked"], Reply]


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: str


class Served(ThreadingHTTPServer):
    """Answers by its routes, over TLS where it is given a context; remembers what it was asked."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, routes: Mapping[str, Route], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes = routes
        self.asked: list[Asked] = []
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that is refused, or a connection that is broken off, is no fault of the server."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Served

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = Asked(self.command, self.path, self.headers, body, self.client_address[0])
        self.server.asked.append(asked)
        route = self.server.routes.get(self.path, Reply({"detail": "Not Found"}, 404))
        reply = route if isinstance(route, Reply) else route(asked)
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.kind, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)

    do_GET = do_POST = do_OPTIONS = answer

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start a server for some routes, as often as wanted."""
    servers: list[Served] = []

    def start(routes: Mapping[str, Route], tls: ssl.SSLContext | None = None) -> Served:
        server = Served(routes, tls)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture(scope="session")
def unhurried() -> Callable[[Environment], Environment]:
    """Objectives that a busy machine holds too: tested is what a check does, not how fast this machine is."""
    objectives = {"requests_per_second": 50.0, "p95_milliseconds": 5000.0}

    def give(env: Environment) -> Environment:
        return env.model_copy(update={"objectives": env.objectives.model_copy(update=objectives)})

    return give


@pytest.fixture
def at(tmp_path: Any) -> Callable[..., Environment]:
    """An environment whose service is at a URL; keyword arguments replace whole parts, as the TOML would."""

    def environment(url: str, **parts: Any) -> Environment:
        values: dict[str, Any] = {
            "name": "planted",
            "kind": "sandbox",
            "domains": ["127.0.0.1"],
            "application": {"repository": "app.git", "releases": "releases"},
            "dotenv": {"file": ".env"},
            "database": {"url": {"env": "PLANTED_DATABASE_URL"}},
            "web": {"url": url or "http://127.0.0.1:9"},
            "api": {
                "accepted": {"method": "POST", "path": "/api/scan/", "json": {"content": "bitcoin:x"}},
                "refused": {"method": "POST", "path": "/api/scan/", "json": {"content": "?"}, "status": [422]},
                "providers": {"path": "/api/providers/", "expect": {"count": 2}},
            },
            "platform": {"kind": "supervisor", "socket": "none.sock", "folder": "platform", "services": ["backend"]},
            "backup": {"folder": "backups"},
            "security": {"public_address": "127.0.0.1"},
            "limits": {"request": 2.0},
        }
        values |= parts
        return Environment.model_validate(values, context={"folder": tmp_path})

    return environment


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start a Debian package's server on a free port of loopback, once it is ready; gives its URL.

    Its arguments take ``{port}`` and ``{folder}``, a folder of its own that holds the given files; they take the port.
    """
    running: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: str, ready: str, files: Mapping[str, str]) -> str:
        if shutil.which(program) is None:
            # Where CI runs, .ci/run has installed it.
            assert not os.environ.get("CI"), f"{program} is missing"
            pytest.skip(f"{program} is not on this machine: apt-get install {program}")
        folder = tmp_path_factory.mktemp(program)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        for name, text in files.items():
            (folder / name).write_text(text.replace("{port}", str(port)))
        words = [argument.format(port=port, folder=folder) for argument in arguments]
        log = folder / "log"
        with log.open("wb") as output:
            running.append(subprocess.Popen([program, *words], cwd=folder, stdout=output, stderr=output))
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 30.0
        while True:
            try:
                if httpx.get(url + ready, trust_env=False).is_success:
                    return url
            except httpx.TransportError:
                pass
            assert running[-1].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    yield start
    for process in running:
        process.kill()
        process.wait()
