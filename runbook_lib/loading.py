"""A load test by itself, outside a run: the verdict, and a folder with its charts and samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_lib import exclusive
from runbook_lib.checks import load
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, RecordError, Unanswerable
from runbook_lib.home import home
from runbook_lib.step import Finding

ITEM = "11.1"
"""Whose earlier runs it is compared with."""


@dataclass(frozen=True)
class Kept:
    """What a load test came to, and where it was written; `inconclusive` says why it proves nothing, if it does not."""

    finding: Finding
    folder: Path
    inconclusive: str = ""

    @property
    def outcome(self) -> str:
        """In one word."""
        return "inconclusive" if self.inconclusive else "passed" if self.finding.ok else "failed"

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        (verdict, *_) = self.finding.tables
        widths = [max(len(str(row[column])) for row in (verdict.columns, *verdict.rows)) for column in range(4)]
        for row in (verdict.columns, *verdict.rows):
            cells = (str(cell).ljust(width) for cell, width in zip(row, widths, strict=False))
            yield f"  {'  '.join(cells)}  {row[4]}"
        if self.inconclusive:
            yield f"  {self.inconclusive}"
        elif not self.finding.ok:
            yield f"  do next: {self.finding.remedy}"


def run(env: Environment, *, rate: float | None, duration: float, ramp: float, confirm: str) -> Kept:
    """Put an environment under load.

    Parameters
    ----------
    rate:
        Requests per second that must be sustained; the environment's objective where None.
    duration, ramp:
        Seconds for which the rate is held, and in which it climbs before.
    confirm:
        In a production environment, its name.

    Raises
    ------
    ConfigurationError
        The environment does not allow it.
    Occupied
        A run holds the environment, or another load test.
    Unanswerable
        The load could not be made.
    """
    if reason := load.refusal(env, rate or env.objectives.requests_per_second, confirm):
        raise ConfigurationError(f"{reason}.")
    # Beside a run, or another test, the two rates would add up, and the run be judged under both.
    with exclusive.alone(env, f"load-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"):
        result = load.make(env, duration=duration, ramp=ramp, rate=rate, confirm=confirm)
    try:
        finding, inconclusive = load.finding(env, result, item=ITEM), ""
    except Unanswerable as error:
        if error.seen is None:
            raise
        finding, inconclusive = error.seen, error.reason
    return Kept(finding, _keep(env, finding, inconclusive), inconclusive)


def _keep(env: Environment, finding: Finding, inconclusive: str) -> Path:
    """Write everything into a new folder under the environment's outputs."""
    folder = home().outputs / env.name / "load" / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    try:
        folder.mkdir(parents=True)
        for evidence in finding.evidence:
            content = evidence.content
            (folder / evidence.name).write_bytes(content.encode() if isinstance(content, str) else content)
        verdict: dict[str, Any] = {
            "ok": finding.ok and not inconclusive,
            "inconclusive": inconclusive,
            "observed": finding.observed,
            "expected": finding.expected,
            "tables": [asdict(table) for table in finding.tables],
            **finding.facts,
        }
        (folder / "verdict.json").write_text(json.dumps(verdict, indent=1, default=str) + "\n")
    except OSError as error:
        raise RecordError(f"{folder} cannot be written: {error.strerror}.") from error
    return folder
