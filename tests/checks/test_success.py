from __future__ import annotations

import itertools
import time

import pytest

from runbook_lib.checks import success
from runbook_lib.environment import Monitoring
from runbook_lib.errors import NotApplicable, Unanswerable

WINDOW = {"window_seconds": 0.5, "requests_per_second": 40}


def short(env):
    return env.model_copy(update={"success": env.success.model_copy(update={"window_seconds": 1.0})})


def judged(check, env):
    return check(env, success.window(env)).run()


@pytest.fixture
def service(serve, at, reply):
    """A service whose counters are scripted: what each scrape says, as (answered well, answered 5xx)."""

    def environment(*scrapes, status=200, seconds=0.0, **parts):
        counts = itertools.chain(scrapes, itertools.repeat(scrapes[-1] if scrapes else (0, 0)))

        def metrics(asked):
            good, bad = next(counts)
            lines = [f'http_requests_total{{status="{code}"}} {n}\n' for code, n in (("200", good), ("500", bad))]
            return reply("".join(["# TYPE http_requests_total counter\n", *lines]))

        def answer(asked):
            time.sleep(seconds)
            return reply({"status": "healthy", "count": 2}, status)

        routes = {"/monitoring/metrics": metrics, "/health": answer, "/api/providers/": answer}
        return at(serve(routes).url, success=WINDOW, **parts)

    return environment


def test_the_error_rate_passes_on_the_sandbox(env):
    finding = judged(success.error_rate, short(env))
    assert finding.ok, finding.observed


def test_our_own_requests_are_not_everybody_elses(service):
    finding = judged(success.error_rate, service((100, 0), (100 + 21 + 50, 0)))
    assert finding.ok
    assert finding.observed == {"our light traffic": "0.00% of 20 requests", "everybody else": "0.00% of 50 requests"}


@pytest.mark.parametrize("after", [(100 + 10, 0), (100 + 10, 10)], ids=["fewer than ours", "failed ones alone"])
def test_counters_that_leave_requests_out_are_no_verdict(service, after):
    with pytest.raises(Unanswerable, match="do not hold all requests"):
        judged(success.error_rate, service((100, 0), after))


def test_errors_that_only_others_meet_fail(service):
    finding = judged(success.error_rate, service((100, 0), (100 + 21 + 95, 5)))
    assert not finding.ok
    assert finding.observed["everybody else"] == "5.00% of 100 requests"


def test_errors_that_we_meet_fail(service):
    finding = judged(success.error_rate, service((100, 0), (101, 20), status=503))
    assert not finding.ok
    assert finding.observed["our light traffic"] == "100.00% of 20 requests"
    assert finding.observed["everybody else"] == "0.00% of 0 requests"


def test_client_errors_are_no_errors_of_the_service(service):
    assert judged(success.error_rate, service((100, 0), (121, 0), status=404)).ok


def test_counters_that_fell_are_no_verdict(service):
    with pytest.raises(Unanswerable, match="restarted"):
        judged(success.error_rate, service((100, 0), (5, 0)))


def test_response_times_pass_on_the_sandbox(env, unhurried):
    finding = judged(success.response_times, short(unhurried(env)))
    assert finding.ok, finding.observed


def test_slow_answers_fail(service):
    finding = judged(success.response_times, service(seconds=0.03, objectives={"p95_milliseconds": 20}))
    assert not finding.ok


def test_no_answer_fails(at):
    finding = judged(success.response_times, at("http://127.0.0.1:1", success=WINDOW))
    assert not finding.ok
    assert "0 of 20 requests answered" in finding.observed


def prometheus(serve, at, reply, answer):
    return at("http://127.0.0.1:1", monitoring={"prometheus_url": serve({"/api/v1/alerts": answer}).url})


def alerts(*states):
    return {"status": "success", "data": {"alerts": [{"state": s, "labels": {"alertname": "Down"}} for s in states]}}


@pytest.mark.parametrize("states", [(), ("pending",)])
def test_alerts_that_do_not_fire_pass(serve, at, reply, states):
    assert success.dashboards(prometheus(serve, at, reply, reply(alerts(*states)))).run().ok


def test_a_watchdog_that_always_fires_is_no_alert(serve, at, reply):
    told = alerts("firing")
    told["data"]["alerts"][0]["labels"]["severity"] = "none"
    assert success.dashboards(prometheus(serve, at, reply, reply(told))).run().ok


def test_firing_alerts_fail(serve, at, reply):
    assert not success.dashboards(prometheus(serve, at, reply, reply(alerts("pending", "firing")))).run().ok


@pytest.mark.parametrize("answer", [("<html>", 200), ({"status": "error"}, 200), ({}, 503)])
def test_a_prometheus_that_does_not_tell_is_no_verdict(serve, at, reply, answer):
    with pytest.raises(Unanswerable, match="Prometheus"):
        success.dashboards(prometheus(serve, at, reply, reply(*answer))).run()


def test_without_prometheus_the_dashboards_do_not_apply(env):
    with pytest.raises(NotApplicable, match=r"monitoring\.prometheus_url"):
        success.dashboards(env.model_copy(update={"monitoring": Monitoring()})).run()


def test_a_transaction_passes_on_the_sandbox(env):
    finding = success.transaction(env).run()
    assert finding.ok, finding.observed


def stored_by(env, query):
    return env.model_copy(update={"api": env.api.model_copy(update={"stored": query})})


def test_of_the_answer_only_that_is_told_by_which_the_row_is_found(env):
    finding = success.transaction(stored_by(env, "SELECT 1 FROM scans WHERE id = %(id)s")).run()
    assert finding.ok
    assert "'id'" in finding.observed
    assert "'type'" not in finding.observed


def test_a_transaction_that_is_not_accepted_fails(env):
    api = env.api.model_copy(update={"accepted": env.api.refused.model_copy(update={"status": (200,)})})
    finding = success.transaction(env.model_copy(update={"api": api})).run()
    assert not finding.ok
    assert "not accepted" in finding.observed


def test_a_transaction_that_is_accepted_and_not_kept_fails(env):
    finding = success.transaction(stored_by(env, "SELECT 1 FROM scans WHERE id = -%(id)s")).run()
    assert not finding.ok
    assert "not found in the database" in finding.observed


@pytest.mark.parametrize(
    "query",
    ["SELECT 1 FROM none_such", "SELECT 1 WHERE 'a' = %(no_such_member)s", "DELETE FROM scans WHERE id = %(id)s"],
)
def test_a_query_that_cannot_be_asked_is_no_verdict(env, query):
    with pytest.raises(Unanswerable, match=r"api\.stored"):
        success.transaction(stored_by(env, query)).run()
