"""One generator's process: ``python -m runbook_lib.load.worker``.

It is told what to do over standard input, never by its arguments, for a plan may carry secrets; it says that it is
ready, and is told when to begin. Standard input stays open while it works: its end, which comes when the parent dies
too, stops the test.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

from runbook_lib.load import wire
from runbook_lib.load.generator import Generator, Plan, make_room
from runbook_lib.load.recorder import Recorder

LENGTH: Final = struct.Struct("<Q")
BEGIN: Final = struct.Struct("<d")
READY: Final = "ready"


@dataclass(frozen=True)
class Order:
    """What a worker is told.

    Parameters
    ----------
    samples:
        The file that it writes.
    """

    plan: Plan
    samples: Path


@dataclass(frozen=True)
class Report:
    """What a worker says in the end; `problem` where it could not do its work. `cpu` in cores, `memory` in bytes."""

    problem: str = ""
    stopped: str = ""
    dropped: int = 0
    connections: int = 0
    cpu: float = 0.0
    memory: int = 0
    notes: tuple[str, ...] = ()


def packed(order: Order) -> bytes:
    """The order as it goes into the worker's standard input."""
    content = pickle.dumps(order)
    return LENGTH.pack(len(content)) + content


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop by uvloop; asyncio's own where that is missing."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def carry_out(order: Order, tell: Callable[[], None], lifeline: BinaryIO) -> Report:
    """Run a plan.

    Parameters
    ----------
    tell:
        Called when everything is ready; what then comes by the `lifeline` is the time to begin (:data:`BEGIN`).
        Whatever comes later, and its end, stops the test.
    """
    make_room()
    with order.samples.open("wb") as output:
        generator = Generator(order.plan, Recorder(output))
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(_run(generator, tell, lifeline))
        except (OSError, ImportError) as error:
            return Report(problem=f"the load {'broke off' if generator.began else 'could not begin'}: {error}")
    return report(generator)


async def _run(generator: Generator, tell: Callable[[], None], lifeline: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    begin: asyncio.Future[float] = loop.create_future()

    def heard() -> None:
        said = lifeline.read(BEGIN.size)
        if len(said) == BEGIN.size and not begin.done():
            begin.set_result(BEGIN.unpack(said)[0])
            return
        loop.remove_reader(lifeline)
        generator.stop("interrupted")
        if not begin.done():
            begin.set_result(time.time())

    await generator.prepare()
    loop.add_reader(lifeline, heard)
    try:
        tell()
        await generator.run(await begin)
    finally:
        loop.remove_reader(lifeline)


def report(generator: Generator) -> Report:
    """What a generator has to say after its run."""
    unspoken = wire.why_not(generator.plan.profile)
    return Report(
        stopped=generator.stopped,
        dropped=generator.recorder.dropped,
        connections=generator.connections,
        cpu=generator.cpu,
        memory=_most_memory(),
        notes=(f"sent by httpx clients, one per user, for the sake of {unspoken}",) if unspoken else (),
    )


def _most_memory() -> int:
    """This process's peak in bytes; getrusage's outlives an exec, and would tell the parent's."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """Read one order, carry it out, and write the report as JSON on standard output."""
    # A terminal's Ctrl-C reaches the whole group; it is the parent who decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
    (length,) = LENGTH.unpack(_exactly(source, LENGTH.size))
    order: Order = pickle.loads(_exactly(source, length))  # noqa: S301 (our own parent wrote it)
    said = carry_out(order, lambda: print(READY, flush=True), source)
    print(json.dumps(asdict(said)), flush=True)


def _exactly(source: BinaryIO, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = source.read(size - len(parts))
        if not part:
            sys.exit("the plan was cut short")
        parts += part
    return parts


if __name__ == "__main__":
    main()
