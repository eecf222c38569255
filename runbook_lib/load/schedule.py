"""When each request is due, and which call it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_lib.load.interface import Arrivals, Call

if TYPE_CHECKING:
    import numpy as np


def times(arrivals: Arrivals, *, share: int = 0, shares: int = 1) -> np.ndarray:
    """Seconds since the test began at which requests are due.

    The n-th request is due when the integral of the rate reaches n. In a stage that begins at rate r and changes by a
    each second that is after t = 2 n / (r + √(r² + 2 a n)), which holds for a = 0 too.

    Parameters
    ----------
    share, shares:
        Of so many generators this is the one with that number, from 0; it takes every `shares`-th request.
    """
    import numpy as np

    parts, begin, before, reached = [], 0.0, 0.0, 0.0
    for stage in arrivals.stages:
        total = stage.seconds * (before + stage.rate) / 2.0
        if total > 0.0:
            # A rounding error must not make or lose a request where two stages meet.
            numbers = np.arange(np.ceil(reached - 1e-6), np.ceil(reached + total - 1e-6)) - reached
            slope = (stage.rate - before) / stage.seconds
            root = np.sqrt(np.maximum(0.0, before**2 + 2.0 * slope * numbers))
            with np.errstate(invalid="ignore"):
                after = np.where(numbers > 0, 2.0 * numbers / (before + root), 0.0)
            parts.append(begin + after)
        begin, before, reached = begin + stage.seconds, stage.rate, reached + total
    whole: np.ndarray = np.concatenate([np.empty(0), *parts])
    return whole[share::shares]


def turns(calls: tuple[Call, ...]) -> tuple[int, ...]:
    """The order in which calls take turns: each as often as its weight, spread as evenly as can be.

    This is the smooth weighted round robin of nginx: the call that lags most behind its share goes next.
    """
    total = sum(call.weight for call in calls)
    credit = [0] * len(calls)
    order = []
    for _ in range(total):
        credit = [have + call.weight for have, call in zip(credit, calls, strict=True)]
        chosen = max(range(len(calls)), key=credit.__getitem__)
        credit[chosen] -= total
        order.append(chosen)
    return tuple(order)
