"""Whether the service was slower under load, by the archived samples of both runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib import checklist
from runbook_lib.errors import RecordError
from runbook_lib.load import comparison, history
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import RunSummary
from runbook_lib.review.difference.change import Change, Kind
from runbook_lib.step import Status

if TYPE_CHECKING:
    from runbook_lib.load.history import Summary
    from runbook_lib.load.samples import Samples

NOT_COMPARED = "the percentiles were not compared"


@dataclass(frozen=True)
class Tested:
    """A load test on record: its file of samples, what load it was, whether it proved anything."""

    path: Path | None
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
    for id in (item.id for item in checklist.items()):
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
                    yield id, Tested(_within(summary.run, file["path"]), load, conclusive)


def _within(run: Run, name: str) -> Path | None:
    """A file of the record; one that an event claims to lie elsewhere is none of it."""
    try:
        return run.file(name)
    except RecordError:
        return None


def _compare(place: str, old: Tested, new: Tested) -> Iterator[Change]:
    contents = [each.path.read_bytes() if each.path and each.path.is_file() else b"" for each in (old, new)]
    if contents[0] and contents[0] == contents[1]:
        return
    if old.load is None or new.load is None or not old.load.like(new.load):
        yield Change(Kind.LOAD, place, str(old), str(new), detail=f"another load: {NOT_COMPARED}")
        return
    samples = [_samples(content) for content in contents]
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


def _samples(content: bytes) -> Samples | str:
    """The judged samples, or in words why there are none."""
    from runbook_lib.load.samples import judged

    if not content:
        return f"{comparison.SAMPLES} is missing"
    try:
        found = judged(content)
    except ValueError:
        return f"{comparison.SAMPLES} cannot be read"
    return found if len(found) else f"{comparison.SAMPLES} holds no request that is judged"
