"""A server with faults of its own, on loopback, which counts what it was asked."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from runbook_lib.load.interface import Call, Profile, hold


def answer(body: bytes, status: int = 200, *headers: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"\r\n".join([b"HTTP/1.1 %d X" % status, b"Content-Length: %d" % size, *headers, b"", body])


class Conversation(asyncio.Protocol):
    """One connection; which of the server's faults is shown depends on the path."""

    def __init__(self, target: Target) -> None:
        self.target, self.buffer = target, b""
        self.number = target.connections = target.connections + 1

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower()[:15] == b"content-length:"), 0
            )
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            # A proxy is asked for the whole address.
            path = urlsplit(head.split(b" ", 2)[1].decode()).path
            self.target.asked[path] += 1
            self.target.peers.append(self.transport.get_extra_info("peername")[0])
            self.target.heads.append(head)
            self.target.bodies.append(rest[:length])
            self.respond(path, self.target.asked[path])

    def respond(self, path, turn):
        write, loop = self.transport.write, asyncio.get_running_loop()
        if path == "/fixed":
            write(answer(b"ok"))
        elif path == "/chunked":
            write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            loop.call_later(0.002, write, b"2\r\nok\r\n0\r\n\r\n")
        elif path == "/interim":
            write(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"ok"))
        elif path == "/until-closed":
            write(b"HTTP/1.1 200 OK\r\n\r\nok")
            self.transport.close()
        elif path == "/slow":
            loop.call_later(0.3, write, answer(b"ok"))
        elif path == "/log-normal":
            loop.call_later(self.target.random.lognormvariate(-5.0, 0.8), write, answer(b"ok"))
        elif path == "/resets":
            if self.number % 100 == 0:
                # With no time to linger, the connection is reset and not closed.
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
            else:
                write(answer(b"ok", 200, b"Connection: close"))
                self.transport.close()
        elif path == "/busy":
            write(answer(b"no" if turn % 20 == 0 else b"ok", 503 if turn % 20 == 0 else 200))
        elif path == "/silent":
            pass
        elif path == "/too-short":
            write(answer(b"ok", length=100))
            self.transport.close()
        elif path == "/too-long":
            write(answer(b"ok and more than was promised", length=2))
        elif path == "/moved":
            write(answer(b"", 302, b"Location: /fixed"))
        elif path == "/rubbish":
            write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        elif path == "/text":
            write(answer(b'{"state": "down"}', 200, b"Content-Type: application/json"))
        elif path == "/stalls":
            # For a fifth of every second nobody is answered.
            late = max(0.0, 0.2 - loop.time() % 1.0)
            loop.call_later(late, write, answer(b"ok"))


class Target:
    """The server, in a thread of its own."""

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.asked: Counter[str] = Counter()
        self.heads: list[bytes] = []
        self.peers: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.random = random.Random(7)
        self.listener = socket.create_server((host, 0), backlog=1024)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://{host}:{self.listener.getsockname()[1]}"
        self.loop = asyncio.new_event_loop()
        # A client whose handshake fails, or that breaks off, is what some tests are about.
        self.loop.set_exception_handler(lambda *_: None)
        started = threading.Event()

        async def serve():
            server = await self.loop.create_server(lambda: Conversation(self), sock=self.listener, ssl=context)
            started.set()
            async with server:
                await self.over.wait()

        self.over = asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(serve(),), daemon=True)
        self.thread.start()
        started.wait(5)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(5)
        self.loop.close()

    def calls(self, *paths: str) -> tuple[Call, ...]:
        return tuple(Call(httpx.Request("GET", self.url + path), path) for path in paths)


@pytest.fixture
def serve() -> Iterator[Callable[..., Target]]:
    """Start a server, over TLS where it is given a context."""
    started: list[Target] = []

    def start(context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Target:
        started.append(Target(context, host))
        return started[-1]

    yield start
    for target in started:
        target.close()


@pytest.fixture
def target(serve: Callable[..., Target]) -> Target:
    return serve()


@pytest.fixture
def profile(target: Target) -> Callable[..., Profile]:
    """A second and a half of load on some paths of the server; whatever fails, it goes on to its end."""

    def make(*paths: str, rate: float = 200.0, seconds: float = 1.5, **options) -> Profile:
        values = {"load": hold(rate, seconds), "timeout": 5.0, "breaker": 1.0, **options}
        return Profile(target.calls(*paths), **values)

    return make
