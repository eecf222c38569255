from __future__ import annotations

import json

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


def test_the_endpoint_passes_on_the_sandbox(env):
    finding = metrics.endpoint(env).run()
    assert finding.ok, finding.observed


@pytest.mark.parametrize(
    ("body", "status", "kind", "words"),
    [
        (TEXT, 200, "text/plain; version=0.0.4", ""),
        (TEXT, 200, "application/json", "content type is application/json"),
        (json.dumps(TEXT), 200, "application/json", "not in Prometheus"),
        (json.dumps(TEXT) + "\n", 200, "text/plain", "not in Prometheus"),
        ("# nothing\n", 200, "text/plain", "no sample"),
        (TEXT, 404, "text/plain", "status 404"),
    ],
)
def test_an_endpoint_that_speaks_otherwise_fails(serve, at, reply, body, status, kind, words):
    url = serve({"/monitoring/metrics": reply(body, status, {"Content-Type": kind})}).url
    finding = metrics.endpoint(at(url)).run()
    assert finding.ok is (words == "")
    assert words in str(finding.observed)


def test_an_endpoint_that_is_not_there_fails(at):
    assert not metrics.endpoint(at("http://127.0.0.1:1")).run().ok


def test_counters_move_on_the_sandbox(env):
    finding = metrics.moving(env).run()
    assert finding.ok, finding.observed


def counting(serve, reply, step):
    """A service whose counter rises by `step` with each read of the providers."""
    counted = 0.0

    def read(asked):
        nonlocal counted
        counted += step
        return reply({"count": 2})

    def text(asked):
        return reply(f"# TYPE a_total counter\na_total {counted}\n# TYPE b gauge\nb {counted}\n")

    return serve({"/monitoring/metrics": text, "/api/providers/": read}).url


def test_a_counter_that_rises_with_each_request_passes(serve, at, reply):
    assert metrics.moving(at(counting(serve, reply, 1.0))).run().ok


@pytest.mark.parametrize("step", [0.5, 0.0, -1.0])
def test_counters_that_stand_still_fail(serve, at, reply, step):
    assert not metrics.moving(at(counting(serve, reply, step))).run().ok


def test_counters_that_cannot_be_compared_are_no_verdict(serve, at, reply):
    with pytest.raises(Unanswerable, match="could not be read"):
        metrics.moving(at(serve({"/api/providers/": reply({})}).url)).run()
