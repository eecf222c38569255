"""Which of a service's counters counts the requests that it has answered, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runbook_lib.checks.exposition import Sample
from runbook_lib.environment.monitoring import RequestCounting
from runbook_lib.errors import Unanswerable

KNOWN: Final = (
    # The application's own, by its framework: they say what the application has answered.
    "http_requests_total",
    "http_server_requests_seconds_count",  # Micrometer: Spring Boot, Quarkus
    "http_server_request_duration_seconds_count",  # OpenTelemetry's semantic conventions
    "http_server_duration_milliseconds_count",  # OpenTelemetry, before they were stable
    "http_server_duration_count",
    "http_server_requests_total",  # Ruby's client library
    "http_requests_received_total",  # .NET's client library
    "http_request_duration_seconds_count",
    "http_request_duration_ms_count",
    "http_response_time_seconds_count",
    "http_request_total",
    "starlette_requests_total",
    "starlette_responses_total",
    "fastapi_requests_total",
    "fastapi_responses_total",
    "flask_http_request_total",
    "flask_http_request_duration_seconds_count",
    "django_http_responses_total_by_status_total",
    "django_http_responses_total_by_status_view_method_total",
    "rails_requests_total",
    "gin_requests_total",
    "gin_request_total",
    "echo_requests_total",
    "actix_web_prom_http_requests_total",
    "phoenix_http_requests_total",
    # The edge's, where it is scraped in the application's place.
    "nginx_ingress_controller_requests",
    "traefik_service_requests_total",
    "traefik_entrypoint_requests_total",
    "haproxy_frontend_http_responses_total",
    "haproxy_backend_http_responses_total",
    "envoy_http_downstream_rq_xx",
    "kong_http_requests_total",
    "apisix_http_status",
)
"""Counters of answered requests by the libraries and edges of the field; the first that is there is read."""
STATUS_LABELS: Final = (
    "status",
    "status_code",
    "code",
    "http_status_code",
    "http_response_status_code",
    "response_code",
    "http_status",
    "statuscode",
    "envoy_response_code_class",
)
OWN_SCRAPES: Final = "promhttp_metric_handler_requests_total"
"""Go's client library counts the answers of the metrics endpoint itself."""
ABOUT_REQUESTS: Final = re.compile(r"request|response|http", re.IGNORECASE)
OUTGOING: Final = re.compile(r"client|upstream|outgoing|outbound|egress|webhook|remote", re.IGNORECASE)
"""In the names of counters of the requests that a service makes of others."""
STATUS: Final = re.compile(r"[1-5](\d\d|xx)?", re.IGNORECASE)
"""An HTTP status, or its class: ``503``, ``5xx``, ``5``."""
START: Final = "process_start_time_seconds"
SETTING: Final = 'name it in the TOML: [monitoring.requests] counter = "…", status_label = "…", labels = {…}'


class NotCounted(Unanswerable):
    """The service counts no requests: it has no metrics endpoint, or no counter of requests by status."""


@dataclass(frozen=True)
class Requests:
    """Requests that the service has counted since it started.

    Parameters
    ----------
    failed:
        Answered with 5xx.
    unclear:
        Counted under something that is no HTTP status.
    counter, others:
        The counter that was read, and those beside it that were left out.
    series:
        The value of each of its series, by its labels, the status last.
    started:
        When the process started that was asked, in seconds since 1970, None where it does not say.
    """

    total: float
    failed: float
    unclear: float = 0.0
    counter: str = field(default="", compare=False)
    others: tuple[str, ...] = field(default=(), compare=False)
    series: Mapping[tuple[str, ...], float] = field(default_factory=dict, compare=False)
    started: float | None = field(default=None, compare=False)

    def __sub__(self, earlier: Requests) -> Requests:
        """What was counted between two scrapes. Raises Unanswerable where they cannot be compared."""
        fell = [labels for labels, value in earlier.series.items() if self.series.get(labels, 0.0) < value]
        if fell or self.started != earlier.started:
            raise Unanswerable(
                "the service's counters fell during the window, or another process answered: it was restarted, or its "
                "processes count each for itself",
                remedy="see why it restarted (8.2); where several processes serve, let one answer hold the counters of "
                "all, as PROMETHEUS_MULTIPROC_DIR does for Python; then measure again",
            )
        risen = {labels: value - earlier.series.get(labels, 0.0) for labels, value in self.series.items()}
        return _requests(risen, self.counter, self.others, self.started)


def count(samples: Sequence[Sample], declared: RequestCounting) -> Requests:
    """Read the counter that the TOML names, else the first of :data:`KNOWN`; no two are added.

    Raises
    ------
    NotCounted
        There is no counter of requests by status.
    Unanswerable
        The declared counter is not there; or there are counters of which it is not known what they count.
    """
    families = _families(samples, declared)
    if declared.counter is not None:
        chosen = declared.counter
        if chosen not in families:
            raise Unanswerable(
                f"the metrics have no {chosen}{_shown(declared)} with a label for the status",
                remedy="correct monitoring.requests: counter is the series' whole name, status_label one of its labels",
            )
    else:
        chosen = next((name for name in KNOWN if name in families), "")
    others = tuple(sorted(families.keys() - {chosen}))
    if not chosen:
        _refuse(others)
    started = next((sample.value for sample in samples if sample.name == START), None)
    return _requests(families[chosen], chosen, others, started)


def _refuse(others: Sequence[str]) -> None:
    """Raise what fits counters none of which is known."""
    unknown = [name for name in others if not OUTGOING.search(name)]
    if unknown:
        raise Unanswerable(
            f"it is not known whether {', '.join(unknown)} counts what the service has answered, or what it has asked "
            "of others",
            remedy=SETTING,
        )
    beside = f", but for those of requests that it makes itself: {', '.join(others)}" if others else ""
    raise NotCounted(f"the metrics have no counter of requests by status that is known{beside}", remedy=SETTING)


def _families(samples: Iterable[Sample], declared: RequestCounting) -> dict[str, dict[tuple[str, ...], float]]:
    """The series of each counter that may count requests by their status."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for sample in samples:
        named = sample.name == declared.counter
        if named and not declared.labels.items() <= sample.labels.items():
            continue
        label = declared.status_label if named and declared.status_label else _status_label(sample)
        if label not in sample.labels or not (named or sample.name in KNOWN or _may_count(sample, label)):
            continue
        rest = (f"{name}={value}" for name, value in sorted(sample.labels.items()) if name != label)
        found.setdefault(sample.name, {})[(*rest, sample.labels[label])] = sample.value
    return found


def _status_label(sample: Sample) -> str:
    return next((label for label in STATUS_LABELS if label in sample.labels), "")


def _may_count(sample: Sample, label: str) -> bool:
    return (
        sample.name != OWN_SCRAPES
        and sample.name.endswith(("_total", "_count"))
        and ABOUT_REQUESTS.search(sample.name) is not None
        and STATUS.fullmatch(sample.labels[label]) is not None
    )


def _requests(
    series: Mapping[tuple[str, ...], float], counter: str, others: tuple[str, ...], started: float | None
) -> Requests:
    return Requests(
        sum(series.values()),
        sum(value for labels, value in series.items() if labels[-1].startswith("5") and STATUS.fullmatch(labels[-1])),
        sum(value for labels, value in series.items() if not STATUS.fullmatch(labels[-1])),
        counter,
        others,
        series,
        started,
    )


def _shown(declared: RequestCounting) -> str:
    labels = ", ".join(f'{name}="{value}"' for name, value in declared.labels.items())
    return f"{{{labels}}}" if labels else ""
