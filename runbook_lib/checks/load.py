"""Whether the service holds its objectives under load."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runbook_lib.checks import http
from runbook_lib.checks.sessions import Sessions, Watch
from runbook_lib.environment import Environment, Objectives
from runbook_lib.errors import Unanswerable
from runbook_lib.load import charts
from runbook_lib.load.interface import Engine, Profile, Result
from runbook_lib.load.k6 import K6
from runbook_lib.observation import Observation
from runbook_lib.step import Evidence, Finding, Table, check, progress

MARGIN: Final = 1.02
"""We send this much more than the objective, so that a request more or less at the ends does not decide."""

DROPPED_TOLERANCE: Final = 0.001
"""Share of the planned requests that the generator may fail to send."""

REMEDY: Final = "see the charts for when it began, and the services' logs at that time; then workers, pool, queries"


def engine(env: Environment) -> Engine:
    """What makes the load."""
    return K6(timeout=env.limits.request)


def profile(env: Environment, *, duration: float, ramp: float) -> Profile:
    """The environment's load at its objective; `duration` and `ramp` in seconds."""
    authority = env.web.certificate_authority
    return Profile(
        base_url=env.web.url,
        requests=env.load.requests,
        rate=env.objectives.requests_per_second * MARGIN,
        duration=duration,
        ramp=ramp,
        headers=((http.HEADER, http.MARK),),
        certificate_authority=str(authority) if authority else None,
    )


@dataclass(frozen=True)
class Loaded:
    """What was seen while the service was under load: its answers, and the database's sessions."""

    result: Result
    sessions: Sessions | Unanswerable


def under_load(env: Environment) -> Observation[Loaded]:
    """The load of 11.1, for ``load.duration_seconds`` at the declared rate; 11.3.3 judges it too."""
    return Observation(env, lambda: _load_and_watch(env))


def _load_and_watch(env: Environment) -> Loaded:
    with Watch(env) as watch:
        result = make(env, duration=env.load.duration_seconds, ramp=env.load.ramp_seconds)
    try:
        return Loaded(result, watch.seen())
    except Unanswerable as error:
        return Loaded(result, error)


@check("The service holds its objectives under sustained load")
def sustained(env: Environment, loaded: Observation[Loaded]) -> Finding:
    """11.1: the declared rate is reached and held; objectives as in ``objectives``."""
    return judge(loaded.for_item("11.1").result, env.objectives)


def make(env: Environment, *, duration: float, ramp: float) -> Result:
    """Make the load for `duration` seconds after a `ramp` in seconds."""
    asked = profile(env, duration=duration, ramp=ramp)
    progress(f"{asked.rate:g} requests/s for {duration:g} s after a ramp of {ramp:g} s")
    return engine(env).run(asked, env.objectives)


def judge(result: Result, objectives: Objectives) -> Finding:
    """Passed, failed, or inconclusive.

    Requests that were never sent make a result look better than it is. So a bad result stands whatever was dropped,
    and a good one only where the generator kept to its schedule.

    Raises
    ------
    Unanswerable
        No objective of quality is missed, but more was dropped than :data:`DROPPED_TOLERANCE` allows.
    """
    p95, errors, rate = result.percentile(95), result.error_rate(), result.throughput()
    good = p95 < objectives.p95_milliseconds and errors < objectives.error_rate
    planned = len(result.samples) + result.dropped
    if good and result.dropped > planned * DROPPED_TOLERANCE:
        raise Unanswerable(
            f"inconclusive: {result.engine} did not send {result.dropped} of {planned} requests, "
            f"so that p95 {p95:.1f} ms and {errors:.2%} errors prove nothing",
            remedy="run it from a machine with more processors, or with less else running",
        )
    return Finding(
        ok=good and rate >= objectives.requests_per_second,
        observed=f"{rate:.1f} requests/s, p95 {p95:.1f} ms, errors {errors:.2%}, dropped {result.dropped}",
        expected=f">= {objectives.requests_per_second:g} requests/s, p95 < {objectives.p95_milliseconds:g} ms, "
        f"errors < {objectives.error_rate:.2%}",
        remedy=REMEDY,
        tables=(_latencies(result), _failures(result)),
        evidence=(*charts.of(result, objectives), samples(result)),
    )


def samples(result: Result) -> Evidence:
    """Every sample, as Parquet."""
    content = io.BytesIO()
    result.samples.to_parquet(content, index=False, compression="zstd")
    return Evidence("samples.parquet", content.getvalue())


def _latencies(result: Result) -> Table:
    """Percentiles for each request."""
    held = result.held()
    rows = []
    for name, group in held.groupby("request"):
        milliseconds = group["seconds"] * 1000.0
        percentiles = (f"{milliseconds.quantile(q):.1f}" for q in (0.5, 0.95, 0.99, 1.0))
        rows.append((name, len(group), *percentiles))
    return Table(("request", "answers", "p50 in ms", "p95 in ms", "p99 in ms", "longest in ms"), tuple(rows), "Latency")


def _failures(result: Result) -> Table:
    """How the held requests ended."""
    held = result.held()
    outcome: Callable[[int], str] = lambda status: str(status) if status else "no answer"  # noqa: E731
    counts = held["status"].map(outcome).value_counts()
    return Table(("status", "requests"), tuple((str(name), int(count)) for name, count in counts.items()), "Outcomes")
