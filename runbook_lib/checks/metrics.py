"""The metrics endpoint, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runbook_lib.checks import http, request_counters
from runbook_lib.checks.exposition import Sample, parse
from runbook_lib.checks.request_counters import NotCounted, Requests
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, check

__all__ = ["NotCounted", "Requests", "Sample", "endpoint", "moving", "parse", "requests", "scrape"]

KINDS: Final = ("text/plain", "application/openmetrics-text")
"""The content types of an exposition (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
TRAFFIC: Final = 5
"""Requests that are sent between two scrapes."""
SHOWN: Final = 10
ABSENT: Final = (301, 302, 303, 307, 308, 404, 405, 410)
"""The statuses by which a path says that there are no metrics behind it."""


def scrape(env: Environment) -> tuple[Sample, ...]:
    """What ``web.metrics_path`` says now.

    Raises
    ------
    NotCounted
        There is no metrics endpoint.
    Unanswerable
        There is one, and it says nothing that can be read.
    """
    path = _path(env)
    seen = http.examine(env, Request(path=path))
    if seen.answer is None or seen.problems:
        absent = seen.answer is not None and seen.answer.status in ABSENT
        raise (NotCounted if absent else Unanswerable)(
            f"{path} could not be read: {seen.observed}",
            remedy="set PROMETHEUS_ENABLED=true, and let the edge route the metrics; where the application has none, "
            'set web.metrics_path = ""',
        )
    try:
        return parse(seen.answer.text)
    except ValueError as error:
        another = "# TYPE" not in seen.answer.text and "# HELP" not in seen.answer.text
        raise (NotCounted if another else Unanswerable)(
            f"{path} is not in Prometheus' text format: {error}",
            remedy="answer with prometheus_client.generate_latest() and its content type, not with JSON",
        ) from error


def _path(env: Environment) -> str:
    if not env.web.metrics_path:
        raise NotCounted(
            f"the application has no metrics: web.metrics_path is empty in {env.name}.toml",
            remedy="declare web.metrics_path, or this item as not applicable",
        )
    return env.web.metrics_path


def requests(env: Environment) -> Requests:
    """Read the service's counter of requests, see :func:`request_counters.count`. Raises as it and :func:`scrape`."""
    return request_counters.count(scrape(env), env.monitoring.requests)


@check("The metrics endpoint speaks Prometheus' text format")
def endpoint(env: Environment) -> Finding:
    """10.2.1: ``web.metrics_path`` is answered with 200, the right content type, and an exposition that parses."""
    seen = http.examine(env, Request(path=_path(env)))
    problems = list(seen.problems)
    samples: tuple[Sample, ...] = ()
    if seen.answer is not None and not problems:
        if seen.answer.kind not in KINDS:
            problems.append(f"its content type is {seen.answer.kind or 'missing'}")
        try:
            samples = parse(seen.answer.text)
        except ValueError as error:
            problems.append(f"it is not in Prometheus' text format: {error}")
        else:
            problems += [] if samples else ["it holds no sample"]
    kind = seen.answer.kind if seen.answer else "nothing"
    return Finding(
        ok=not problems,
        observed=problems or f"{seen.observed}; {kind}; {len(samples)} samples",
        expected=f"200; {' or '.join(KINDS)}; at least 1 sample",
        remedy="set PROMETHEUS_ENABLED=true, let the edge route it, and answer with prometheus_client's "
        "generate_latest() and its content type, not with JSON",
    )


@check("Counters move with traffic")
def moving(env: Environment) -> Finding:
    """10.2.2: between two scrapes, :data:`TRAFFIC` reads of ``api.providers``; a counter must have risen by as many.

    Raises
    ------
    Unanswerable
        A scrape cannot be read, or the requests between them were not answered.
    """
    before = _counters(scrape(env))
    with http.client(env) as via:
        seen = [http.examine(env, env.api.providers, via=via) for _ in range(TRAFFIC)]
    if not all(one.answer for one in seen):
        raise Unanswerable("the requests between the scrapes were not answered", remedy="see 8.3 and 9.2.3 first")
    after = _counters(scrape(env))
    risen = sorted(
        (
            (value - before.get(series, 0.0), series)
            for series, value in after.items()
            if value > before.get(series, 0.0)
        ),
        reverse=True,
    )
    return Finding(
        ok=any(rise >= TRAFFIC for rise, _ in risen),
        observed=f"{len(risen)} of {len(after)} counters rose, the most by {risen[0][0] if risen else 0:g}",
        expected=f"a counter that rose by {TRAFFIC} or more, after {TRAFFIC} requests",
        remedy="count the requests; where several processes serve, collect them with PROMETHEUS_MULTIPROC_DIR",
        tables=(Table(("counter", "rose by"), tuple((name, rise) for rise, name in risen[:SHOWN])),),
    )


def _counters(samples: tuple[Sample, ...]) -> Mapping[str, float]:
    """The value of each counter, and of each histogram's count, by its name and labels."""
    return {
        f"{one.name}{{{','.join(f'{label}={value}' for label, value in sorted(one.labels.items()))}}}": one.value
        for one in samples
        if one.name.endswith(("_total", "_count"))
    }
