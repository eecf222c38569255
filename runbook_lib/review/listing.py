"""The newest runs as a list shows them, sealed ones as far as they are signed by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from runbook_lib.errors import ConfigurationError
from runbook_lib.home import home
from runbook_lib.record import keys, seal
from runbook_lib.record.archive import Run
from runbook_lib.record.keys import Trust
from runbook_lib.review import lookup
from runbook_lib.review.lookup import Listed
from runbook_lib.step import Status


@dataclass(frozen=True)
class Row:
    """A run, as ENV/ID; `counts` says how many items have a status."""

    run: str
    release: str
    state: str
    counts: Mapping[str, int]
    started: str
    commit: str
    operator: str
    way: str


@dataclass(frozen=True)
class Listing:
    """The newest runs, oldest first, and how many there are of each environment that has any."""

    rows: tuple[Row, ...]
    totals: Mapping[str, int]


def newest(environment: str = "", *, limit: int) -> Listing:
    """The newest runs, of all environments or of one. Raises RecordError where the index cannot be made."""
    found = lookup.newest(environment, limit=limit)
    trust_of = cache(keys.trust_of)
    rows = (_row(each, trust_of) for each in found.runs)
    return Listing(tuple(rows), found.totals)


def _row(each: Listed, trust_of: Callable[[str], Trust]) -> Row:
    run = Run(home().outputs / each.environment / each.run)
    state, statuses = each.outcome, dict(each.statuses)
    if each.fault:
        state = f"damaged: runbook verify {run}"
    elif each.sealed:
        try:
            standing = seal.standing(run, trust_of(each.environment))
        except ConfigurationError as error:
            standing = seal.Standing(f"sealed, and who may sign cannot be read: {error}", {})
        state = seal.state(each.outcome, standing.words)
        statuses |= {id: Status.PASSED for id in standing.items if id in statuses}
    return Row(
        run=str(run),
        release=each.release,
        state=state,
        counts=dict(Counter(map(str, statuses.values()))),
        started=each.started,
        commit=each.commit,
        operator=each.operator,
        way=each.way,
    )
