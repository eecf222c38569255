"""What Prometheus collects; one answer for all workers where PROMETHEUS_MULTIPROC_DIR is set."""

import os
from pathlib import Path

# The library looks for this folder when it is imported.
if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    Path(folder).mkdir(parents=True, exist_ok=True)

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_requests = Counter("http_requests_total", "HTTP requests answered", ["method", "path", "status"])
_seconds = Histogram(
    "http_request_duration_seconds",
    "Time from the request's arrival to the end of its answer",
    ["path"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5),
)
scans = Counter("scans_total", "Payment requests scanned", ["type"])


def count(method: str, path: str, status: int, seconds: float) -> None:
    """Count one answer; `path` is a route's template, so that strangers cannot invent labels."""
    _requests.labels(method if method in METHODS else "other", path, str(status)).inc()
    _seconds.labels(path).observe(seconds)


def exposition() -> bytes:
    """Every metric in Prometheus' text format."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)
