"""Against Debian's blackbox exporter, the sandbox's own probe, and stand-ins that speak as uptime services do."""

from __future__ import annotations

import httpx
import pytest

from runbook_lib.checks import monitors, uptime
from runbook_lib.environment import BlackboxProbe, JsonProbe
from runbook_lib.errors import Unanswerable

MODULE = "modules: { http_2xx: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4 } } }"
# Prometheus needs five seconds to find what it is to scrape, and none to evaluate a rule.
PROMETHEUS = """
global: { evaluation_interval: 100ms }
rule_files: [ rules.yml ]
"""
RULES = """
groups:
  - name: probes
    rules:
      - { record: probe_success, expr: vector(1), labels: { instance: "http://up/" } }
      - { record: probe_success, expr: vector(0), labels: { instance: "http://down/" } }
"""
UP = {"monitors": [{"status": 2, "paused": False}], "status": "up"}


@pytest.fixture(scope="module")
def exporter(daemon):
    arguments = ("--config.file=blackbox.yml", "--web.listen-address=127.0.0.1:{port}")
    return daemon("prometheus-blackbox-exporter", *arguments, ready="/-/healthy", files={"blackbox.yml": MODULE})


@pytest.fixture
def probed(at):
    return lambda *probes, **monitoring: at("http://127.0.0.1:1", monitoring={"probes": probes, **monitoring})


def blackbox(target, exporter=None):
    return BlackboxProbe(kind="blackbox", name="health", target=target, exporter=exporter)


def json_probe(url, path="status", expected="up", **more):
    return JsonProbe(name="health", url=url, path=path, expected=expected, **more)


def test_the_sandboxes_probe_reports_up(env):
    finding = uptime.probes(env).run()
    assert finding.ok, finding.observed


def test_the_blackbox_exporter_tells_up_from_down(probed, exporter, serve, reply):
    target = serve({"/": reply("hello")}).url
    finding = uptime.probes(probed(blackbox(f"{target}/", exporter))).run()
    assert finding.ok, finding.observed
    assert "HTTP status 200" in finding.tables[0].rows[0][2]
    for down in ("http://127.0.0.1:1/", f"{target}/missing"):
        assert not uptime.probes(probed(blackbox(down, exporter))).run().ok


def test_a_module_that_the_exporter_does_not_know_is_no_verdict(probed, exporter):
    probe = blackbox("http://127.0.0.1:1/", exporter).model_copy(update={"module": "none"})
    with pytest.raises(Unanswerable, match="answers with 400"):
        uptime.probes(probed(probe)).run()


def test_what_is_no_exporter_is_no_verdict(probed, serve, reply):
    for body in (b"up 1\n", "<html>"):
        url = serve({"/probe?target=x&module=http_2xx": reply(body)}).url
        with pytest.raises(Unanswerable, match="blackbox exporter"):
            uptime.probes(probed(blackbox("x", url))).run()


def test_probes_are_seen_through_prometheus(probed, daemon):
    arguments = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:{port}")
    url = daemon("prometheus", *arguments, ready="/-/ready", files={"prometheus.yml": PROMETHEUS, "rules.yml": RULES})

    def known():
        found = httpx.get(f"{url}/api/v1/query", params={"query": "probe_success"}, trust_env=False).json()
        return len(found["data"]["result"]) == 2 or None

    assert monitors.wait_for(known, 30.0, "waiting for both series")[0]
    assert uptime.probes(probed(blackbox("http://up/"), prometheus_url=url)).run().ok
    assert not uptime.probes(probed(blackbox("http://down/"), prometheus_url=url)).run().ok
    finding = uptime.probes(probed(blackbox("http://never-probed/"), prometheus_url=url)).run()
    assert not finding.ok
    assert "nobody probes it" in finding.observed[0]


def test_a_probe_that_names_nobody_to_ask_is_no_verdict(probed):
    with pytest.raises(Unanswerable, match="names no exporter"):
        uptime.probes(probed(blackbox("http://127.0.0.1:1/"))).run()


@pytest.mark.parametrize(
    ("path", "expected", "ok"),
    [
        ("status", "up", True),
        ("monitors.0.status", 2, True),
        ("monitors.0.paused", False, True),
        ("status", "UP", False),
        ("monitors.0.status", 9, False),
        ("monitors.0.paused", 0, False),
    ],
)
def test_what_the_json_says_is_compared(probed, serve, reply, path, expected, ok):
    finding = uptime.probes(probed(json_probe(serve({"/": reply(UP)}).url, path, expected))).run()
    assert finding.ok is ok
    assert repr(expected) in str(finding.observed)


@pytest.mark.parametrize("path", ["none", "monitors.1.status", "monitors.status", "status.deeper", "monitors.-1"])
def test_a_path_that_leads_nowhere_is_no_verdict(probed, serve, reply, path):
    with pytest.raises(Unanswerable, match="does not say"):
        uptime.probes(probed(json_probe(serve({"/": reply(UP)}).url, path))).run()


@pytest.mark.parametrize("answer", [("<html>", 200), ({}, 500), ({}, 401)])
def test_a_probe_that_cannot_be_asked_is_no_verdict(probed, serve, reply, answer):
    with pytest.raises(Unanswerable, match="health"):
        uptime.probes(probed(json_probe(serve({"/": reply(*answer)}).url))).run()


def test_a_probe_that_is_down_fails_whatever_another_cannot_say(probed, serve, reply):
    down = json_probe(serve({"/": reply({"status": "down"})}).url)
    silent = json_probe("http://127.0.0.1:1").model_copy(update={"name": "silent"})
    finding = uptime.probes(probed(silent, down)).run()
    assert not finding.ok
    assert [line.partition(":")[0] for line in finding.observed] == ["health", "silent"]
    with pytest.raises(Unanswerable, match="silent"):
        uptime.probes(probed(silent)).run()


def test_the_token_is_sent_and_not_shown(probed, serve, reply, monkeypatch):
    monkeypatch.setenv("PROBE_TOKEN", "probe-secret")
    server = serve({"/": reply(UP)})
    env = probed(json_probe(server.url, token={"env": "PROBE_TOKEN"}))
    step = uptime.probes(env)
    assert "probe-secret" not in str(step.run())
    assert server.asked[0].headers["Authorization"] == "Bearer probe-secret"
    assert env.secrets()["monitoring.probes.health.token"] == "probe-secret"


def test_no_probe_is_no_verdict(at):
    with pytest.raises(Unanswerable, match="no uptime probe"):
        uptime.probes(at("http://127.0.0.1:1")).run()
