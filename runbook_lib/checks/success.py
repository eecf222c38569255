"""Success criteria that no other check measures: error rate, response times, dashboards, one whole transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from runbook_lib.checks import database, http, metrics, prometheus
from runbook_lib.checks.http import Examination
from runbook_lib.checks.latency import percentile
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.observation import Observation
from runbook_lib.step import Finding, Table, check, progress

AT_ONCE: Final = 8
SHOWN: Final = 100
"""Characters of a member of an answer that are told."""


@dataclass(frozen=True)
class Traffic:
    """What a window of light traffic showed: each of our requests, and what the service's counters rose by."""

    ours: tuple[Examination, ...]
    counted: metrics.Requests | Unanswerable


def window(env: Environment) -> Observation[Traffic]:
    """The declared window of light traffic, which S.6 and S.7 both judge."""
    return Observation(env, lambda: _observe(env))


def _observe(env: Environment) -> Traffic:
    before = _counters(env)
    ours = _light_traffic(env)
    if isinstance(before, Unanswerable):
        return Traffic(ours, before)
    after = _counters(env)
    return Traffic(ours, after if isinstance(after, Unanswerable) else after - before)


def _counters(env: Environment) -> metrics.Requests | Unanswerable:
    """What cannot be scraped is no matter of the response times, so it is told to whom it concerns."""
    try:
        return metrics.requests(env)
    except Unanswerable as error:
        return error


def _light_traffic(env: Environment) -> tuple[Examination, ...]:
    """Health and providers in turn, at ``success.requests_per_second`` for ``success.window_seconds``."""
    requests = (*env.web.health, env.api.providers)
    rate, window = env.success.requests_per_second, env.success.window_seconds
    progress(f"{rate:g} requests/s for {window:g} s")
    with http.client(env) as via, ThreadPoolExecutor(AT_ONCE) as pool:
        started, pending = time.monotonic(), []
        for number in range(max(1, round(rate * window))):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            pending.append(pool.submit(http.examine, env, requests[number % len(requests)], via=via))
        return tuple(future.result() for future in pending)


def _failed(seen: Examination) -> bool:
    """Whether a request counts as an error: no answer, or 5xx."""
    return seen.answer is None or seen.answer.status >= 500


