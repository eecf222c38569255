"""The metrics endpoint, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from runbook_lib.checks import http
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, check

STATUS_LABELS: Final = ("status", "status_code", "code")
KINDS: Final = ("text/plain", "application/openmetrics-text")
"""The content types of an exposition (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
TRAFFIC: Final = 5
"""Requests that are sent between two scrapes."""
SHOWN: Final = 10


@dataclass(frozen=True)
class Sample:
    """One value of one series."""

    name: str
    labels: dict[str, str]
    value: float


def parse(text: str) -> tuple[Sample, ...]:
    """Every sample of an exposition. Raises ValueError where it is none, such as one that is quoted as JSON."""
    from prometheus_client.parser import text_string_to_metric_families

    if not text.endswith("\n"):
        raise ValueError(f"the exposition must end with a line feed; it begins with {text[:40]!r}")
    families = list(text_string_to_metric_families(text))
    return tuple(Sample(one.name, dict(one.labels), float(one.value)) for family in families for one in family.samples)


def scrape(env: Environment) -> tuple[Sample, ...]:
    """What ``web.metrics_path`` says now. Raises Unanswerable where it says nothing that can be read."""
    seen = http.examine(env, Request(path=env.web.metrics_path))
    if seen.answer is None or seen.problems:
        raise Unanswerable(
            f"{env.web.metrics_path} could not be read: {seen.observed}",
            remedy="set PROMETHEUS_ENABLED=true, and let the edge route the metrics",
        )
    try:
        return parse(seen.answer.text)
    except ValueError as error:
        raise Unanswerable(
            f"{env.web.metrics_path} is not in Prometheus' text format: {error}",
            remedy="answer with prometheus_client.generate_latest() and its content type, not with JSON",
        ) from error


@dataclass(frozen=True)
class Requests:
    """Requests that the service has counted since it started, and how many of them it answered with 5xx."""

    total: float
    failed: float

    def __sub__(self, earlier: Requests) -> Requests:
        return Requests(self.total - earlier.total, self.failed - earlier.failed)


def requests(env: Environment) -> Requests:
    """Read the service's request counters: those named ``…requests_total`` with a label for the status.

    Raises
    ------
    Unanswerable
        There is no such counter.
    """
    counted = list(_by_status(scrape(env)))
    if not counted:
        raise Unanswerable(
            f"{env.web.metrics_path} has no counter '…requests_total' with a label {' or '.join(STATUS_LABELS)}",
            remedy="count the requests by status, as http_requests_total{status=…}",
        )
    failed = sum(value for status, value in counted if status.startswith("5"))
    return Requests(sum(value for _, value in counted), failed)


def _by_status(samples: tuple[Sample, ...]) -> Iterator[tuple[str, float]]:
    for sample in samples:
        status = next((sample.labels[label] for label in STATUS_LABELS if label in sample.labels), None)
        if status is not None and sample.name.endswith("requests_total"):
            yield status, sample.value


@check("The metrics endpoint speaks Prometheus' text format")
def endpoint(env: Environment) -> Finding:
    """10.2.1: ``web.metrics_path`` is answered with 200, the right content type, and an exposition that parses."""
    seen = http.examine(env, Request(path=env.web.metrics_path))
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
