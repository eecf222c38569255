"""What an environment's runs show one after the other: load tests, items that waver, and how long phases take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import fmean, median
from typing import Final

from runbook_lib.review import lookup
from runbook_lib.review.lookup import Detail, Load, Recent

BEFORE: Final = 10
"""With the median of how many earlier tests of the same item a load test is compared."""
TESTS: Final = 100
"""How many of the newest load tests of each item are shown."""
RECENT: Final = 20
"""How many of the newest runs are looked through for items that waver, and for the phases' times."""
BACK_AND_FORTH: Final = 2
"""How often an item's verdict has changed at least that is said to waver: once is a fault, or its mending."""
_GOOD: Final[Mapping[str, bool]] = {"passed": True, "failed": False, "error": False}
"""The statuses that are verdicts; all others say nothing of whether the item holds."""


@dataclass(frozen=True)
class Point:
    """A load test, and by what share each of its numbers is above the median of the earlier ones; None without any."""

    load: Load
    throughput: float | None
    p95: float | None
    errors: float | None
    """The difference of the shares, not its share: it is mostly from none."""


@dataclass(frozen=True)
class Wavering:
    """An item whose verdict went back and forth: how often it changed, and the verdicts from the oldest on."""

    item: str
    changes: int
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class Pace:
    """A phase's mean time in seconds, over so many runs in which its gate spoke."""

    phase: int
    seconds: float
    runs: int


@dataclass(frozen=True)
class Trend:
    """What an environment's runs show; `runs` are those that were looked through for items and phases."""

    environment: str
    runs: int
    points: tuple[Point, ...]
    wavering: tuple[Wavering, ...]
    paces: tuple[Pace, ...]


def of(environment: str) -> Trend:
    """The trend of an environment. Raises RecordError where the index cannot be made."""
    return _trend(environment, lookup.recent(environment, tests=TESTS, runs=RECENT))


def of_each(environments: Sequence[str]) -> list[Trend]:
    """The trend of each environment."""
    found = lookup.recent(tests=TESTS, runs=RECENT)
    return [_trend(each, found) for each in environments]


def _trend(environment: str, found: Recent) -> Trend:
    seen = [detail for detail in found.details if detail.environment == environment]
    loads = sorted((load for load in found.loads if load.environment == environment), key=_place)
    return Trend(
        environment=environment,
        runs=len(seen),
        points=tuple(points(loads)),
        wavering=tuple(wavering(seen)),
        paces=tuple(paces(seen)),
    )


def _place(load: Load) -> tuple[str, int, str]:
    """Where a load test stands: runs by time, and the items of one as in the checklist."""
    return load.run, _items().get(load.item, len(_items())), load.item


@cache
def _items() -> Mapping[str, int]:
    from runbook_lib import checklist

    return {item.id: place for place, item in enumerate(checklist.items())}


def points(loads: Sequence[Load]) -> Iterator[Point]:
    """Each load test beside the median of up to :data:`BEFORE` tests of the same item before it."""
    before: dict[str, deque[Load]] = {}
    for load in loads:
        earlier = before.setdefault(load.item, deque(maxlen=BEFORE))
        if earlier:
            errors = load.errors - median(each.errors for each in earlier)
            throughput = _above(load.throughput, [each.throughput for each in earlier])
            yield Point(load, throughput, _above(load.p95, [each.p95 for each in earlier]), errors)
        else:
            yield Point(load, None, None, None)
        earlier.append(load)


def _above(value: float, earlier: Sequence[float]) -> float | None:
    usual = median(earlier)
    return value / usual - 1 if usual > 0 else None


def wavering(seen: Sequence[Detail]) -> Iterator[Wavering]:
    """The items whose verdict changed :data:`BACK_AND_FORTH` times or more, the most changeable first."""
    verdicts: dict[str, list[str]] = {}
    for detail in seen:
        for item, status in detail.statuses.items():
            if status in _GOOD:
                verdicts.setdefault(item, []).append(status)
    found = (Wavering(item, _changes(statuses), tuple(statuses)) for item, statuses in verdicts.items())
    yield from sorted((each for each in found if each.changes >= BACK_AND_FORTH), key=lambda each: -each.changes)


def _changes(statuses: Sequence[str]) -> int:
    return sum(_GOOD[one] != _GOOD[next_] for one, next_ in pairwise(statuses))


def paces(seen: Sequence[Detail]) -> Iterator[Pace]:
    """The mean time of each phase, by its number."""
    times: dict[int, list[float]] = {}
    for detail in seen:
        for phase, seconds in detail.seconds.items():
            times.setdefault(phase, []).append(seconds)
    yield from (Pace(phase, fmean(each), len(each)) for phase, each in sorted(times.items()))


def lines(found: Trend) -> Iterator[str]:
    """The trend for the terminal; a number in brackets is against the median of the earlier tests."""
    yield f"Load tests, each against the median of up to {BEFORE} before it:"
    for point in found.points[-RECENT:]:
        load, errors = point.load, "–" if point.errors is None else f"{point.errors:+.2%}"
        yield (
            f"  {load.run}  {load.release}  {load.item}  {load.throughput:.1f}/s ({change(point.throughput)})"
            f"  p95 {load.p95:.1f} ms ({change(point.p95)})  errors {load.errors:.2%} ({errors})"
        )
    if not found.points:
        yield "  none came to a verdict"
    yield f"Items whose verdict went back and forth over the last {found.runs} runs:"
    for each in found.wavering:
        yield f"  {each.item}  changed {each.changes} times: {' '.join(each.statuses)}"
    if not found.wavering:
        yield "  none"
    yield f"Mean time of each phase over the last {found.runs} runs:"
    for pace in found.paces:
        yield f"  {pace.phase:2}  {pace.seconds:.1f} s, of {pace.runs} runs"


def change(share: float | None) -> str:
    """A share above what is usual, as people read it; a dash where nothing is known."""
    return "–" if share is None else f"{share:+.1%}"
