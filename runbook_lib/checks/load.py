"""Whether the service holds its objectives under load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runbook_lib.checks import http, processors
from runbook_lib.checks.sessions import Sessions, Watch
from runbook_lib.environment import BuiltInEngine, ClusterEngine, Environment, K6Engine, Request
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.load import charts, history, surroundings
from runbook_lib.load.comparison import SAMPLES
from runbook_lib.load.history import Summary
from runbook_lib.load.interface import Call, Engine, Profile, Result, hold
from runbook_lib.load.verdict import Judged, Outcome, Verdict, judge
from runbook_lib.observation import Observation
from runbook_lib.step import Evidence, Finding, Table, check, progress

MARGIN: Final = 1.02
"""We send this much more than the objective, so that a request more or less at the ends does not decide."""

REMEDIES: Final = {
    Outcome.FAILED: "see the charts for when it began, and the services' logs at that time; "
    "then workers, pool, queries",
    Outcome.INCONCLUSIVE: "run it from a machine with more processors, or with less else running, or for longer",
    Outcome.PASSED: "",
}


@dataclass(frozen=True)
class Members:
    """Says what a body lacks of the members that it must have; each load worker calls it."""

    expected: Mapping[str, Any]

    def __call__(self, body: bytes) -> str:
        """The first mismatch; empty where there is none."""
        try:
            found = http.mismatches(self.expected, json.loads(body))
        except ValueError:
            return "not JSON"
        return found[0] if found else ""


def engine(env: Environment) -> Engine:
    """What makes the load, as ``load.engine`` chooses."""
    chosen = env.load.engine
    if isinstance(chosen, K6Engine):
        from runbook_lib.load.k6 import K6

        return K6(chosen.script, chosen.stall_seconds)
    if isinstance(chosen, ClusterEngine):
        from runbook_lib.load.cluster import Cluster

        return Cluster(chosen.scheduler, chosen.workers, chosen.connections)
    from runbook_lib.load.engine import BuiltIn

    return BuiltIn(chosen.workers, chosen.connections)


def refusal(env: Environment, rate: float, confirm: str) -> str:
    """Why `rate` requests per second may not be sent to an environment; empty where they may."""
    if env.kind == "production" and confirm != env.name:
        return f"{env.name} is production: it is put under load only where confirm repeats its name"
    if rate > env.load.ceiling:
        return f"{rate:g} requests/s are more than the {env.load.ceiling:g} that load.ceiling allows for {env.name}"
    return ""


def profile(env: Environment, *, duration: float, ramp: float, rate: float | None = None) -> Profile:
    """The environment's load at its objective, or at another `rate` to sustain; `duration` and `ramp` in seconds."""
    authority, chosen = env.web.certificate_authority, env.load.engine
    objectives = env.objectives
    if rate is not None:
        objectives = objectives.model_copy(update={"requests_per_second": rate})
    full = chosen if isinstance(chosen, BuiltInEngine) else BuiltInEngine()
    return Profile(
        calls=tuple(call(env, request) for request in env.load.requests),
        load=hold(objectives.requests_per_second * MARGIN, duration, ramp=ramp),
        objectives=objectives,
        timeout=env.limits.request,
        certificate_authority=str(authority) if authority else None,
        breaker=env.load.breaker,
        ceiling=env.load.ceiling * MARGIN,
        http2=full.http2,
        cookies=full.cookies,
        follow_redirects=full.follow_redirects,
        proxy=full.proxy,
    )


def call(env: Environment, request: Request) -> Call:
    """A declared request, marked as ours and let through the edge, as every other of ours is."""
    import httpx

    headers = {http.HEADER: http.MARK, "Accept": "*/*", **env.web.headers}
    made = httpx.Request(request.method, env.web.address(request.path), headers=headers, json=request.json_body)
    members = Members(request.expect) if request.expect else None
    return Call(made, request.title, request.weight, request.status, members)


@dataclass(frozen=True)
class Loaded:
    """What was seen while the service was under load: its answers, the database's sessions, and the services' use of
    this machine's processors, where they run on it.
    """

    result: Result
    sessions: Sessions | Unanswerable
    use: processors.Use | None = None


def under_load(env: Environment, *, confirm: str = "") -> Observation[Loaded]:
    """The load of 11.1, for ``load.duration_seconds`` at the declared rate; 11.3.3 judges it too.

    Parameters
    ----------
    confirm:
        In a production environment, its name: without it nothing is sent.
    """
    return Observation(env, lambda: _load_and_watch(env, confirm))


def _load_and_watch(env: Environment, confirm: str) -> Loaded:
    with Watch(env) as watch, processors.Watch(env) as processes:
        result = make(env, duration=env.load.duration_seconds, ramp=env.load.ramp_seconds, confirm=confirm)
    try:
        return Loaded(result, watch.seen(), processes.seen())
    except Unanswerable as error:
        return Loaded(result, error, processes.seen())


@check("The service holds its objectives under sustained load")
def sustained(env: Environment, loaded: Observation[Loaded]) -> Finding:
    """11.1: the declared rate is reached and held; objectives as in ``objectives``."""
    seen = loaded.for_item("11.1")
    return finding(env, seen.result, item="11.1", use=seen.use)


