"""Whether the percentiles of one load test differ from those of another beyond noise, by their samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runbook_lib.load.history import SLOWER
from runbook_lib.load.samples import Samples
from runbook_lib.load.verdict import CONFIDENCE, Estimate, by_block, interval, resampled

SAMPLES: Final = "samples.parquet"
"""What the evidence of a load test calls its samples."""
PERCENTILES: Final = (95, 99)
METHOD: Final = "two-sample block bootstrap (Efron & Tibshirani 1993, 8.3 and 13.3; Carlstein 1986)"


@dataclass(frozen=True)
class Shift:
    """A percentile in both tests, and their difference (after less before) with its interval; in milliseconds."""

    percentile: int
    before: float
    after: float
    difference: Estimate

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves zero out, and the factor between the two is one that anybody minds."""
        less, more = sorted((self.before, self.after))
        certain = self.difference.low > 0 or self.difference.high < 0
        return certain and more > SLOWER * less

    def __str__(self) -> str:
        direction = "slower" if self.after > self.before else "faster"
        said = f"{direction} beyond noise" if self.beyond_noise else "within noise"
        found = self.difference
        return (
            f"{said}: difference {found.value:+.1f} ms, {CONFIDENCE:g} % interval {found.low:+.1f} to "
            f"{found.high:+.1f} ms; {METHOD}"
        )


def compare(before: Samples, after: Samples) -> tuple[Shift, ...]:
    """How the :data:`PERCENTILES` of the latency moved from one test to another of the same load.

    Both tests are resampled by themselves, block of time by block of time, as :func:`verdict.bootstrap` says, and the
    percentile interval is taken of the differences: B. Efron and R. Tibshirani, An Introduction to the Bootstrap
    (1993), sections 8.3 (two samples) and 13.3 (percentile intervals); E. Carlstein, Annals of Statistics 14 (1986),
    for the blocks. No interval knows what differs between two tests and not within one, such as another neighbour on
    the machine, which is why less than the factor :data:`history.SLOWER` counts as noise.

    Both must hold samples.
    """
    counts = by_block(before), by_block(after)
    found = []
    for q in PERCENTILES:
        old, new = (float(each.percentile(q)[0]) for each in (before, after))
        drawn = resampled(counts[1], q, seed=1) - resampled(counts[0], q)
        found.append(Shift(q, old, new, interval(drawn, new - old)))
    return tuple(found)