@check("The error rate is below the objective")
def error_rate(env: Environment, traffic: Observation[Traffic]) -> Finding:
    """S.6: over a window, both as our light traffic sees it, and as the service counts everybody else's requests.

    Everybody else's is what the service's counters rose by, without our own requests in the window. An error is a 5xx
    answer, or none.
    """
    objective = env.objectives.error_rate
    seen = traffic.for_item("S.6")
    ours, counted = seen.ours, seen.counted
    if isinstance(counted, Unanswerable):
        raise counted
    if counted.total < 0 or counted.failed < 0:
        raise Unanswerable(
            "the service's counters fell during the window: it was restarted",
            remedy="see why it restarted (8.2), then measure again",
        )
    answered = sum(one.answer is not None for one in ours)
    ours_failed = sum(_failed(one) for one in ours)
    ours_counted = sum(_failed(one) and one.answer is not None for one in ours)
    # The first scrape was counted too, as soon as it was answered.
    others = max(0.0, counted.total - answered - 1)
    others_failed = max(0.0, counted.failed - ours_counted)
    if counted.total < answered or others_failed > others:
        raise Unanswerable(
            f"the service's counters do not hold all requests: {counted.total:g} more, {counted.failed:g} of them "
            f"failed, where we alone had {answered} answers",
            remedy="have the service count every request, of its health endpoint too, over all of its processes",
        )
    rows = (
        ("our light traffic", len(ours), ours_failed, _share(ours_failed, len(ours))),
        ("everybody else", int(others), int(others_failed), _share(others_failed, others)),
    )
    return Finding(
        ok=all(share < objective for _, _, _, share in rows),
        observed={who: f"{share:.2%} of {total} requests" for who, total, _, share in rows},
        expected=f"< {objective:.2%} of requests in {env.success.window_seconds:g} s",
        remedy="read the back end's log for the answers with 5xx",
        tables=(Table(("whose", "requests", "errors", "share"), tuple((*row[:3], f"{row[3]:.2%}") for row in rows)),),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@check("The p95 of response times is below the objective")
def response_times(env: Environment, traffic: Observation[Traffic]) -> Finding:
    """S.7: of the same light traffic as S.6."""
    objective = env.objectives.p95_milliseconds
    seen = traffic.for_item("S.7").ours
    times = [one.answer.seconds * 1000.0 for one in seen if one.answer is not None]
    p95 = percentile(times, 95)
    return Finding(
        ok=len(times) == len(seen) and p95 < objective,
        observed=f"p95 {p95:.1f} ms, longest {max(times, default=float('inf')):.1f} ms; "
        f"{len(times)} of {len(seen)} requests answered",
        expected=f"p95 < {objective:g} ms, every request answered",
        remedy="see 9.2.4 for which endpoint, and 11.2 for which phase",
    )


@check("No alert is firing")
def dashboards(env: Environment) -> Finding:
    """S.9: Prometheus, where ``monitoring.prometheus_url`` declares one, knows no firing alert.

    Those of severity none fire always, by intention: a watchdog shows that alerts arrive.
    """
    found = prometheus.ask(env, "alerts").get("alerts")
    try:
        firing = [
            alert["labels"].get("alertname", "?")
            for alert in found
            if alert["state"] == "firing" and alert["labels"].get("severity") != "none"
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise Unanswerable(
            f"Prometheus lists its alerts in a shape that this kit does not know: {type(error).__name__}: {error}",
            remedy="compare its version with those that the kit was tested against",
        ) from error
    return Finding(
        ok=not firing,
        observed=f"{len(found)} alerts active; firing: {', '.join(firing) or 'none'}",
        expected="firing: none",
        remedy="follow the alert's own runbook",
    )


@check("One transaction goes through from end to end")
def transaction(env: Environment) -> Finding:
    """S.10: ``api.accepted`` is answered as declared, and ``api.stored`` then finds in the database what it wrote."""
    seen = http.examine(env, env.api.accepted)
    expected = f"accepted, and found by: {env.api.stored}"
    remedy = "the API answers, but what it keeps is not there: compare DATABASE_URL of the service with database.url"
    if seen.answer is None or seen.problems:
        return Finding(False, f"not accepted: {seen.observed}", expected, "read the back end's log for this request")
    try:
        members = _scalars(seen.answer.json())
    except ValueError as error:
        return Finding(False, f"accepted, but the answer is {error}", expected, remedy)
    found = _stored(env, members)
    return Finding(
        ok=found,
        observed=f"accepted ({seen.observed}) as {_asked_for(env, members)}, "
        f"{'found' if found else 'not found'} in the database",
        expected=expected,
        remedy=remedy,
    )


def _scalars(body: Any) -> dict[str, Any]:
    if not isinstance(body, Mapping):
        raise ValueError("no JSON object")
    return {name: value for name, value in body.items() if isinstance(value, str | int | float)}


def _asked_for(env: Environment, members: Mapping[str, Any]) -> dict[str, str]:
    """The members by which ``api.stored`` finds the row: an answer may hold tokens beside them."""
    return {name: str(value)[:SHOWN] for name, value in members.items() if f"%({name})" in env.api.stored}


def _stored(env: Environment, members: Mapping[str, Any]) -> bool:
    """Whether ``api.stored`` gives a row. Raises Unanswerable where it cannot be asked."""
    import psycopg

    with database.connected(env) as connection:
        connection.read_only = True
        try:
            return connection.execute(env.api.stored.encode(), members).fetchone() is not None
        except (psycopg.Error, KeyError) as error:
            raise Unanswerable(
                f"api.stored cannot be asked: {type(error).__name__}: {error}",
                remedy="let it be one SELECT, with %(name)s for members of the answer to api.accepted",
            ) from error
