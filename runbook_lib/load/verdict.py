"""Passed, failed or inconclusive: what a load test's samples say of its objectives, and whether they may say it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from runbook_lib.load.interface import BREAKER, Result
from runbook_lib.load.samples import Samples

if TYPE_CHECKING:
    import numpy as np

WINDOW_SECONDS: Final = 10.0
"""The rate must be sustained in every window of this length; in the whole test, where that is shorter."""
DROPPED_TOLERANCE: Final = 0.001
"""Share of the requests that the generator may fail to send."""
LAG_SHARE: Final = 0.1
"""The generator's own lateness may be this much of the latency that is tolerated at the same percentile."""
RESAMPLES: Final = 1000
CONFIDENCE: Final = 95.0
MOST_BLOCKS: Final = 120
LEAST: Final = 0.01
BIN: Final = 1.01
"""The smallest latency that is told apart, in milliseconds, and by which factor a bin is wider than the one before."""


class Outcome(StrEnum):
    """What a verdict comes to."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Measure:
    """One number beside its objective; `interval` holds it with 95 % confidence, where that was estimated."""

    name: str
    observed: str
    expected: str
    ok: bool
    interval: str = ""
    judged: bool = True


@dataclass(frozen=True)
class Verdict:
    """The outcome, why it is so, and the numbers behind it."""

    outcome: Outcome
    reasons: tuple[str, ...]
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Judged:
    """The numbers by which a result is judged, each worked out once."""

    result: Result

    @cached_property
    def p95(self) -> Estimate:
        """In milliseconds."""
        return self._estimate(95.0)

    @cached_property
    def p99(self) -> Estimate:
        """In milliseconds."""
        return self._estimate(99.0)

    def _estimate(self, q: float) -> Estimate:
        value = float(self.result.percentile(q)[0])
        return bootstrap(self._by_block, q, value) if len(self.result.held) else Estimate(value, value, value)

    @cached_property
    def _by_block(self) -> np.ndarray:
        return by_block(self.result.held)

    @cached_property
    def errors(self) -> float:
        """Share of the held requests."""
        return self.result.error_rate()

    @cached_property
    def sustained(self) -> float:
        """Good answers per second in the worst window."""
        return min(rates(self.result), default=float("nan"))


@dataclass(frozen=True)
class Estimate:
    """A percentile, exact for the samples, and the ends of its bootstrap interval; in milliseconds."""

    value: float
    low: float
    high: float


def by_block(held: Samples) -> np.ndarray:
    """How many requests of each block of time (a row) had a latency in each bin (a column)."""
    import numpy as np

    due, edges = held.rows["due"], len(_edges())
    # The second in which each request was due; longer blocks, where there are more seconds than blocks.
    begin = float(due.min())
    length = max(1.0, (float(due.max()) - begin) / (MOST_BLOCKS - 1))
    blocks = np.minimum((due - begin) / length, MOST_BLOCKS - 1).astype(int)
    logarithms = np.log(np.maximum(held.milliseconds, LEAST) / LEAST) / np.log(BIN)
    bins = np.minimum(np.ceil(logarithms).astype(int), edges - 1)
    counts = np.bincount(blocks * edges + bins, minlength=MOST_BLOCKS * edges).reshape(MOST_BLOCKS, edges)
    filled: np.ndarray = counts[counts.any(axis=1)]
    return filled


def _edges() -> np.ndarray:
    """The upper end of each bin, in milliseconds."""
    import numpy as np

    return LEAST * BIN ** np.arange(1852)


def bootstrap(counts: np.ndarray, q: float, value: float) -> Estimate:
    """The `q`-th percentile (0 to 100), which is `value`, with its interval.

    The interval is Efron's percentile bootstrap over blocks of time (Carlstein's, with blocks that do not overlap):
    answers of the same second share its stalls, and to draw them one by one would make the interval look narrower than
    it is. Latencies are binned by 1 %, which is how exact its ends are.

    Parameters
    ----------
    counts:
        As :func:`by_block` gives them.
    """
    return interval(resampled(counts, q), value)


def resampled(counts: np.ndarray, q: float, seed: int = 0) -> np.ndarray:
    """The `q`-th percentile, in milliseconds, of :data:`RESAMPLES` tests made of blocks drawn from this one."""
    import numpy as np

    edges, number = _edges(), len(counts)
    drawn = np.random.default_rng(seed).multinomial(number, [1 / number] * number, size=RESAMPLES)
    together = np.cumsum(drawn.astype(np.float32) @ counts.astype(np.float32), axis=1)
    at = (together < together[:, -1:] * q / 100.0).sum(axis=1).clip(0, len(edges) - 1)
    found: np.ndarray = edges[at]
    return found


def interval(drawn: np.ndarray, value: float) -> Estimate:
    """`value` with the middle :data:`CONFIDENCE` per cent of what was drawn; never outside of it."""
    import numpy as np

    low, high = np.percentile(drawn, [(100 - CONFIDENCE) / 2, (100 + CONFIDENCE) / 2])
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def rates(result: Result, *, lag: bool = True) -> list[float]:
    """Good answers per second in every window, which slides by a second, of the time for which the load stood still.

    Without `lag`, what the generator itself came late with is taken off.

    An answer within the p95 objective belongs to the moment at which its request was due, one that came later to as
    much after that moment as it was late: requests under way at a window's end are not held against it, as long as they
    are no more than Little's law lets a target have that keeps its objective; a backlog that grows is.
    """
    import numpy as np

    good = result.samples.where(~result.samples.failed & (result.samples.rows["status"] > 0))
    took = good.milliseconds - (0.0 if lag else good.rows["lag"] * 1000.0)
    late = np.maximum(0.0, took - result.profile.objectives.p95_milliseconds) / 1000.0
    moments = np.sort(good.rows["due"] + late)
    found = []
    for begin, end, _ in _judged_stages(result):
        length = min(WINDOW_SECONDS, end - begin)
        if length <= 0:
            continue
        starts = np.arange(begin, end - length + 1e-9, 1.0)
        counts = np.searchsorted(moments, starts + length - 1e-9) - np.searchsorted(moments, starts - 1e-9)
        found += [float(count) / length for count in counts]
    return found


def _judged_stages(result: Result) -> tuple[tuple[float, float, float], ...]:
    """Where the load stood still and, in open loop, at the objective or above; everywhere, if it nowhere was."""
    stages = result.profile.load.held
    objective = result.profile.objectives.requests_per_second
    return tuple(stage for stage in stages if stage[2] >= objective) or stages


def measures(seen: Judged) -> tuple[Measure, ...]:
    """Each number beside its objective."""
    objectives = seen.result.profile.objectives
    latencies = (
        ("p95", seen.p95, objectives.p95_milliseconds),
        ("p99", seen.p99, objectives.p99_milliseconds),
    )
    return (
        Measure(
            f"good answers in the worst {_window(seen.result):g} s",
            f"{seen.sustained:.1f}/s",
            f">= {objectives.requests_per_second:g}/s",
            _sustained(seen.result, seen.sustained),
        ),
        *(
            Measure(
                f"{name} of the latency",
                f"{estimate.value:.1f} ms",
                "not judged" if limit is None else f"< {limit:g} ms",
                limit is None or estimate.value < limit,
                f"{estimate.low:.1f} to {estimate.high:.1f} ms",
                limit is not None,
            )
            for name, estimate, limit in latencies
        ),
        Measure("errors", f"{seen.errors:.2%}", *_tolerated(seen.errors, objectives.error_rate)),
    )


def _tolerated(errors: float, most: float) -> tuple[str, bool]:
    """What was expected of the share of errors, and whether it holds; none at all where none is tolerated."""
    return ("none", errors == 0.0) if most == 0.0 else (f"< {most:.2%}", errors < most)


def judge(seen: Judged) -> Verdict:
    """The verdict on a result.

    A generator that was too slow, was interrupted or lost a part of itself says nothing about the target, good or bad.
    What was measured and misses an objective has failed. What meets it by less than the interval of the percentile is
    inconclusive too: another test of this length could as well have missed it.
    """
    result = seen.result
    if trouble := troubles(result):
        return Verdict(Outcome.INCONCLUSIVE, trouble, measures(seen))
    numbers = measures(seen)
    if result.stopped:
        return Verdict(Outcome.FAILED, (result.stopped,), numbers)
    missed = (
        tuple(f"{one.name} {one.observed}, expected {one.expected}" for one in numbers if not one.ok) + result.missed
    )
    if missed:
        paused = _paused(seen, numbers) if len(missed) == 1 else ""
        return Verdict(*((Outcome.INCONCLUSIVE, (paused,)) if paused else (Outcome.FAILED, missed)), numbers)
    if unsure := _unsure(seen):
        return Verdict(Outcome.INCONCLUSIVE, unsure, numbers)
    return Verdict(Outcome.PASSED, (), numbers)


def _paused(seen: Judged, numbers: tuple[Measure, ...]) -> str:
    """That the rate alone is missed, and only because the generator paused; else nothing."""
    rate, *others = numbers
    result = seen.result
    if rate.ok or not all(one.ok for one in others) or not result.profile.open_loop:
        return ""
    without = min(rates(result, lag=False), default=0.0)
    if not _sustained(result, without):
        return ""
    return (
        f"{result.engine} paused, up to {result.lag(100):.0f} ms: {rate.name} are {rate.observed}, and "
        f"{without:.1f}/s without its own lateness; is this machine busy?"
    )


def _sustained(result: Result, rate: float) -> bool:
    """Whether `rate` holds the objective, in whole answers: a window of 10 s at 1.25/s holds twelve or thirteen."""
    return round(rate * _window(result)) >= math.floor(result.profile.objectives.requests_per_second * _window(result))


def _window(result: Result) -> float:
    return min(WINDOW_SECONDS, *(end - begin for begin, end, _ in _judged_stages(result)))


def troubles(result: Result) -> tuple[str, ...]:
    """Why the samples say nothing about the target; empty where they do."""
    planned = len(result.samples) + result.cost.dropped
    found = [f"{name} was lost in mid-test" for name in result.lost]
    if result.stopped and not result.stopped.startswith(BREAKER):
        found.append(f"{result.stopped} before its end")
    if result.cost.dropped > planned * DROPPED_TOLERANCE:
        found.append(f"{result.engine} did not send {result.cost.dropped} of {planned} requests")
    if result.profile.open_loop:
        found += [
            f"{result.engine} fell behind its schedule: p{q} of its lag is {result.lag(q):.1f} ms, "
            f"allowed {LAG_SHARE * limit:g} ms"
            for q, limit in _limits(result)
            if result.lag(q) > LAG_SHARE * limit
        ]
    if not len(result.held) and not result.stopped:
        found.append("no request was made while the load stood still")
    return tuple(found)


def _limits(result: Result) -> tuple[tuple[int, float], ...]:
    """The percentiles that are judged, each with its limit in milliseconds."""
    objectives = result.profile.objectives
    declared = ((95, objectives.p95_milliseconds), (99, objectives.p99_milliseconds))
    return tuple((q, limit) for q, limit in declared if limit is not None)


def _unsure(seen: Judged) -> tuple[str, ...]:
    found = []
    for q, limit in _limits(seen.result):
        one = seen.p95 if q == 95 else seen.p99
        if one.high >= limit:
            found.append(
                f"p{q} {one.value:.1f} ms is below {limit:g} ms, but its interval reaches {one.high:.1f} ms: "
                "a longer test would tell"
            )
    return tuple(found)
