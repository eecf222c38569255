"""How long single requests take: by endpoint, and phase by phase."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from runbook_lib.checks import http
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.load import surroundings
from runbook_lib.step import Finding, Table, check, progress

PACE: Final = 1.1
"""How much slower than its rate limit a limited endpoint is asked."""


@check("p95 of each endpoint's response time is within the objective")
def by_endpoint(env: Environment) -> Finding:
    """9.2.4: ``load.response_samples`` requests to each of health, providers and the accepted scan, one at a time."""
    objective = env.objectives.p95_milliseconds
    requests = {request.title: request for request in (*env.web.health, env.api.providers, env.api.accepted)}
    measured: dict[str, list[float]] = {}
    problems: list[str] = []
    for title, request in requests.items():
        progress(f"{title}: {env.load.response_samples} requests")
        measured[title], wrong = _response_times(env, request)
        problems += [f"{title}: {problem}" for problem in wrong]
    slow = {title: percentile(times, 95) for title, times in measured.items()}
    return Finding(
        ok=not problems and all(p95 < objective for p95 in slow.values()),
        observed=problems[:5] or {title: f"p95 {p95:.1f} ms" for title, p95 in slow.items()},
        expected=f"p95 < {objective:g} ms for each, every answer as declared",
        remedy="look at the queries and the log of the endpoint that is slow",
        tables=(_table(measured),),
        evidence=(surroundings.response_times(measured, objective),) if all(measured.values()) else (),
    )


def _response_times(env: Environment, request: Request) -> tuple[list[float], list[str]]:
    """Milliseconds of each answer over one connection, and what was wrong with answers."""
    pause = _pause(env, request)
    times: list[float] = []
    problems: list[str] = []
    with http.client(env) as via:
        for _ in range(env.load.response_samples):
            due = time.monotonic() + pause
            seen = http.examine(env, request, via=via)
            problems += seen.problems
            if seen.answer is not None:
                times.append(seen.answer.seconds * 1000.0)
            time.sleep(max(0.0, due - time.monotonic()))
    return times, list(dict.fromkeys(problems))


def _pause(env: Environment, request: Request) -> float:
    """Seconds between requests: none, but for the endpoint whose rate is limited."""
    limited = env.security.rate_limit
    if limited is None or (limited.request.method, limited.request.path) != (request.method, request.path):
        return 0.0
    return PACE * limited.window_seconds / limited.limit


def percentile(values: Sequence[float], q: float) -> float:
    """The `q`-th percentile (0 to 100), linear between the nearest ranks; infinite where there are no values."""
    import numpy as np

    return float(np.percentile(values, q)) if values else float("inf")


def _table(measured: Mapping[str, Sequence[float]]) -> Table:
    rows = tuple(
        (title, len(times), *(f"{percentile(times, q):.1f}" for q in (50, 95, 100)))
        for title, times in measured.items()
    )
    return Table(("endpoint", "answers", "p50 in ms", "p95 in ms", "longest in ms"), rows)


@dataclass(frozen=True)
class Phases:
    """Milliseconds that each phase of one request took; curl's ``-w`` gives the sums up to each phase's end."""

    dns: float
    connect: float
    tls: float
    first_byte: float
    transfer: float

    @property
    def total(self) -> float:
        """The whole."""
        return self.dns + self.connect + self.tls + self.first_byte + self.transfer


NAMES: Final = {
    "dns": "name look-up",
    "connect": "TCP connect",
    "tls": "TLS handshake",
    "first_byte": "until the first byte",
    "transfer": "transfer",
}


@check("The response time of a new connection is within the objective")
def response_time(env: Environment) -> Finding:
    """11.2: ``load.response_samples`` requests, each over a connection of its own, measured by its socket.

    The phases are those of the checklist's ``curl -w``: look-up, connect, TLS, first byte (here: the head of the
    answer is read), total. Sessions are not resumed, so that each pays for a whole handshake.
    """
    request, objective = env.web.health[0], env.objectives.p95_milliseconds
    parts, context = urlsplit(env.web.address(request.path)), http.tls_context(env)
    try:
        seen = [_time(parts, context, env.limits.request) for _ in range(env.load.response_samples)]
    except socket.gaierror as error:
        raise Unanswerable(f"{parts.hostname} does not resolve", remedy="check web.url and the DNS") from error
    except TimeoutError as error:
        raise Unanswerable(
            f"{parts.geturl()} did not answer within {env.limits.request:g} s", remedy="look at the service's load"
        ) from error
    except OSError as error:
        return Finding(False, f"no answer: {error}", f"p95 < {objective:g} ms", "see that the edge and the service run")
    wrong = [status for status, _ in seen if status not in request.status]
    phases = {
        name: tuple(percentile([asdict(one)[key] for _, one in seen], q) for q in (50, 95))
        for key, name in NAMES.items()
    }
    total = {q: percentile([one.total for _, one in seen], q) for q in (50, 95)}
    rows = [*((name, f"{median:.2f}", f"{slow:.2f}") for name, (median, slow) in phases.items())]
    rows.append(("total", f"{total[50]:.2f}", f"{total[95]:.2f}"))
    return Finding(
        ok=not wrong and total[95] < objective,
        observed=f"p95 {total[95]:.1f} ms over {len(seen)} requests to {parts.geturl()}"
        + (f"; {len(wrong)} with a status such as {wrong[0]}" if wrong else ""),
        expected=f"p95 < {objective:g} ms, status {' or '.join(map(str, request.status))}",
        remedy="the chart shows which phase takes the time: DNS, network, TLS, or the service itself",
        tables=(Table(("phase", "median in ms", "p95 in ms"), tuple(rows)),),
        evidence=(surroundings.waterfall({name: (low, high) for name, (low, high) in phases.items()}, objective),),
    )


def _time(parts: SplitResult, context: ssl.SSLContext, limit: float) -> tuple[int, Phases]:
    """One GET over a new connection: its status and phases. Raises OSError where there is no answer."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    marks = [time.perf_counter()]
    places = socket.getaddrinfo(host, parts.port or (443 if secure else 80), type=socket.SOCK_STREAM)
    marks.append(time.perf_counter())
    with _connected(places, limit) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        marks.append(time.perf_counter())
        with context.wrap_socket(plain, server_hostname=host) if secure else plain as stream:
            marks.append(time.perf_counter())
            connection = HTTPConnection(host, parts.port)
            connection.sock = stream
            connection.request("GET", target, headers={http.HEADER: http.MARK, "Connection": "close"})
            with connection.getresponse() as response:
                marks.append(time.perf_counter())
                response.read(http.BODY_LIMIT)
                marks.append(time.perf_counter())
    durations = [(later - earlier) * 1000.0 for earlier, later in pairwise(marks)]
    return response.status, Phases(*durations)


def _connected(places: Sequence[tuple[Any, ...]], limit: float) -> socket.socket:
    """A connection to the first of these addresses that accepts; a name may stand for one where nobody listens."""
    refused = OSError("the name stands for no address")
    for family, kind, protocol, _, place in places:
        plain = socket.socket(family, kind, protocol)
        plain.settimeout(limit)
        try:
            plain.connect(place)
        except OSError as error:
            plain.close()
            refused = error
        else:
            return plain
    raise refused
