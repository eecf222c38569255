from __future__ import annotations

import io
import re
import time
from dataclasses import replace

import httpx
import numpy as np
import pandas as pd
import pytest

from runbook_lib.checks import http, load
from runbook_lib.environment import BYPASS, Request, WebBehindEdge
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.load.cluster import Cluster
from runbook_lib.load.engine import BuiltIn
from runbook_lib.load.interface import Call, Profile, Result, hold
from runbook_lib.load.k6 import K6
from runbook_lib.load.samples import FIELDS, Samples
from runbook_lib.load.schedule import times


def judged(env):
    return load.sustained(env, load.under_load(env)).run()


@pytest.fixture
def result():
    """Requests that all took 20 ms."""
    asked = hold(510.0, 12.0, ramp=1.0)
    due = times(asked)
    rows = np.zeros(len(due), dtype=list(FIELDS))
    rows["due"], rows["end"], rows["status"] = due, 0.02, 200
    call = Call(httpx.Request("GET", "http://x/health"), "GET /health")
    return Result("builtin", Profile((call,), asked), Samples(rows))


def test_a_finding_shows_charts_tables_and_keeps_every_sample(result, at):
    finding = load.finding(at("http://127.0.0.1:1"), result, item="11.1")
    assert finding.ok
    names = ["throughput.png", "latency.png", "distribution.png", "errors.png", "samples.parquet"]
    assert [evidence.name for evidence in finding.evidence] == names
    assert [table.title for table in finding.tables] == [
        "Verdict",
        "Latency since due",
        "Outcomes",
        "The generator itself",
    ]
    assert finding.facts["load"]["p95"] == pytest.approx(20.0)
    kept = pd.read_parquet(io.BytesIO(finding.evidence[-1].content))
    assert len(kept) == len(result.samples)


def test_what_is_inconclusive_is_no_finding_and_goes_along(result, at):
    interrupted = replace(result, stopped="interrupted")
    with pytest.raises(Unanswerable, match="inconclusive: interrupted before its end") as raised:
        load.finding(at("http://127.0.0.1:1"), interrupted, item="11.1")
    assert raised.value.seen.tables
    assert raised.value.seen.evidence[0].name == "throughput.png"
    assert not raised.value.seen.ok


def test_requests_are_marked_and_a_little_above_the_objective(at):
    asked = load.profile(at("http://127.0.0.1:1"), duration=3.0, ramp=1.0)
    assert asked.calls[0].request.headers[http.HEADER] == http.MARK
    assert asked.load.held == ((1.0, 4.0, 510.0),)
    assert load.profile(at("http://127.0.0.1:1"), duration=3.0, ramp=1.0, rate=100.0).load.held[0][2] == 102.0


def test_a_closed_edge_is_passed(at, monkeypatch):
    monkeypatch.setenv("PLANTED_BYPASS", "let-me-in")
    web = WebBehindEdge.model_validate({"url": "http://127.0.0.1:1", "bypass": {"env": "PLANTED_BYPASS"}})
    asked = load.profile(at("http://x").model_copy(update={"web": web}), duration=3.0, ramp=1.0)
    assert asked.calls[0].request.headers[BYPASS] == "let-me-in"


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (None, BuiltIn()),
        ("k6", K6()),
        ({"kind": "builtin", "workers": 2}, BuiltIn(workers=2)),
        ({"kind": "k6", "stall_seconds": 5.0}, K6(stall_seconds=5.0)),
        ({"kind": "cluster", "scheduler": "tcp://10.0.0.5:8786"}, Cluster("tcp://10.0.0.5:8786")),
    ],
)
def test_the_environment_chooses_the_engine(at, engine, expected):
    parts = {} if engine is None else {"load": {"engine": engine}}
    assert load.engine(at("http://127.0.0.1:1", **parts)) == expected


def test_production_is_loaded_only_where_its_name_is_repeated(serve, at, reply):
    server = serve({"/health": reply({})})
    env = at(server.url, kind="production", domains=["example.org"])
    with pytest.raises(Waiting, match="put under load only where confirm repeats its name") as raised:
        judged(env)
    assert "confirm = 'planted'" in raised.value.remedy
    assert server.asked == []
    assert load.refusal(env, 100.0, "planted") == ""


def test_more_than_the_ceiling_is_refused(serve, at, reply):
    server = serve({"/health": reply({})})
    with pytest.raises(Unanswerable, match=re.escape("500 requests/s are more than the 300 that load.ceiling allows")):
        judged(at(server.url, load={"ceiling": 300.0}))
    assert server.asked == []


def test_a_load_test_passes_on_the_sandbox(env, unhurried):
    short = env.load.model_copy(update={"duration_seconds": 3.0, "ramp_seconds": 1.0})
    finding = judged(unhurried(env.model_copy(update={"load": short})))
    assert finding.ok, finding.observed


SHORT = {"load": {"duration_seconds": 1.5, "ramp_seconds": 0.5}}


def test_a_service_that_answers_slowly_fails(serve, at, reply):
    def slow(asked):
        time.sleep(0.6)
        return reply({})

    objectives = {"requests_per_second": 30, "p95_milliseconds": 500}
    finding = judged(at(serve({"/health": slow}).url, **SHORT, objectives=objectives))
    assert not finding.ok
    p95 = re.search(r"p95 ([\d.]+) ms", finding.observed)
    assert p95 is not None
    assert float(p95[1]) >= 600


def test_a_service_that_fails_now_and_then_fails(serve, at, reply):
    counted = iter(range(10**6))

    def broken(asked):
        return reply({}, 503 if next(counted) % 20 == 0 else 200)

    objectives = {"requests_per_second": 100, "p95_milliseconds": 5000}
    finding = judged(at(serve({"/health": broken}).url, **SHORT, objectives=objectives))
    assert not finding.ok
    assert ("unexpected status", "503") in {row[:2] for row in finding.tables[2].rows}


def test_a_service_that_answers_something_else_fails(serve, at, reply):
    request = {"path": "/health", "expect": {"status": "healthy"}}
    objectives = {"requests_per_second": 50, "p95_milliseconds": 5000}
    parts = {"load": {**SHORT["load"], "requests": [request]}, "objectives": objectives}
    finding = judged(at(serve({"/health": reply({"status": "down"})}).url, **parts))
    assert not finding.ok
    assert "unexpected body" in {row[0] for row in finding.tables[2].rows}


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b'{"a": {"b": 1}, "c": 2}', ""), (b'{"a": {"b": 2}}', "$.a.b: 2, expected 1"), (b"<html>", "not JSON")],
)
def test_members_that_a_body_must_have(body, problem):
    assert load.Members({"a": {"b": 1}})(body) == problem


def test_a_declared_request_becomes_a_call(at):
    declared = Request(path="/a", method="POST", json={"x": 1}, status=(200, 202), weight=3)
    made = load.call(at("http://127.0.0.1:1/"), declared)
    assert str(made.request.url) == "http://127.0.0.1:1/a"
    assert made.request.read() == b'{"x":1}'
    assert (made.weight, made.status, made.title) == (3, (200, 202), "POST /a")
