"""A load test as a value: the profile that is asked for, and the result that came of it.

An open-loop profile sends by the clock, as users do who know nothing of each other; its latencies count from the moment
at which a request was due, so that a target that stalls is charged with everybody whom it kept waiting. A closed-loop
profile sends when the answer before has come: it finds a target's limit, and says nothing of how long users wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from runbook_lib.environment import Objectives
from runbook_lib.load.samples import Outcome

if TYPE_CHECKING:
    import httpx
    import numpy as np

    from runbook_lib.load.samples import Samples

BREAKER: Final = "stopped by the circuit breaker"
"""How the reason begins where a test stopped by itself."""

LOOKED_AT: Final = 10
"""Of so many answers to a call with a predicate, one's body is looked at; the first is."""

Predicate = Callable[[bytes], str]
"""Takes a body and says what is wrong with it, in a word or two; empty where nothing is. It must be importable."""


@dataclass(frozen=True)
class Call:
    """A request to send again and again.

    Parameters
    ----------
    request:
        As httpx builds it; its body must not be a stream.
    title:
        How it is called in tables.
    weight:
        How often it is sent, in relation to the other calls of its profile.
    status:
        What its answers may have; any other is an error.
    predicate:
        Looks at the body of one answer in :data:`LOOKED_AT`.
    """

    request: httpx.Request
    title: str
    weight: int = 1
    status: tuple[int, ...] = (200,)
    predicate: Predicate | None = None


@dataclass(frozen=True)
class Stage:
    """For `seconds` the rate goes in a straight line to `rate` requests per second; at once, where `seconds` is 0."""

    seconds: float
    rate: float


@dataclass(frozen=True)
class Arrivals:
    """Open loop: requests leave by the clock, whether or not the earlier ones came back; the rate begins at zero."""

    stages: tuple[Stage, ...]

    @property
    def duration(self) -> float:
        """Seconds until the last request is due."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def held(self) -> tuple[tuple[float, float, float], ...]:
        """Where the rate stands still: begin and end in seconds, and the rate."""
        found, begin, before = [], 0.0, 0.0
        for stage in self.stages:
            if stage.seconds and stage.rate == before:
                found.append((begin, begin + stage.seconds, stage.rate))
            begin, before = begin + stage.seconds, stage.rate
        return tuple(found)


@dataclass(frozen=True)
class Users:
    """Closed loop: `count` users, each of whom sends again `think` seconds after the answer before."""

    count: int
    duration: float
    ramp: float = 0.0
    think: float = 0.0

    @property
    def held(self) -> tuple[tuple[float, float, float], ...]:
        """Where all users are there: begin and end in seconds; no rate is promised."""
        return ((self.ramp, self.duration, 0.0),)


@dataclass(frozen=True)
class Scripted:
    """As a script decides.

    Parameters
    ----------
    duration:
        Seconds.
    open_loop:
        Whether its requests leave by the clock.
    held:
        Where its load stands still: begin and end in seconds, and the rate (0 where none is promised). Empty where its
        options do not tell, as of one that makes so many iterations.
    peak:
        The most iterations a second that it begins by the clock.
    first:
        When it begins its first iteration, in seconds.
    """

    duration: float
    open_loop: bool
    held: tuple[tuple[float, float, float], ...]
    peak: float = 0.0
    first: float = 0.0


def hold(rate: float, duration: float, *, ramp: float = 0.0) -> Arrivals:
    """`rate` requests per second for `duration` seconds, after a climb of `ramp` seconds."""
    return Arrivals((Stage(ramp, rate), Stage(duration, rate)))


def steps(rates: tuple[float, ...], seconds: float) -> Arrivals:
    """Each of the `rates`, in requests per second, for `seconds`."""
    return Arrivals(tuple(stage for rate in rates for stage in (Stage(0.0, rate), Stage(seconds, rate))))


@dataclass(frozen=True)
class Profile:
    """What to send, and what must hold.

    Parameters
    ----------
    calls:
        Sent in turn, by their weights.
    load:
        When: by the clock, or by users who wait for their answers.
    objectives:
        What the result is judged by.
    timeout:
        Seconds after which a request counts as unanswered.
    certificate_authority:
        A file; the system's own authorities where it is None.
    breaker:
        Share of errors among the requests of five seconds, beyond which the test stops by itself.
    ceiling:
        Requests per second that no script may exceed either.
    http2, cookies, follow_redirects, proxy:
        What only a full client does; it is slower than the built-in protocol.
    """

    calls: tuple[Call, ...]
    load: Arrivals | Users | Scripted
    objectives: Objectives = field(default_factory=Objectives)
    timeout: float = 10.0
    certificate_authority: str | None = None
    breaker: float = 0.5
    ceiling: float = math.inf
    http2: bool = False
    cookies: bool = False
    follow_redirects: bool = False
    proxy: str | None = None

    @property
    def open_loop(self) -> bool:
        """Whether requests leave by the clock."""
        return isinstance(self.load, Arrivals) or (isinstance(self.load, Scripted) and self.load.open_loop)


@dataclass(frozen=True)
class Cost:
    """What the generator itself cost, and how well it kept to its schedule.

    Parameters
    ----------
    processes:
        How many made the load.
    cpu:
        Cores in use, all processes together, while the test ran; NaN where the engine cannot tell.
    memory:
        The largest process, in bytes.
    dropped:
        Requests that were due and that the generator did not send, by no fault of the target.
    connections:
        How many were opened.
    """

    processes: int = 1
    cpu: float = float("nan")
    memory: int = 0
    dropped: int = 0
    connections: int = 0


@dataclass(frozen=True)
class Result:
    """What came back.

    Parameters
    ----------
    samples:
        One row for each request, ramp included, in the order in which they were due.
    cost:
        What the generator cost.
    stopped:
        Why the test ended before its time; empty where it did not.
    lost:
        Names of workers that went missing, with what they had measured.
    notes:
        What a reader must know, such as which client made the requests.
    missed:
        Objectives of the engine's own that did not hold, such as thresholds in a script.
    began:
        Unix time of the test's zero.
    """

    engine: str
    profile: Profile
    samples: Samples
    cost: Cost = Cost()
    stopped: str = ""
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    began: float = 0.0

    @cached_property
    def held(self) -> Samples:
        """The samples that were due while the load stood still: those that are judged."""
        return self.samples.due_within(self.profile.load.held)

    def percentile(self, *q: float) -> np.ndarray:
        """Exact percentiles (0 to 100) of the held latencies from when they were due, in milliseconds."""
        return self.held.percentile(*q)

    def error_rate(self) -> float:
        """Share of held requests that failed; NaN where there was none. A body that is wrong stands for all others
        that were not looked at.
        """
        if not len(self.held):
            return float("nan")
        unseen = (LOOKED_AT - 1) * self.held.outcomes().get(Outcome.WRONG_BODY, 0)
        return min(1.0, (float(self.held.failed.sum()) + unseen) / len(self.held))

    def lag(self, q: float) -> float:
        """The `q`-th percentile (0 to 100) of how late the generator came to its requests, in milliseconds."""
        import numpy as np

        late = self.samples.rows["lag"]
        return float(np.percentile(late, q)) * 1000.0 if len(late) else 0.0


class Engine(Protocol):
    """Something that makes load."""

    def run(self, profile: Profile) -> Result:
        """Run the profile; an interrupt ends it early, and what was measured is given back.

        Raises
        ------
        Unanswerable
            The generator could not run.
        """
        ...
