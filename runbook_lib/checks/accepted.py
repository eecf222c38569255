"""Which of an audit's findings somebody has accepted, by name, with a reason and until a date."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from runbook_lib.environment import AcceptedFinding, Environment
from runbook_lib.step import Table


@dataclass(frozen=True)
class Sorted:
    """Findings by what was decided on them: those open, those accepted, those whose acceptance has expired.

    Each finding goes by all of its names; those expired are open too.
    """

    open: tuple[Collection[str], ...]
    accepted: tuple[tuple[Collection[str], AcceptedFinding], ...]
    expired: tuple[tuple[Collection[str], AcceptedFinding], ...]


def sort(
    findings: Iterable[Collection[str]], decisions: Iterable[AcceptedFinding], today: date | None = None
) -> Sorted:
    """Sort findings by the decisions on them.

    Parameters
    ----------
    findings:
        The names of each, such as an advisory's id and its aliases; a decision on any of them counts.
    today:
        In UTC; now's where absent. The day that a decision names is the last on which it counts.
    """
    day = today or datetime.now(UTC).date()
    held = tuple(decisions)
    still_open, accepted, expired = [], [], []
    for names in findings:
        fitting = [decision for decision in held if decision.id in names]
        in_force = next((decision for decision in fitting if decision.expires >= day), None)
        if in_force is not None:
            accepted.append((names, in_force))
            continue
        still_open.append(names)
        expired += [(names, decision) for decision in fitting[:1]]
    return Sorted(tuple(still_open), tuple(accepted), tuple(expired))


def judge(env: Environment, findings: Iterable[Collection[str]]) -> tuple[Sorted, dict[str, Any], tuple[Table, ...]]:
    """Sort findings by ``security_audit.accepted``: the outcome, what to report of it, and the decisions as a table."""
    outcome = sort(findings, env.security_audit.accepted)
    decided = [*outcome.accepted, *outcome.expired]
    observed: dict[str, Any] = {
        "open": [_first(names) for names in outcome.open],
        "accepted": [_first(names) for names, _ in outcome.accepted],
    }
    if outcome.expired:
        observed["acceptance expired"] = {_first(names): str(one.expires) for names, one in outcome.expired}
    rows = tuple((one.id, one.reason, str(one.expires)) for _, one in decided)
    return outcome, observed, (Table(("accepted", "reason", "expires"), rows, "Decisions"),) if rows else ()


def _first(names: Collection[str]) -> str:
    return next(iter(names), "")
