from __future__ import annotations

import pytest

from runbook_lib.checks import http, traffic
from runbook_lib.environment import MarkerEdge, Secret
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import edges


@pytest.fixture
def closed(env):
    """The sandbox's edge, closed; opened afterwards."""
    edge = edges.connect(env)
    edge.close()
    yield
    edge.open()


def test_the_sandboxs_closed_edge_turns_users_away_and_lets_the_runbook_pass(env, closed):
    finding = traffic.is_stopped(env).run()
    assert finding.ok, finding.observed
    assert not traffic.flows(env).run().ok
    behind = traffic.behind(env)
    assert traffic.flows(behind).run().ok
    assert http.features(behind).run().ok


def test_the_sandboxs_open_edge_lets_users_in(env):
    assert traffic.flows(env).run().ok
    finding = traffic.is_stopped(env).run()
    assert not finding.ok
    assert finding.observed == "200; Retry-After: missing"


@pytest.mark.parametrize(
    ("status", "headers", "ok"),
    [(503, {"Retry-After": "60"}, True), (503, {}, False), (200, {"Retry-After": "60"}, False)],
)
def test_only_503_with_retry_after_counts(serve, at, reply, status, headers, ok):
    server = serve({"/health": reply({"status": "healthy"}, status, headers=headers)})
    assert traffic.is_stopped(at(server.url)).run().ok is ok


def test_an_edge_that_refuses_connections_is_not_stopped_by_us(at):
    finding = traffic.is_stopped(at("http://127.0.0.1:1")).run()
    assert not finding.ok
    assert "no answer" in finding.observed


def test_the_bypass_is_sent_only_where_it_is_asked_for(serve, at, reply, monkeypatch):
    monkeypatch.setenv("EDGE_BYPASS", "a-secret-bypass")
    server = serve({"/health": reply({"status": "healthy"})})
    env = at(server.url, edge={"kind": "marker", "file": "closed", "bypass": {"env": "EDGE_BYPASS"}})
    traffic.flows(env).run()
    traffic.flows(traffic.behind(env)).run()
    assert [asked.headers.get("X-Runbook-Bypass") for asked in server.asked] == [None, "a-secret-bypass"]
    assert env.secrets()["edge.bypass"] == "a-secret-bypass"


def test_a_bypass_that_is_not_set_is_no_verdict(env, tmp_path):
    lost = env.model_copy(
        update={"edge": MarkerEdge(kind="marker", file=tmp_path / "closed", bypass=Secret(env="NOT_SET_ANYWHERE"))}
    )
    with pytest.raises(Unanswerable, match="NOT_SET_ANYWHERE"):
        traffic.flows(traffic.behind(lost)).run()


def test_without_an_edge_there_is_nothing_to_get_behind(env):
    alone = env.model_copy(update={"edge": None})
    assert traffic.behind(alone) is alone
