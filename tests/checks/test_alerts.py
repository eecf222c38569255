"""The way of a test alert: through Debian's Alertmanager, and through a webhook, to the sandbox's kind of sink."""

from __future__ import annotations

import pytest

from runbook_lib.actions import signals
from runbook_lib.checks import alerts
from runbook_lib.errors import Unanswerable, Waiting

ROUTES = """
route:
  receiver: nobody
  group_wait: 100ms
  group_interval: 1s
  routes: [ {{ receiver: hook, matchers: [ 'severity="page"' ] }} ]
receivers: [ {{ name: nobody }}, {{ name: hook, webhook_configs: [ {{ url: "{hook}" }} ] }} ]
"""


@pytest.fixture(scope="module")
def hook(sandbox, staging_env):
    """The staging stack's sink."""
    return staging_env.monitoring.alerting.url


@pytest.fixture(scope="module")
def manager(daemon, hook):
    arguments = (
        "--config.file=alertmanager.yml",
        "--storage.path=data",
        "--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    files = {"alertmanager.yml": ROUTES.format(hook=hook)}
    return daemon("prometheus-alertmanager", *arguments, ready="/-/ready", files=files)


@pytest.fixture
def alerting(at):
    def environment(kind, url, seconds=20.0, **settings):
        monitoring = {"alerting": {"kind": kind, "url": url, **settings}, "arrival_seconds": seconds}
        return at("http://127.0.0.1:1", monitoring=monitoring)

    return environment


def test_an_alert_arrives_on_the_sandbox(env):
    action = signals.send_alert(env).run()
    assert action.ok, action.observed
    finding = alerts.arrived(env, action.facts).run()
    assert finding.ok, finding.observed


def test_an_alert_arrives_through_alertmanager(alerting, manager, hook):
    env = alerting("alertmanager", manager, confirmation_url=hook, labels={"severity": "page"})
    action = signals.send_alert(env).run()
    assert action.ok, action.observed
    finding = alerts.arrived(env, action.facts).run()
    assert finding.ok, finding.observed


def test_an_alert_that_is_routed_elsewhere_fails_and_says_where(alerting, manager, hook):
    env = alerting("alertmanager", manager, seconds=0.5, confirmation_url=hook)
    finding = alerts.arrived(env, signals.send_alert(env).run().facts).run()
    assert not finding.ok
    assert finding.observed.endswith("Alertmanager routes it to nobody")


def test_an_alert_that_the_receiver_never_shows_fails(alerting, serve, reply):
    server = serve({"/": reply({})})
    env = alerting("webhook", server.url, seconds=0.2, confirmation_url=server.url)
    finding = alerts.arrived(env, signals.send_alert(env).run().facts).run()
    assert not finding.ok
    assert "does not show" in finding.observed


def test_a_webhook_is_told_what_is_wrong_in_words_too(alerting, serve, reply, monkeypatch):
    server = serve({"/T0/secret-part": reply("ok")})
    monkeypatch.setenv("HOOK", f"{server.url}/T0/secret-part")
    env = alerting("webhook", {"env": "HOOK"})
    action = signals.send_alert(env).run()
    assert action.ok, action.observed
    assert "secret-part" not in str(action)
    assert env.secrets()["monitoring.alerting.url"].endswith("secret-part")
    body = server.asked[0].body.decode()
    assert action.facts[alerts.FACT]["id"] in body
    assert '"text"' in body
    assert "nothing is wrong" in body


@pytest.mark.parametrize(("kind", "path"), [("alertmanager", "/api/v2/alerts"), ("webhook", "/")])
def test_an_alert_that_is_not_taken_fails(alerting, serve, reply, kind, path):
    url = serve({path: reply({"error": "bad"}, 400)}).url
    for where, words in ((url, "answers with 400"), ("http://127.0.0.1:1", "does not answer")):
        finding = signals.send_alert(alerting(kind, where)).run()
        assert not finding.ok
        assert words in finding.observed
        assert not finding.facts


def test_a_receiver_that_cannot_be_asked_is_no_verdict(alerting, hook):
    env = alerting("webhook", hook, confirmation_url="http://127.0.0.1:1")
    facts = signals.send_alert(env).run().facts
    with pytest.raises(Unanswerable, match="the receiver"):
        alerts.arrived(env, facts).run()


def test_where_nobody_can_be_asked_a_person_is_awaited(alerting, hook):
    env = alerting("webhook", hook)
    facts = signals.send_alert(env).run().facts
    with pytest.raises(Waiting, match=facts[alerts.FACT]["id"]):
        alerts.arrived(env, facts).run()


def test_no_alerting_and_no_alert_are_no_verdict(at, env):
    with pytest.raises(Unanswerable, match="declares no alerting"):
        signals.send_alert(at("http://127.0.0.1:1")).run()
    with pytest.raises(Unanswerable, match="sent no test alert"):
        alerts.arrived(env, {}).run()
