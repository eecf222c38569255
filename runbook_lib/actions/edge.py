"""Stopping users at the edge, and letting them in again once the rollback is proved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from runbook_lib.checklist import ROLLBACK
from runbook_lib.environment import Environment
from runbook_lib.platforms import edges
from runbook_lib.record.archive import Run
from runbook_lib.step import Finding, Status, action

PROVED_BY: Final = ("R.1.2", "R.1.3", "R.2.1", "R.2.2")
"""The items that must have passed before users are let in."""
ERROR_RATE: Final = "success.error_rate"


@action("Stop accepting traffic at the edge")
def close(env: Environment) -> Finding:
    """R.1.1: close the edge to all but the runbook's own requests.

    Raises
    ------
    Waiting
        No edge is declared.
    Unanswerable
        The edge could not be closed.
    """
    edges.connect(env).close()
    return Finding(True, "the edge was told to close", "the edge closes")


@action("Accept traffic again")
def reopen(env: Environment, run: Run) -> Finding:
    """R.2.3, last: open the edge, if this rollback has proved the release, the database, the paths and the error rate.

    Raises
    ------
    Waiting
        No edge is declared.
    Unanswerable
        The edge could not be opened.
    """
    unproved = list(_unproved(run))
    expected = f"passed: {', '.join(PROVED_BY)} and the error rate"
    if unproved:
        return Finding(
            ok=False,
            observed=f"not opened, for these have not passed: {', '.join(unproved)}",
            expected=expected,
            remedy="mend what they say and roll back again; or judge for yourself, and open the edge by hand",
        )
    edges.connect(env).open()
    return Finding(True, "the edge was told to open", expected)


def _unproved(run: Run) -> Iterator[str]:
    """What this pass through notebook 90 has not shown, from the run's events."""
    items: dict[str, Any] = {}
    rate = None
    for event in run.events.read():
        if event.data.get("phase") != ROLLBACK:
            continue
        if event.name == "phase started":
            items, rate = {}, None
        elif event.name == "item finished":
            items[event.data["id"]] = event.data["status"]
        elif event.name == "step finished" and event.data["name"] == ERROR_RATE:
            rate = event.data["status"]
    yield from (item for item in PROVED_BY if items.get(item) not in (Status.PASSED, Status.WAIVED))
    if rate != Status.PASSED:
        yield "the error rate"
