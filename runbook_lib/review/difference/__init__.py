"""What differs between two runs: verdicts, what was seen and expected, load, settings, versions, and cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runbook_lib.record.archive import Run
from runbook_lib.record.summary import RunSummary, summarize
from runbook_lib.review.difference import cells, items, load, settings
from runbook_lib.review.difference.change import Change, Kind, mappings

__all__ = ["Change", "Difference", "Kind", "compare"]

OF_A_RUN = ("environment", "kind", "release", "commit", "way")


@dataclass(frozen=True)
class Difference:
    """What one run has otherwise than another; `remarks` are for the reader and make no difference."""

    changes: tuple[Change, ...]
    remarks: tuple[Change, ...] = ()


def compare(one: Run, other: Run) -> Difference:
    """All that differs; no change for two runs that say the same. Raises RecordError where a record is damaged."""
    before, after = summarize(one), summarize(other)
    under_load = tuple(load.compare(before, after))
    verdicts = tuple(items.compare(before, after))
    changes = (
        *_of_the_run(before, after, explained=any(change.kind is Kind.VERDICT for change in verdicts)),
        *verdicts,
        *(change for change in under_load if not change.remark),
        *settings.compare(one, other),
        *mappings(Kind.VERSION, before.opened.get("versions", {}), after.opened.get("versions", {})),
        *cells.compare(one, other),
    )
    return Difference(changes, tuple(change for change in under_load if change.remark))


def _of_the_run(before: RunSummary, after: RunSummary, *, explained: bool) -> Iterator[Change]:
    """How the runs were opened; how they ended only where the items' verdicts do not tell already."""
    told = [{name: each.opened.get(name) for name in OF_A_RUN} for each in (before, after)]
    if not explained:
        told = [{**row, "outcome": each.outcome} for row, each in zip(told, (before, after), strict=True)]
    yield from mappings(Kind.RUN, *told)
