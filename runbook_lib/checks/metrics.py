"""The metrics endpoint, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runbook_lib.checks import http
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable

STATUS_LABELS: Final = ("status", "status_code", "code")


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
