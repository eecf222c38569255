"""The default engine, in processes of its own, so that a notebook's kernel does not slow it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runbook_lib.load import live, samples, wire
from runbook_lib.load.generator import Plan
from runbook_lib.load.interface import BREAKER, Cost, Profile, Result
from runbook_lib.load.process import WorkerProcess
from runbook_lib.load.worker import Order, Report

POLL_SECONDS: Final = 0.1
LEAD_SECONDS: Final = 0.2
"""From when all processes are ready until the test's zero."""


@dataclass(frozen=True)
class BuiltIn:
    """The engine that this kit brings.

    It speaks HTTP/1.1 over connections that are kept alive, without pipelining; what else a profile asks for is sent by
    httpx. Redirects are answers like others.

    Parameters
    ----------
    workers:
        Processes; each sends its share of the schedule.
    connections:
        The most at a time, all processes together; requests beyond wait, and their latency counts that.
    """

    workers: int = 1
    connections: int = 10_000

    def run(self, profile: Profile) -> Result:
        """Run the profile; an interrupt ends it early, and what was measured is given back.

        Raises
        ------
        ConfigurationError
            A request cannot be sent as it is.
        Unanswerable
            A process could not begin, or broke.
        """
        for place, call in enumerate(profile.calls):
            wire.message(place, call)
        with tempfile.TemporaryDirectory(prefix="runbook-load-") as folder, ExitStack() as stack:
            files = [Path(folder) / f"{number}.samples" for number in range(self.workers)]
            most = max(1, self.connections // self.workers)
            processes = [
                stack.enter_context(WorkerProcess(Order(Plan(profile, number, self.workers, most), file)))
                for number, file in enumerate(files)
            ]
            begin, stopped = _watch(processes, live.Line(profile, files))
            reports = [process.report() for process in processes]
            measured = samples.together(samples.read(file.read_bytes()) for file in files)
        return Result(
            "builtin",
            profile,
            measured,
            cost(reports),
            stopped=stopped or ended_early(reports),
            notes=notes(reports),
            began=begin,
        )


def _watch(processes: Sequence[WorkerProcess], line: live.Line) -> tuple[float, str]:
    """Begin, and wait for the processes to end, saying how it goes.

    Gives the Unix time of the test's zero, and why it was stopped from here, if it was.
    """
    begin, told = 0.0, ""
    while any(process.running for process in processes):
        try:
            time.sleep(POLL_SECONDS)
            if not begin and all(process.ready for process in processes):
                begin = time.time() + LEAD_SECONDS
                for process in processes:
                    process.begin(begin)
            elif begin:
                line.tell(begin)
            if any(process.broke or process.opened_breaker for process in processes):
                _stop(processes)
        except KeyboardInterrupt:
            # A second one is not waited for.
            if told:
                raise
            told = "interrupted"
            _stop(processes)
    return begin, told


def _stop(processes: Sequence[WorkerProcess]) -> None:
    for process in processes:
        process.stop()


def cost(reports: Sequence[Report]) -> Cost:
    """What the generators cost together."""
    return Cost(
        processes=len(reports),
        cpu=sum(report.cpu for report in reports),
        memory=max((report.memory for report in reports), default=0),
        dropped=sum(report.dropped for report in reports),
        connections=sum(report.connections for report in reports),
    )


def ended_early(reports: Sequence[Report]) -> str:
    """Why generators stopped by themselves; empty where none did."""
    said = [report.stopped for report in reports if report.stopped]
    return next((reason for reason in said if reason.startswith(BREAKER)), said[0] if said else "")


def notes(reports: Sequence[Report]) -> tuple[str, ...]:
    """What the generators want known, each once."""
    return tuple(dict.fromkeys(note for report in reports for note in report.notes))
