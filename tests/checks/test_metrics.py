from __future__ import annotations

import pytest

from runbook_lib.checks import metrics
from runbook_lib.errors import Unanswerable

TEXT = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method="GET",status="200"} 7.0
http_requests_total{method="GET",status="503"} 2.0
# TYPE other_total counter
other_total{status="500"} 9.0
"""


def served(serve, at, reply, body, status=200):
    return at(serve({"/monitoring/metrics": reply(body, status)}).url)


def test_requests_are_counted_by_status(serve, at, reply):
    assert metrics.requests(served(serve, at, reply, TEXT)) == metrics.Requests(9.0, 2.0)


def test_requests_are_counted_on_the_sandbox(env):
    before = metrics.requests(env)
    assert (metrics.requests(env) - before).total >= 1


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("", 404, "could not be read"),
        ({"detail": TEXT}, 200, "not in Prometheus"),
        (b'"# HELP x\\n"', 200, "not in Prometheus"),
        (b"<html>\n", 200, "not in Prometheus"),
        (b"other_total 1\n", 200, "no counter"),
    ],
)
def test_metrics_that_cannot_be_read_are_no_verdict(serve, at, reply, body, status, words):
    with pytest.raises(Unanswerable, match=words):
        metrics.requests(served(serve, at, reply, body, status))
