"""Against Debian's Prometheus, which scrapes the sandbox; stand-ins for what it cannot be made to say."""

from __future__ import annotations

import json

import pytest

from runbook_lib.checks import monitors, prometheus, success
from runbook_lib.environment import Monitoring
from runbook_lib.errors import NotApplicable, Unanswerable

CONFIGURATION = """
global: {{ scrape_interval: 200ms, scrape_timeout: 150ms, evaluation_interval: 100ms }}
rule_files: [ rules.yml ]
scrape_configs:
  - job_name: service
    scheme: https
    metrics_path: {path}
    tls_config: {{ ca_file: {authority} }}
    static_configs: [ {{ targets: [ "{service}" ] }} ]
  - job_name: gone
    static_configs: [ {{ targets: [ "127.0.0.1:1" ] }} ]
"""
RULES = "groups: [ { name: tests, rules: [ { alert: Always, expr: vector(1), for: %s } ] } ]"


@pytest.fixture(scope="module")
def start(daemon, staging_env):
    """Start a Prometheus that scrapes the staging stack, with one alert that fires after a while."""

    def started(alert_after):
        files = {
            "prometheus.yml": CONFIGURATION.format(
                path=staging_env.web.metrics_path,
                authority=staging_env.web.certificate_authority,
                service=staging_env.web.url.removeprefix("https://"),
            ),
            "rules.yml": RULES % alert_after,
        }
        arguments = (
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:{port}",
        )
        return daemon("prometheus", *arguments, ready="/-/ready", files=files)

    return started


@pytest.fixture(scope="module")
def real(start, staging_env):
    """The staging stack, watched by a Prometheus that has scraped it already; its alert is far from firing."""
    env = staging_env.model_copy(update={"monitoring": Monitoring(prometheus_url=start("1h"))})

    def scraped():
        targets = prometheus.ask(env, "targets")["activeTargets"]
        known = all(target["health"] != "unknown" for target in targets)
        return (
            known and prometheus.query(env, "http_requests_total") and prometheus.ask(env, "alerts")["alerts"]
        ) or None

    assert monitors.wait_for(scraped, 30.0, "waiting for a scrape")[0]
    return env


def changed(env, **monitoring):
    return env.model_copy(update={"monitoring": env.monitoring.model_copy(update=monitoring)})


def test_a_target_that_is_up_passes_by_its_job_or_its_address(real):
    for env in (real, changed(real, prometheus_job="service")):
        finding = prometheus.collects(env).run()
        assert finding.ok, finding.observed
        assert finding.tables[0].rows[0][1] == "up"


def test_a_target_that_is_down_fails(real):
    finding = prometheus.collects(changed(real, prometheus_job="gone")).run()
    assert not finding.ok
    assert "127.0.0.1:1/metrics is down" in finding.observed[0]
    assert "no series" in finding.observed[1]


@pytest.mark.parametrize(
    ("monitoring", "words"),
    [
        ({"prometheus_job": 'no"such\\job'}, "no target of job"),
        ({"prometheus_series": "none_total"}, "no series none_"),
    ],
)
def test_no_target_or_no_series_fails(real, monitoring, words):
    finding = prometheus.collects(changed(real, **monitoring)).run()
    assert not finding.ok
    assert words in finding.observed[0]


def test_an_expression_that_is_refused_is_no_verdict(real):
    with pytest.raises(Unanswerable, match="answers with 400"):
        prometheus.collects(changed(real, prometheus_series="no series")).run()


def test_a_pending_alert_passes_and_a_firing_one_fails(real, start):
    finding = success.dashboards(real).run()
    assert finding.ok, finding.observed
    assert finding.observed.startswith("1 alerts active")
    firing = changed(real, prometheus_url=start("0s"))
    assert monitors.wait_for(lambda: not success.dashboards(firing).run().ok or None, 30.0, "waiting")[0]
    assert success.dashboards(firing).run().observed == "1 alerts active; firing: Always"


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        {"status": "error"},
        {"status": "success", "data": []},
        {"status": "success", "data": {"activeTargets": [{"health": "up"}]}},
        {"status": "success", "data": {"activeTargets": None}},
    ],
)
def test_another_shape_is_no_verdict(at, serve, reply, body):
    url = serve({"/api/v1/targets?state=active": reply(body)}).url
    with pytest.raises(Unanswerable, match="Prometheus"):
        prometheus.collects(at("http://127.0.0.1:1", monitoring={"prometheus_url": url})).run()


def test_nobody_there_is_no_verdict_and_nobody_declared_does_not_apply(at):
    with pytest.raises(Unanswerable, match="does not answer"):
        prometheus.collects(at("http://127.0.0.1:1", monitoring={"prometheus_url": "http://127.0.0.1:1"})).run()
    with pytest.raises(NotApplicable, match=r"monitoring\.prometheus_url"):
        prometheus.collects(at("http://127.0.0.1:1")).run()


def grafana_says(at, serve, reply, body):
    return at("http://127.0.0.1:1", monitoring={"grafana_url": serve({"/api/health": reply(body)}).url})


def test_grafana_that_is_well_passes(at, serve, reply):
    assert prometheus.grafana(grafana_says(at, serve, reply, {"database": "ok"})).run().ok


@pytest.mark.parametrize("body", [{"database": "failing"}, {}, []])
def test_grafana_that_is_not_well_fails(at, serve, reply, body):
    assert not prometheus.grafana(grafana_says(at, serve, reply, body)).run().ok


def test_grafana_that_does_not_answer_is_no_verdict_and_none_does_not_apply(at, serve, reply):
    url = serve({"/api/health": reply({"database": "failing"}, 503)}).url
    with pytest.raises(Unanswerable, match="Grafana"):
        prometheus.grafana(at("http://127.0.0.1:1", monitoring={"grafana_url": url})).run()
    with pytest.raises(NotApplicable, match=r"monitoring\.grafana_url"):
        prometheus.grafana(at("http://127.0.0.1:1")).run()


@pytest.mark.parametrize("value", ["", 'a"b', "back\\slash", "tab\tline\nfeed", "żółw"])
def test_a_string_of_promql(value):
    assert json.loads(prometheus.quoted(value)) == value