def make(env: Environment, *, duration: float, ramp: float, rate: float | None = None, confirm: str = "") -> Result:
    """Make the load for `duration` seconds after a `ramp` in seconds.

    Raises
    ------
    Waiting
        It is production, and nobody has confirmed it.
    Unanswerable
        The environment's ceiling is lower, or the load could not be made.
    """
    asked = profile(env, duration=duration, ramp=ramp, rate=rate)
    if reason := refusal(env, asked.objectives.requests_per_second, confirm):
        if env.kind == "production" and confirm != env.name:
            raise Waiting(reason, remedy=f"agree on a time with operations, then give confirm = '{env.name}'")
        raise Unanswerable(reason, remedy="raise load.ceiling, or lower objectives.requests_per_second")
    sent = asked.objectives.requests_per_second * MARGIN
    progress(f"{sent:g} requests/s for {duration:g} s after a ramp of {ramp:g} s")
    return engine(env).run(asked)


def finding(env: Environment, result: Result, *, item: str, use: processors.Use | None = None) -> Finding:
    """The verdict on a result as the finding of an item, compared with earlier runs of that `item`.

    Parameters
    ----------
    use:
        What the services used of this machine's processors meanwhile.

    Raises
    ------
    Unanswerable
        The verdict is inconclusive; what was measured goes along.
    """
    seen = Judged(result)
    verdict, now = judge(seen), Summary.of(seen)
    before = history.earlier(env.name, item, now)
    slower = history.regression(now, [one for _, one in before])
    found = Finding(
        ok=verdict.outcome is Outcome.PASSED,
        observed="; ".join(part for part in (_observed(seen), slower, *result.notes) if part),
        expected="; ".join(f"{one.name} {one.expected}" for one in verdict.measures if one.judged),
        remedy="; ".join((*verdict.reasons, REMEDIES[verdict.outcome])),
        tables=(_measures(verdict), _latencies(seen), _outcomes(seen), _generator(seen)),
        evidence=(
            *charts.of(seen, before),
            *((surroundings.processors(use.seconds, use.cores),) if use is not None else ()),
            Evidence(
                SAMPLES, result.samples.parquet((one.title for one in result.profile.calls), result.profile.load.held)
            ),
        ),
        facts=now.fact(),
    )
    if verdict.outcome is Outcome.INCONCLUSIVE:
        reasons = "; ".join(verdict.reasons)
        raise Unanswerable(f"inconclusive: {reasons}", remedy=REMEDIES[verdict.outcome], seen=found)
    return found


def _observed(seen: Judged) -> str:
    return (
        f"{seen.sustained:.1f} requests/s sustained, p95 {seen.p95.value:.1f} ms "
        f"({seen.p95.low:.1f} to {seen.p95.high:.1f}), p99 {seen.p99.value:.1f} ms, errors {seen.errors:.2%}, "
        f"dropped {seen.result.cost.dropped}"
    )


def _measures(verdict: Verdict) -> Table:
    words = {True: "yes", False: "no"}
    rows = tuple(
        (one.name, one.observed, one.interval, one.expected, words[one.ok] if one.judged else "–")
        for one in verdict.measures
    )
    return Table(("measure", "observed", "95 % interval", "expected", "holds"), rows, "Verdict")


def _latencies(seen: Judged) -> Table:
    """Percentiles for each request, from when it was due; and what the target alone took, from when it was sent."""
    rows = []
    for place, one in enumerate(seen.result.profile.calls):
        samples = seen.result.held.where(seen.result.held.rows["call"] == place)
        if len(samples):
            alone = samples.percentile(95, service=True)
            numbers = (f"{value:.1f}" for value in (*samples.percentile(50, 95, 99, 100), *alone))
            rows.append((one.title, len(samples), *numbers))
    columns = ("p50 in ms", "p95 in ms", "p99 in ms", "longest in ms", "p95 since sent in ms")
    return Table(("request", "requests", *columns), tuple(rows), "Latency since due")


def _outcomes(seen: Judged) -> Table:
    """How the judged requests ended."""
    import numpy as np

    rows = []
    for outcome in seen.result.held.outcomes():
        statuses = seen.result.held.rows["status"][seen.result.held.rows["outcome"] == outcome]
        for status, count in zip(*np.unique(statuses, return_counts=True), strict=True):
            rows.append((outcome.text, str(status) if status else "none", int(count)))
    return Table(("outcome", "status", "requests"), tuple(rows), "Outcomes")


def _generator(seen: Judged) -> Table:
    result = seen.result
    row = (
        result.engine,
        result.cost.processes,
        f"{result.cost.cpu:.2f}",
        f"{result.lag(50):.2f}",
        f"{result.lag(95):.2f}",
        f"{result.lag(99):.2f}",
        result.cost.dropped,
        result.cost.connections,
    )
    columns = (
        "engine",
        "processes",
        "cores used",
        "lag p50 in ms",
        "lag p95 in ms",
        "lag p99 in ms",
        "not sent",
        "connections",
    )
    return Table(columns, (row,), "The generator itself")
