"""A load test as a value: the profile that is asked for, and the result that came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runbook_lib.environment import Objectives, Request

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Profile:
    """What to send: an open-loop arrival `rate` in requests per second, ramped up, then held for `duration` seconds."""

    base_url: str
    requests: tuple[Request, ...]
    rate: float
    duration: float
    ramp: float
    headers: tuple[tuple[str, str], ...] = ()
    certificate_authority: str | None = None


@dataclass(frozen=True)
class Result:
    """What came back.

    Parameters
    ----------
    samples:
        One row for each request, ramp included: ``start`` (seconds since the test began), ``seconds`` (duration),
        ``status`` (0 where no answer came), ``error`` (text, empty where none), ``request`` (its title).
    dropped:
        Requests that the generator did not send; more than none means that it fell behind its schedule.
    """

    engine: str
    profile: Profile
    samples: pd.DataFrame
    dropped: int

    def held(self) -> pd.DataFrame:
        """The samples after the ramp."""
        return self.samples[self.samples["start"] >= self.profile.ramp]

    def percentile(self, q: float) -> float:
        """The exact `q`-th percentile (0 to 100) of the held latencies, in milliseconds."""
        import numpy as np

        latencies: np.ndarray = self.held()["seconds"].to_numpy()
        return float(np.percentile(latencies, q) * 1000.0) if len(latencies) else float("nan")

    def throughput(self) -> float:
        """Answers per second while the rate was held."""
        return len(self.held()) / self.profile.duration

    def error_rate(self) -> float:
        """Share of held requests that got no answer, or a status of 400 or more."""
        held = self.held()
        failed = (held["status"] == 0) | (held["status"] >= 400) | (held["error"] != "")
        return float(failed.mean()) if len(held) else float("nan")


class Engine(Protocol):
    """Something that makes load."""

    def run(self, profile: Profile, objectives: Objectives) -> Result:
        """Run the profile. Raises Unanswerable where the generator cannot run."""
        ...
