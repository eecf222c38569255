"""Whether a run that staging has been through already speaks for a release."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runbook_lib import checklist, platforms
from runbook_lib.checklist import SIGN_OFF
from runbook_lib.environment import Environment
from runbook_lib.errors import RecordError, Unresolved
from runbook_lib.record import archive, keys, manifest, verify
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import summarize
from runbook_lib.record.verify import State
from runbook_lib.release import Release


@dataclass(frozen=True)
class Promotion:
    """A run of staging that counts for a release: when it was opened (UTC), and its manifest's SHA-256."""

    run: Run
    opened: datetime
    digest: str
    waived: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A run of staging for the same commit, and why it does not count; empty where it does."""

    run: Run
    why_not: str


def find(staging: Environment, release: Release, hours: float) -> tuple[Promotion | None, tuple[Candidate, ...]]:
    """The newest run of `staging` that counts for `release`, and those of the same commit that do not.

    It counts when it is sealed and verified, signed off where staging trusts keys, every gate before sign-off passed,
    it is no older than `hours`, and staging still runs the release.
    """
    refused: list[Candidate] = []
    for run in reversed(archive.runs(staging.name)):
        try:
            if run.events.read()[0].data.get("commit") != release.commit:
                continue
            why_not = _why_not(staging, run, release, hours)
        except (RecordError, IndexError) as error:
            why_not = f"its record is damaged: {error}"
        if not why_not:
            return _promotion(run), tuple(refused)
        refused.append(Candidate(run, why_not))
    return None, tuple(refused)


def _why_not(staging: Environment, run: Run, release: Release, hours: float) -> str:
    summary = summarize(run)
    age = datetime.now(UTC) - datetime.fromisoformat(summary.started)
    if age > timedelta(hours=hours):
        return f"it is {age / timedelta(hours=1):.1f} hours old, and {hours:g} are allowed"
    if not summary.sealed:
        return "it is not sealed"
    passed = {phase.phase.number for phase in summary.phases if phase.outcome == "passed"}
    missing = [phase.number for phase in checklist.forward() if phase.number < SIGN_OFF and phase.number not in passed]
    if missing:
        return f"the gates of its phases {', '.join(map(str, missing))} have not passed"
    trust = keys.trust(staging.sign_off, f"{staging.name}.toml")
    verified = verify.verify(run, trust)
    if verified.faults:
        return f"it does not hold: {verified.faults[0]}"
    if trust.keys and verified.state is not State.SIGNED:
        return verified.remarks[0]
    return _gone(staging, release)


def _gone(staging: Environment, release: Release) -> str:
    """Why the checks that follow would speak of something else; empty where staging still runs the release."""
    try:
        deployed = platforms.connect(staging).deployed()
    except Unresolved as error:
        return f"staging cannot be asked what it runs: {error}"
    return "" if deployed == release.tag else f"staging runs {deployed or 'nothing'} by now"


def _promotion(run: Run) -> Promotion:
    summary = summarize(run)
    waived = tuple(id for id, item in summary.items.items() if item["status"] == "waived")
    digest = manifest.digest(run.folder / manifest.NAME)
    return Promotion(run, datetime.fromisoformat(summary.started), digest, waived)
