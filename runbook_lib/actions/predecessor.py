"""Which deployment a rollback takes back, and what ran before it, by the record alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import Final

from runbook_lib.actions.deployment import DEPLOYED_AT, PHASE, PREVIOUS, has_begun
from runbook_lib.checks.dumps import FACT, RollbackPoint
from runbook_lib.errors import RecordError, Unanswerable
from runbook_lib.record import archive
from runbook_lib.record.archive import Facts, Run, facts_of
from runbook_lib.record.summary import has_acted

ROLLED_BACK: Final = "rolled_back"
"""The fact of a deployment that was taken back."""


@dataclass(frozen=True)
class Deployment:
    """What is taken back: the run that deployed, what ran before it, since when, and its rollback point."""

    run: Run
    previous: str
    at: datetime
    point: RollbackPoint | None


def deployment_of(run: Run) -> Deployment:
    """The deployment to take back: that of `run` where it has begun one, else the newest; see :func:`newest`.

    Raises
    ------
    Unanswerable
        What ran before the deployment is not on record; another run's word for it does not count.
    """
    return _begun_by(run) if has_begun(run) else newest(run.environment)


def newest(environment: str) -> Deployment:
    """The newest deployment that any run has begun.

    Raises
    ------
    Unanswerable
        No run has begun one, or what ran before it is not on record.
    """
    found, damaged = _deploying(environment)
    later = [run for run in damaged if not found or run.id > found[-1].id]
    if later:
        raise Unanswerable(
            f"the record of {later[-1]} is damaged, and may hide a newer deployment",
            remedy=f"look what it did (runbook verify {later[-1]}); to take back the newest that can be read: "
            + (command_for(found[-1]) if found else "none can be"),
        )
    if not found:
        raise Unanswerable(
            f"no run of {environment} has recorded a deployment and what ran before it",
            remedy="there is nothing to go back to by the record: deploy a release that is known to be good",
        )
    return _begun_by(found[-1])


def _begun_by(run: Run) -> Deployment:
    """The deployment of `run`; what ran before may stand with an earlier run that did not finish the same release.

    A deployment that went well is no such run: since then users have written, and its rollback point knows nothing
    of that.
    """
    if (own := _deployment(run)) is not None:
        return own
    begun, damaged = _deploying(run.environment)
    earlier = list(takewhile(lambda each: each.id != run.id, begun))
    for each in reversed([] if damaged else earlier):
        if _release(each) != _release(run) or _finished(each):
            break
        if (found := _deployment(each)) is not None:
            return replace(found, run=run)
    raise Unanswerable(
        f"run {run.id} has not recorded what ran before {_release(run)}: it ran already, or nothing did",
        remedy=_further_back(earlier),
    )


def _further_back(runs: Sequence[Run]) -> str:
    """What a person may do who wants to go back further than the newest deployment."""
    older = next((found for each in reversed(runs) if (found := _deployment(each)) is not None), None)
    mend = "mend what runs, or deploy a release that is known to be good"
    if older is None:
        return mend
    return (
        f"{mend}; only where what was written since {older.at:%Y-%m-%d %H:%M} UTC may be lost, go back to "
        f"{older.previous}: {command_for(older.run)}"
    )


def command_for(run: Run) -> str:
    """What a person types to take back the deployment of `run`, or the newest where `run` has begun none."""
    words = ["runbook", "rollback", run.environment]
    words += ["--run", run.id] if has_begun(run) else []
    words += ["--confirm", run.environment] if run.events.read()[0].data["kind"] == "production" else []
    return " ".join(words)


def _deploying(environment: str) -> tuple[list[Run], list[Run]]:
    """The runs that have begun a deployment, in the order in which they did, and those whose record is damaged."""
    begun, damaged = [], []
    for run in archive.runs(environment):
        try:
            at = _begun(run)
        except (RecordError, KeyError, TypeError, ValueError):
            damaged.append(run)
        else:
            begun += [(at, run)] if at is not None else []
    return [run for _, run in sorted(begun, key=lambda each: (each[0], each[1].id))], damaged


def _begun(run: Run) -> datetime | None:
    """When `run` began its deployment, None where it has not; read once, for an archive may hold thousands of runs."""
    events = run.events.read()
    if not has_acted(events, PHASE):
        return None
    begun = (event.time for event in events if event.name == "step started" and event.data["phase"] == PHASE)
    return datetime.fromisoformat(facts_of(events).get(DEPLOYED_AT) or next(begun))


def _release(run: Run) -> str:
    return str(run.events.read()[0].data["release"])


def _finished(run: Run) -> bool:
    """Whether the deployment of `run` went well, or was taken back since."""
    ended = [
        event.data["outcome"]
        for event in run.events.read()
        if event.name == "phase ended" and event.data["phase"] == PHASE
    ]
    if "passed" in ended:
        return True
    taken_back = (Facts(each).get(ROLLED_BACK) for each in archive.runs(run.environment))
    return any(fact["run"] == run.id for fact in taken_back if fact)


def _deployment(run: Run) -> Deployment | None:
    facts = dict(Facts(run))
    if PREVIOUS not in facts or not has_begun(run):
        return None
    point = RollbackPoint(**facts[FACT]) if FACT in facts else None
    return Deployment(run, facts[PREVIOUS], datetime.fromisoformat(facts[DEPLOYED_AT]), point)
