"""Whether the service was slower under load, by the archived samples of both runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runbook_lib import checklist
from runbook_lib.errors import RecordError
from runbook_lib.load import comparison, history
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import RunSummary
from runbook_lib.review import kept
from runbook_lib.review.difference.change import Change, Kind
from runbook_lib.step import Status

if TYPE_CHECKING:
    from runbook_lib.load.history import Summary
    from runbook_lib.load.samples import Samples

NOT_COMPARED = "the percentiles were not compared"


@dataclass(frozen=True)
class Tested:
    """A load test on record: its run and file of samples, what load it was, whether it proved anything."""

    run: Run
    file: Mapping[str, Any]
    load: Summary | None
    conclusive: bool

    def __str__(self) -> str:
        if self.load is None:
            return "a load that is not on record"
        way = "by the clock" if self.load.open_loop else "by users who wait"
        return f"{self.load.rate:g} requests/s {way}: {', '.join(self.load.calls)}"


def compare(before: RunSummary, after: RunSummary) -> Iterator[Change]:
    """Of each item that was a load test in either run, its percentiles, or why they cannot be compared."""
    tests = [dict(_tests(summary)) for summary in (before, after)]
    for id in dict.fromkeys((*(item.id for item in checklist.items()), *tests[0], *tests[1])):
        old, new = (each.get(id) for each in tests)
        if old and new:
            yield from _compare(f"{id} under load", old, new)
        elif old or new:
            said = ["load samples on record" if each else "no load samples on record" for each in (old, new)]
            yield Change(Kind.LOAD, f"{id} under load", *said, detail=NOT_COMPARED)


def _tests(summary: RunSummary) -> Iterator[tuple[str, Tested]]:
    for id, item in summary.items.items():
        for step in item["steps"]:
            for file in step["evidence"]:
                if file["path"].endswith(comparison.SAMPLES):
                    load = history.read((step["facts"] or {}).get(history.FACT))
                    conclusive = step["status"] in (Status.PASSED, Status.FAILED)
                    yield id, Tested(summary.run, file, load, conclusive)


def _compare(place: str, old: Tested, new: Tested) -> Iterator[Change]:
    if old.file["sha256"] == new.file["sha256"]:
        return
    if old.load is None or new.load is None or not old.load.like(new.load):
        yield Change(Kind.LOAD, place, str(old), str(new), detail=f"another load: {NOT_COMPARED}")
        return
    samples = [_samples(each) for each in (old, new)]
    if any(isinstance(each, str) for each in samples):
        said = [each if isinstance(each, str) else "load samples on record" for each in samples]
        yield Change(Kind.LOAD, place, *said, detail=NOT_COMPARED)
    elif not (old.conclusive and new.conclusive):
        said = ["conclusive" if each.conclusive else "inconclusive" for each in (old, new)]
        detail = f"{NOT_COMPARED}: an inconclusive test proves nothing"
        yield Change(Kind.LOAD, place, *said, detail=detail, remark=True)
    else:
        yield from _shifts(place, *samples)


def _shifts(place: str, before: Any, after: Any) -> Iterator[Change]:
    for shift in comparison.compare(before, after):
        seen = f"{shift.before:.1f} ms", f"{shift.after:.1f} ms"
        yield Change(
            Kind.LOAD, f"{place}, p{shift.percentile}", *seen, detail=str(shift), remark=not shift.beyond_noise
        )


def _samples(test: Tested) -> Samples | str:
    """The judged samples, or in words why there are none: no others than those that were kept."""
    from runbook_lib.load.samples import judged

    try:
        found = judged(kept.content_of(test.run, test.file))
    except RecordError as error:
        return str(error)
    except ValueError:
        return f"{comparison.SAMPLES} cannot be read"
    return found if len(found) else f"{comparison.SAMPLES} holds no request that is judged"
