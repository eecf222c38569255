"""What earlier load tests of an environment measured, and whether this one is slower beyond noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import median
from typing import Any, Final

from runbook_lib.errors import RecordError
from runbook_lib.load.verdict import Judged
from runbook_lib.record import archive, overview

FACT: Final = overview.LOAD
COMPARED: Final = 5
"""How many earlier tests a test is compared with."""
LOOKED_AT: Final = 50
"""How many of the newest runs are looked through."""
SLOWER: Final = 1.1
"""By less than this factor nobody is bothered with a difference, however certain it is."""


@dataclass(frozen=True)
class Summary:
    """A load test in a few numbers: rates per second, latencies in milliseconds, shares from 0 to 1."""

    engine: str
    open_loop: bool
    rate: float
    calls: tuple[str, ...]
    sustained: float
    p50: float
    p95: float
    p95_low: float
    p95_high: float
    p99: float
    errors: float

    @classmethod
    def of(cls, seen: Judged) -> Summary:
        """The numbers of a test that was judged."""
        result = seen.result
        return cls(
            engine=result.engine,
            open_loop=result.profile.open_loop,
            rate=max((rate for *_, rate in result.profile.load.held), default=0.0),
            calls=tuple(call.title for call in result.profile.calls),
            sustained=seen.sustained,
            p50=float(result.percentile(50)[0]),
            p95=seen.p95.value,
            p95_low=seen.p95.low,
            p95_high=seen.p95.high,
            p99=seen.p99.value,
            errors=seen.errors,
        )

    @property
    def measured(self) -> bool:
        """Whether it has all of its numbers: a test that was stopped in its ramp has none to compare."""
        names = ("rate", "sustained", "p50", "p95", "p95_low", "p95_high", "p99", "errors")
        numbers = [getattr(self, name) for name in names]
        return all(isinstance(each, int | float) and isfinite(each) for each in numbers)

    def fact(self) -> dict[str, Any]:
        """As it is kept with the step's facts; nothing is where nothing was measured."""
        return {FACT: {name: _short(value) for name, value in asdict(self).items()}} if self.measured else {}

    def like(self, other: Summary) -> bool:
        """Whether both put the same load on the service, so that their numbers can be compared."""
        same = (self.open_loop, sorted(self.calls)) == (other.open_loop, sorted(other.calls))
        return same and abs(self.rate - other.rate) <= 0.01 * max(self.rate, other.rate)


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def earlier(environment: str, item: str, like: Summary) -> tuple[tuple[str, Summary], ...]:
    """The runs of an environment whose `item` was a load test like this one, by their ids, oldest first.

    Of a test that passed or failed; one that was inconclusive measured nothing.
    """
    found = []
    for run in archive.runs(environment)[-LOOKED_AT:]:
        try:
            events = run.events.read()
        except RecordError:
            # A damaged record is told of where it is verified.
            continue
        for event in events:
            data = event.data
            if event.name != "step finished" or data.get("item") != item or data["status"] not in ("passed", "failed"):
                continue
            summary = read((data.get("facts") or {}).get(FACT))
            if summary is not None and summary.like(like):
                found.append((run.id, summary))
    return tuple(found)


def read(fact: Mapping[str, Any] | None) -> Summary | None:
    """None of what another version of the kit has written, or of a test that measured nothing."""
    try:
        found = Summary(**{**(fact or {}), "calls": tuple((fact or {})["calls"])})
    except (TypeError, KeyError):
        return None
    return found if found.measured else None


def regression(now: Summary, before: Sequence[Summary]) -> str:
    """In a sentence, that this test is slower than the earlier ones beyond noise; empty where it is not.

    It is, where the whole interval of its p95 lies above the intervals of the last tests, of which there must be two
    at least, and above their median by more than :data:`SLOWER`.
    """
    last = before[-COMPARED:]
    if len(last) < 2 or not now.measured:
        return ""
    usual = median(one.p95 for one in last)
    if now.p95_low <= max(one.p95_high for one in last) or now.p95 <= SLOWER * usual:
        return ""
    return f"slower than the last {len(last)} tests beyond noise: p95 {now.p95:.1f} ms, before {usual:.1f} ms"
