"""Success criteria that no other check measures: error rate, response times, dashboards, one whole transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from runbook_lib.checks import access_log, database, http, metrics, monitors, prometheus
from runbook_lib.checks.coverage_of_input import LeftOut
from runbook_lib.checks.http import Examination
from runbook_lib.checks.latency import percentile
from runbook_lib.checks.request_counters import NotCounted
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.observation import Observation
from runbook_lib.step import Finding, Table, check, progress

AT_ONCE: Final = 8
OURS: Final = "our light traffic"
LOG_SECONDS: Final = 10.0
"""Within which the edge's log must show what it has answered."""
SHOWN: Final = 100
"""Characters of a member of an answer that are told."""


@dataclass(frozen=True)
class Others:
    """Everybody's requests in a window, and those of them that were ours.

    Parameters
    ----------
    total, failed, unclear:
        All that were counted, those answered with 5xx, and those whose status is not known.
    ours:
        How many of all we have sent beside the window's own, such as a scrape.
    source, holder, left_out:
        What has counted them, what that is, and which counters were not read.
    """

    total: float
    failed: float
    source: str
    holder: str = "the service's counters"
    unclear: float = 0.0
    ours: int = 0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Traffic:
    """What a window of light traffic showed: each of our requests, and what was counted of everybody's."""

    ours: tuple[Examination, ...]
    counted: Others | Unanswerable


def window(env: Environment) -> Observation[Traffic]:
    """The declared window of light traffic, which S.6 and S.7 both judge."""
    return Observation(env, lambda: _observe(env))


def _observe(env: Environment) -> Traffic:
    before, started = _counters(env), datetime.now(UTC)
    ours = _light_traffic(env)
    after = _counters(env)
    if isinstance(after, NotCounted) and access_log.declared(env):
        return Traffic(ours, _logged(env, started, sum(one.answer is not None for one in ours)))
    try:
        return Traffic(ours, _risen(before, after))
    except Unanswerable as error:
        return Traffic(ours, error)


def _counters(env: Environment) -> metrics.Requests | Unanswerable:
    """What cannot be scraped is no matter of the response times, so it is reported to the item that it concerns."""
    try:
        return metrics.requests(env)
    except Unanswerable as error:
        return error


def _risen(before: metrics.Requests | Unanswerable, after: metrics.Requests | Unanswerable) -> Others:
    """What was counted between two scrapes, the first of which is counted too, as soon as it was answered."""
    if isinstance(after, Unanswerable):
        raise after
    if isinstance(before, NotCounted):
        # A counter appears with the first request that it counts.
        before = metrics.Requests(0.0, 0.0, started=after.started)
    if isinstance(before, Unanswerable):
        raise before
    risen = after - before
    return Others(risen.total, risen.failed, risen.counter, unclear=risen.unclear, ours=1, left_out=risen.others)


def _logged(env: Environment, started: datetime, answered: int) -> Others | Unanswerable:
    """What the edge has logged since `started`, as soon as it shows as many requests as were `answered` to us."""
    deadline = time.monotonic() + LOG_SECONDS
    try:
        while len(seen := access_log.statuses(env, started)) < answered and time.monotonic() < deadline:
            time.sleep(monitors.POLL_SECONDS)
    except Unanswerable as error:
        return error
    failed = sum(status >= 500 for status in seen)
    return Others(len(seen), failed, access_log.declared(env), "the edge's log lines")


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
    """S.6: over a window, as our light traffic sees it, and as everybody else's requests were counted.

    Everybody else's are those that the service's counters rose by, without our own requests in the window; where the
    service has no counters, those in the edge's log; where that is not declared, they are not counted, and the finding
    says so. An error is a 5xx answer, or none.

    Raises
    ------
    Unanswerable
        There are counters, and they cannot be read or do not hold all requests; our own requests met no errors.
    """
    seen = traffic.for_item("S.6")
    answered = [one for one in seen.ours if one.answer is not None]
    ours = (OURS, len(seen.ours), sum(map(_failed, seen.ours)), "this runbook")
    counted = seen.counted
    if isinstance(counted, NotCounted):
        why = f"not counted: {counted.reason}; no log of the edge was read (monitoring.requests.log_service)"
        return _rates(env, (ours,), {"everybody else": why})
    if isinstance(counted, Unanswerable):
        return _unless_failed(_rates(env, (ours,), {"everybody else": counted.reason}), counted)
    others = max(0.0, counted.total - len(answered) - counted.ours)
    others_failed = max(0.0, counted.failed - sum(map(_failed, answered)))
    if counted.total < len(answered) or others_failed > others:
        short = Unanswerable(
            f"{counted.holder} do not hold all requests: {counted.total:g} more, {counted.failed:g} of them "
            f"failed, where we alone had {len(answered)} answers",
            remedy="have the service count every request, of its health endpoint too, over all of its processes",
        )
        return _unless_failed(_rates(env, (ours,), {"everybody else": short.reason}), short)
    told = (
        {"left out": f"{', '.join(counted.left_out)} (monitoring.requests.counter chooses)"} if counted.left_out else {}
    )
    finding = _rates(env, (ours, ("everybody else", int(others), int(others_failed), counted.source)), told)
    return _understood(env, counted, finding)


def _unless_failed(finding: Finding, reason: Unanswerable) -> Finding:
    """The finding where it is bad by itself; else the reason for which it does not suffice is raised."""
    if finding.ok:
        raise Unanswerable(reason.reason, remedy=reason.remedy, seen=finding)
    return finding


def _understood(env: Environment, counted: Others, finding: Finding) -> Finding:
    """The finding, unless requests were counted whose status is not known."""
    unclear = LeftOut(
        f"requests counted by {counted.source}, which have no HTTP status",
        int(counted.unclear),
        int(counted.total),
        "say which of its labels holds the status as monitoring.requests.status_label",
    )
    if finding.ok:
        unclear.refuse(env, finding)
    return finding


def _rates(env: Environment, counted: tuple[tuple[str, int, int, str], ...], remarks: Mapping[str, str]) -> Finding:
    """The verdict on the errors of each of `counted`: whose they are, requests, errors, what has counted them."""
    objective = env.objectives.error_rate
    shares = {whose: _share(failed, total) for whose, total, failed, _ in counted}
    return Finding(
        ok=all(share < objective for share in shares.values()),
        observed={whose: f"{shares[whose]:.2%} of {total} requests" for whose, total, _, _ in counted} | dict(remarks),
        expected=f"< {objective:.2%} of requests in {env.success.window_seconds:g} s",
        remedy="read the back end's log for the answers with 5xx",
        tables=(
            Table(
                ("whose", "requests", "errors", "share", "counted by"),
                tuple((whose, total, failed, f"{shares[whose]:.2%}", by) for whose, total, failed, by in counted),
            ),
        ),
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
