"""What the load benchmarks aim at, on a processor of its own; and how much of that processor it uses."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

GENERATOR_CORE, TARGET_CORE = 0, 1
PROGRAMS = Path(sys.executable).parent

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{{"status": "healthy", "service": "benchmark"}}'; }}
  }}
}}
"""

STALLING = """
import asyncio, sys, time
import uvloop
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
class Connection(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        for _ in range(data.count(b"\\r\\n\\r\\n")):
            phase = time.time() % 5.0
            if phase >= 1.0: self.transport.write(ANSWER)
            else: asyncio.get_running_loop().call_later(1.0 - phase, self.transport.write, ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()
uvloop.run(main())
"""
"""Nobody is answered in the first of every five seconds of the clock; then everybody at once."""


def on(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@dataclass
class Target:
    """A server that runs: its address, and its processes."""

    url: str
    process: subprocess.Popen[bytes]

    def used(self) -> float:
        """Seconds of its processor that it and its children have used."""
        total = 0.0
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if self.process.pid in (int(folder.name), int(fields[1])):
                    total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total


@contextlib.contextmanager
def serving(text: str, *, stalling: bool = False) -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        words = [sys.executable, "-c", text, str(port)]
        if not stalling:
            (Path(folder) / "conf").write_text(text.format(folder=folder, port=port))
            words = ["nginx", "-c", f"{folder}/conf"]
        with subprocess.Popen(words, preexec_fn=on(TARGET_CORE), stderr=subprocess.DEVNULL) as process:
            try:
                while True:
                    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                        break
                    time.sleep(0.05)
                yield Target(f"http://127.0.0.1:{port}/", process)
            finally:
                process.terminate()


def nginx() -> contextlib.AbstractContextManager[Target]:
    """A small JSON from nginx."""
    return serving(NGINX)


def stalling() -> contextlib.AbstractContextManager[Target]:
    """A server that stalls for one second in every five."""
    return serving(STALLING, stalling=True)


def stalled(moments: object) -> object:
    """The true latency, in milliseconds, of requests that are due at these Unix times (a numpy array)."""
    import numpy as np

    phase = np.asarray(moments) % 5.0
    return np.where(phase < 1.0, 1.0 - phase, 0.0) * 1000.0


def output(*words: str, timeout: float = 120.0) -> str:
    """What a program says, run on the generator's processor."""
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=timeout, preexec_fn=on(GENERATOR_CORE), check=False
    )
    return done.stdout + done.stderr


def median(values: list[float]) -> float:
    return statistics.median(values)
