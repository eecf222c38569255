"""Other ways to be told of a run than line by line in the terminal: by what did not pass alone, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

from runbook_lib.checklist import Phase
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import PhaseSummary
from runbook_lib.step import Status
from runbook_lib.terminal import TerminalWatcher

UNREMARKABLE = (Status.PASSED, Status.SKIPPED, Status.PLANNED)


class QuietWatcher:
    """Shows the items that somebody has to look at, and no others; the live bar goes on."""

    def __init__(self, watcher: TerminalWatcher) -> None:
        self._watcher = watcher

    def phase_started(self, phase: Phase) -> None:
        """Show the phase in the live bar."""
        self._watcher.begin(phase)

    def result(self, bundle: Mapping[str, Any]) -> None:
        """Print an item that wants attention; show one that runs beside the live bar."""
        if bundle.get("status") in UNREMARKABLE:
            self._watcher.advance()
        else:
            self._watcher.result(bundle)

    def phase_ended(self, summary: PhaseSummary) -> None:
        """Say so where the phase did not pass."""
        self._watcher.phase_ended(summary)


class JsonWatcher:
    """Writes one JSON object a line to `stream`, each with an ``event``, for other programs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def phase_started(self, phase: Phase) -> None:
        """Write ``phase started``."""
        self._write("phase started", phase=phase.number, title=phase.title)

    def result(self, bundle: Mapping[str, Any]) -> None:
        """Write ``item finished``; what still runs, and the gate that ``phase ended`` tells of, are left out."""
        if "gate" not in bundle and bundle["status"] != "running":
            self._write("item finished", **bundle)

    def phase_ended(self, summary: PhaseSummary) -> None:
        """Write ``phase ended``."""
        parts = {"outcome": summary.outcome, "reason": summary.reason, "seconds": summary.seconds}
        self._write("phase ended", phase=summary.phase.number, **parts, counts=dict(summary.counts))

    def run_ended(self, run: Run, code: int) -> None:
        """Write ``run ended`` with the exit code and the folder of the record."""
        self._write("run ended", run=str(run), folder=str(run.folder), code=int(code))

    def _write(self, event: str, **data: Any) -> None:
        # ASCII only, so that it is the same whatever the locale of the stream, and no control character is left.
        print(json.dumps({"event": event, **data}, default=str), file=self._stream, flush=True)
