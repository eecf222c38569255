"""What it costs to keep others out: taking both locks, and asking for them again before an item.

Run by hand: ``python tests/benchmarks/exclusive.py``. Prints medians in milliseconds, beside those of a bare
connection to the same PostgreSQL, and their ratio.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import psycopg

from runbook_lib import command, exclusive
from runbook_lib.environment import Environment
from runbook_lib.exclusive.holder import Holder
from runbook_lib.sandbox import postgres
from runbook_lib.sandbox.layout import Stack

REPEATS = 100
ROOT = Path(__file__).parents[2]


def median(work: Callable[[], object]) -> float:
    """Of REPEATS calls, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="runbook-benchmark-") as name, socket.socket() as probe:
        folder = Path(name)
        os.environ["RUNBOOK_HOME"] = name
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        stack = Stack(folder, "locks")
        stack.folder.mkdir()
        postgres.create(stack, "password-of-the-benchmark")
        url = f"postgresql://{postgres.ROLE}:password-of-the-benchmark@127.0.0.1:{port}/{postgres.ROLE}"
        os.environ["LOCKS_DATABASE"] = url
        values = tomllib.loads((ROOT / "notebooks/environments/staging.toml").read_text())
        values["database"]["url"] = {"env": "LOCKS_DATABASE"}
        env = Environment.model_validate(values, context={"folder": folder})
        server = subprocess.Popen(postgres.server(stack, port), cwd="/", stderr=subprocess.DEVNULL)
        try:
            ready = [postgres.programs() / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            while not command.run(ready, timeout=10.0).ok:
                time.sleep(0.05)
            report(env, url)
        finally:
            server.terminate()
            server.wait()


def report(env: Environment, url: str) -> None:
    """Print the three figures."""
    held = exclusive.Exclusion(env, Holder.of("benchmark"))

    def take() -> None:
        held.take()
        held.release()

    bare = median(lambda: psycopg.connect(url, autocommit=True).close())
    both = median(take)
    held.take()
    again = median(held.take)
    other = exclusive.Exclusion(env, held.holder)
    other.take()
    shared = median(other.take)
    print(f"a bare connection                  {bare:7.2f} ms")
    print(f"both locks taken and given back    {both:7.2f} ms, {both / bare:.2f} times a bare connection")
    print(f"asked again by their holder        {again:7.2f} ms, {again / bare:.2f} times")
    print(f"asked again by the run's kernel    {shared:7.2f} ms, {shared / bare:.2f} times")
    other.release()
    held.release()


if __name__ == "__main__":
    main()
