"""Rate limits, tested by bounded bursts."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from runbook_lib.checks import http
from runbook_lib.checks.http import Answer, Examination
from runbook_lib.environment import Environment, RateLimit
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.observation import Observation
from runbook_lib.step import Finding, Table, check, progress

AT_ONCE: Final = 8
LIMITED: Final = 429
REMEDY: Final = "look at the limiter's settings, whether all workers share its counts, and how it tells clients apart"


def _limit(env: Environment) -> RateLimit:
    if env.security.rate_limit is None:
        raise NotApplicable(f"{env.name}.toml declares no security.rate_limit")
    return env.security.rate_limit


@dataclass(frozen=True)
class Burst:
    """Many requests at once: what each came to, and the seconds until the last was answered."""

    seen: tuple[Examination, ...]
    seconds: float

    @property
    def refused(self) -> tuple[Answer, ...]:
        """Answers with status 429."""
        return tuple(one.answer for one in self.seen if one.answer and one.answer.status == LIMITED)

    @property
    def accepted(self) -> int:
        """Answers as declared."""
        return sum(not one.problems for one in self.seen)

    @property
    def odd(self) -> tuple[str, ...]:
        """What came that is neither."""
        return tuple(
            dict.fromkeys(
                one.observed for one in self.seen if one.problems and not (one.answer and one.answer.status == LIMITED)
            )
        )


@dataclass(frozen=True)
class Limiting:
    """How the limit was met once: the burst, and what came of it.

    Parameters
    ----------
    burst, most:
        More requests than the limit, and how many of them may be accepted.
    second:
        Whether another client was served meanwhile; None where none was asked.
    returned:
        Seconds until we were served again; None where we were not within two windows, or were never refused.
    """

    burst: Burst
    most: int
    second: bool | Unanswerable | None
    returned: float | None


def limiting(env: Environment) -> Observation[Limiting]:
    """One burst beyond the limit, which 12.3.1 to 12.3.3 judge; it leaves the service open to us."""
    return Observation(env, lambda: _meet_limit(env))


def _meet_limit(env: Environment) -> Limiting:
    limit = _limit(env)
    burst, most = _burst_after_quiet(env)
    if burst.accepted > most:
        burst, most = _burst_after_quiet(env)
    second = _second_client(env, limit.second_client) if limit.second_client and burst.refused else None
    return Limiting(burst, most, second, _wait_for_return(env) if burst.refused else None)


def _second_client(env: Environment, address: str) -> bool | Unanswerable:
    try:
        return _accepted_from(env, address)
    except Unanswerable as error:
        return error


def _burst(env: Environment, count: int) -> Burst:
    limit = _limit(env)
    started = time.monotonic()
    with http.client(env) as via, ThreadPoolExecutor(AT_ONCE) as pool:
        seen = tuple(pool.map(lambda _: http.examine(env, limit.request, via=via), range(count)))
    return Burst(seen, time.monotonic() - started)


def _wait_for_return(env: Environment) -> float | None:
    """Seconds until a request is accepted again, None where it is not within two windows."""
    limit = _limit(env)
    started = time.monotonic()
    with http.client(env) as via:
        while (waited := time.monotonic() - started) <= 2 * limit.window_seconds + 1:
            seen = http.examine(env, limit.request, via=via)
            if seen.answer and seen.answer.status != LIMITED:
                return waited if not seen.problems else None
            progress("limited; waiting for the window to end")
            time.sleep(limit.window_seconds / 20)
    return None


def _accepted_from(env: Environment, address: str) -> bool:
    """Whether a client with another local `address` is served. Raises Unanswerable where we cannot be one."""
    with http.client(env, local_address=address) as via:
        seen = http.examine(env, _limit(env).request, via=via)
    if seen.answer is None:
        raise Unanswerable(
            f"no request could be made from {address}: {seen.observed}",
            remedy="correct security.rate_limit.second_client: it must be an address of this machine",
        )
    return not seen.problems


@check("The rate limit holds at the declared number, for one client, and for one window")
def holds(env: Environment, limiting: Observation[Limiting]) -> Finding:
    """12.3.1: after a quiet window the declared number is accepted, a second client is served, and we again later.

    A limiter that refills steadily may accept what it refilled during the burst. A burst across the border of two fixed
    windows would be accepted twice; so where too much is accepted, a second burst decides.
    """
    limit = _limit(env)
    seen = limiting.for_item("12.3.1")
    if isinstance(seen.second, Unanswerable):
        raise seen.second
    burst, most, second, returned = seen.burst, seen.most, seen.second, seen.returned
    rows = (
        ("requests accepted in a burst", f"{limit.limit} to {most}", str(burst.accepted)),
        ("requests refused with 429", f">= {len(burst.seen) - most}", str(len(burst.refused))),
        ("other answers", "none", "; ".join(burst.odd) or "none"),
        ("a second client meanwhile", "served", {None: "not asked", True: "served", False: "refused"}[second]),
        ("served again after", f"<= {limit.window_seconds:g} s", "never" if returned is None else f"{returned:.1f} s"),
    )
    in_time = returned is not None and returned <= limit.window_seconds * 1.1 + 1
    alone = second is True or (second is None and limit.second_client is None)
    return Finding(
        ok=limit.limit <= burst.accepted <= most and not burst.odd and alone and in_time,
        observed={name: observed for name, _, observed in rows},
        expected={name: expected for name, expected, _ in rows},
        remedy=REMEDY,
        tables=(Table(("what", "expected", "observed"), rows),),
    )


def _burst_after_quiet(env: Environment) -> tuple[Burst, int]:
    """A burst of one and a half limits, and how many of it may be accepted.

    The silence before it is not spent polling, for a sliding window would count that.
    """
    limit = _limit(env)
    progress(f"quiet for {limit.window_seconds:g} s, so that the window is ours")
    time.sleep(limit.window_seconds * 1.05)
    burst = _burst(env, limit.limit + max(5, limit.limit // 2))
    if burst.seconds >= limit.window_seconds:
        raise Unanswerable(
            f"the burst took {burst.seconds:.1f} s, longer than the window of {limit.window_seconds:g} s",
            remedy="run this item from a machine nearer to the target",
        )
    return burst, limit.limit + math.ceil(burst.seconds * limit.limit / limit.window_seconds)


@check("Requests beyond the limit are answered with 429")
def answers_429(env: Environment, limiting: Observation[Limiting]) -> Finding:
    """12.3.2: the burst beyond the limit meets 429, and no other error."""
    limit, burst = _limit(env), limiting.for_item("12.3.2").burst
    return Finding(
        ok=bool(burst.refused) and not burst.odd,
        observed={
            "accepted": burst.accepted,
            "429": len(burst.refused),
            "others": list(burst.odd),
            "requests": len(burst.seen),
        },
        expected=f"429 beyond {limit.limit} in {limit.window_seconds:g} s, and no other error",
        remedy=REMEDY,
    )


@check("A limited client is told when to come back")
def tells_client(env: Environment, limiting: Observation[Limiting]) -> Finding:
    """12.3.3: the 429 carries Retry-After (RFC 9110, 10.2.3) of at most a window, or RateLimit headers."""
    limit, burst = _limit(env), limiting.for_item("12.3.3").burst
    if not burst.refused:
        return Finding(
            False, f"no 429 in {len(burst.seen)} requests", "a 429 with Retry-After or RateLimit headers", REMEDY
        )
    headers = burst.refused[-1].headers
    told = {name: value for name, value in headers.items() if name == "retry-after" or "ratelimit" in name}
    return Finding(
        ok=bool(told) and _credible(told.get("retry-after"), limit.window_seconds),
        observed=told or "neither",
        expected=f"Retry-After of 0 to {limit.window_seconds:g} s, or RateLimit headers",
        remedy="let the limiter send Retry-After with its 429",
    )


def _credible(retry_after: str | None, window: float) -> bool:
    """Whether Retry-After, where it is given, is at most a `window` in seconds; it is rounded up to a whole one."""
    if retry_after is None:
        return True
    seconds = _seconds(retry_after)
    return seconds is not None and seconds <= window + 1


def _seconds(value: str) -> float | None:
    """Retry-After in seconds from now: a number, or a date; None where it is neither."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
