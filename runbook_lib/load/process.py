"""A generator's process, as whoever started it sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Final

from runbook_lib.errors import Unanswerable
from runbook_lib.load.interface import BREAKER
from runbook_lib.load.worker import BEGIN, READY, Order, Report, packed

READY_SECONDS: Final = 60.0
"""A process that is not ready by then never will be."""
SPARE_SECONDS: Final = 15.0
"""Beyond its plan and the time limit of its last request, a process that has not ended by then never will."""


class WorkerProcess:
    """One worker, which ends with the block that it is used in."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._report = order.samples.with_suffix(".report")

    def __enter__(self) -> WorkerProcess:
        self._deadline = time.monotonic() + READY_SECONDS
        with self._report.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runbook_lib.load.worker"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self._say(packed(self._order))
        return self

    def _say(self, content: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except BrokenPipeError:
            # Its report says why.
            pass

    def begin(self, moment: float) -> None:
        """Let it begin at a Unix time."""
        profile = self._order.plan.profile
        self._deadline = time.monotonic() + profile.load.duration + profile.timeout + SPARE_SECONDS
        self._say(BEGIN.pack(moment))

    @property
    def ready(self) -> bool:
        """Whether it waits for the time to begin."""
        return self._report.read_text(errors="replace").startswith(READY)

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._process.kill()
        self._process.wait()

    @property
    def running(self) -> bool:
        """Whether it has not ended; one that outlives its plan is ended."""
        if self._process.poll() is None and time.monotonic() > self._deadline:
            self._process.kill()
            self._process.wait()
        return self._process.poll() is None

    @property
    def broke(self) -> bool:
        """Whether it ended without having done its work."""
        return self._process.poll() is not None and (self._process.returncode != 0 or bool(self.said().problem))

    @property
    def opened_breaker(self) -> bool:
        """Whether it stopped by itself."""
        return self._process.poll() == 0 and self.said().stopped.startswith(BREAKER)

    def stop(self) -> None:
        """End its lifeline; it then waits a moment for the answers that are under way."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass

    def said(self) -> Report:
        """The last line of its output; an empty one where that is no report."""
        lines = self._report.read_text(errors="replace").strip().splitlines() or [""]
        try:
            said = json.loads(lines[-1])
            return Report(**{**said, "notes": tuple(said["notes"])})
        except (ValueError, TypeError, KeyError):
            silent = lines[-1] in ("", READY)
            return Report(problem="it was ended, or ended, without a report" if silent else lines[-1])

    def report(self) -> Report:
        """What it reported in the end. Raises Unanswerable where it broke."""
        said = self.said()
        if self._process.returncode or said.problem:
            raise Unanswerable(
                said.problem or f"the generator ended with exit code {self._process.returncode}",
                remedy="see whether the name resolves here, and whether the machine has memory and files enough",
            )
        return said
