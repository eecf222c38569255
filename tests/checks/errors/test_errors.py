"""The tracker: Bugsink as the sandbox runs it, and a stand-in that answers as Sentry's API is published."""

from __future__ import annotations

import secrets

import httpx
import pytest

from runbook_lib import platforms
from runbook_lib.actions import signals
from runbook_lib.checks import errors, monitors
from runbook_lib.environment import BugsinkTracker, Secret
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.sandbox import tracker_launch

NEVER_SENT = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def tracked(sandbox, staging_env):
    """The staging stack, whose service has a DSN from the start, once its tracker is ready."""
    url = staging_env.monitoring.tracker.url

    def ready():
        try:
            return httpx.get(f"{url}/health/ready", trust_env=False).is_success or None
        except httpx.TransportError:
            return None

    assert monitors.wait_for(ready, 60.0, "waiting for the tracker")[0]
    return staging_env


def watched(env, **changes):
    return env.model_copy(update={"monitoring": env.monitoring.model_copy(update=changes)})


def asked(env, **changes):
    """The environment with another tracker: its settings changed, and little patience."""
    other = env.monitoring.tracker.model_copy(update=changes)
    return watched(env, tracker=other, arrival_seconds=0.3)


class Running:
    """A platform whose service runs with the given environment."""

    def __init__(self, **variables):
        self.variables = variables

    def environment(self, service):
        return self.variables


@pytest.fixture
def running(monkeypatch):
    return lambda **variables: monkeypatch.setattr(platforms, "connect", lambda env: Running(**variables))


def sent(event_id=NEVER_SENT):
    return {errors.FACT: {"event_id": event_id}}


def test_the_dsn_passes_on_the_sandbox(staging_env):
    finding = errors.dsn_in_service(staging_env).run()
    assert finding.ok, finding.observed
    dsn = errors.running_dsn(staging_env)
    assert dsn not in str(finding)
    assert dsn.partition("@")[0] not in str(finding)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "is not set"),
        ({"SENTRY_DSN": ""}, "is not set"),
        ({"SENTRY_DSN": "https://sentry.io/1"}, "no public key"),
        ({"SENTRY_DSN": "https://abc@sentry.io/1"}, "not the one in sandbox-staging.toml"),
    ],
)
def test_a_service_that_runs_with_another_dsn_or_none_fails(staging_env, running, variables, words):
    running(**variables)
    finding = errors.dsn_in_service(staging_env).run()
    assert not finding.ok
    assert words in finding.observed[0]


def test_what_the_file_holds_counts_where_the_environment_declares_no_dsn(at, running, tmp_path):
    env = at("http://127.0.0.1:1")
    (tmp_path / ".env").write_text("SENTRY_DSN=https://abc@sentry.io/1\n")
    running(SENTRY_DSN="https://abc@sentry.io/1")
    assert errors.dsn_in_service(env).run().ok
    running(SENTRY_DSN="https://abd@sentry.io/1")
    assert not errors.dsn_in_service(env).run().ok


def test_no_tracked_service_is_no_verdict(staging_env):
    with pytest.raises(Unanswerable, match="tracked_services"):
        errors.dsn_in_service(watched(staging_env, tracked_services=())).run()


def test_a_test_error_is_sent_and_found_again(tracked):
    action = signals.send_error(tracked).run()
    assert action.ok, action.observed
    finding = errors.appears(tracked, action.facts).run()
    assert finding.ok, finding.observed
    event_id, title, _, page = finding.tables[0].rows[0]
    assert event_id == action.facts[errors.FACT]["event_id"]
    assert title.startswith(signals.ERROR)
    assert page.startswith(tracked.monitoring.tracker.url)


def test_the_test_error_says_that_it_is_one(tracked):
    event_id = signals.send_error(tracked).run().facts[errors.FACT]["event_id"]
    found = errors.connect(tracked).find(event_id)
    internal = found.page.rstrip("/").rpartition("/")[2]
    address = f"{tracked.monitoring.tracker.url}/api/canonical/0/events/{internal}/"
    data = monitors.get_json(tracked, address, who="it", setting="", token=tracked.monitoring.tracker.token)["data"]
    assert data["tags"] == {"runbook": "test"}
    assert data["environment"] == "staging"


def test_a_test_error_that_never_arrived_fails(tracked):
    finding = errors.appears(asked(tracked), sent()).run()
    assert not finding.ok
    assert f"does not show event {NEVER_SENT}" in finding.observed


@pytest.mark.parametrize("dsn", ["http://{key}@127.0.0.1:1/2", "http://{key}@no-such-host.invalid/2"])
def test_a_dsn_to_a_tracker_that_is_down_fails_by_its_own_words(staging_env, running, dsn):
    running(SENTRY_DSN=dsn.format(key=secrets.token_hex(16)))
    finding = signals.send_error(watched(staging_env, arrival_seconds=0.2)).run()
    assert not finding.ok
    assert "took no event" in finding.observed
    assert not finding.facts
    assert "errors of the service are being lost" in finding.remedy


def test_a_dsn_with_a_key_that_the_tracker_refuses_fails_at_once(tracked, running):
    real = errors.running_dsn(tracked)
    running(SENTRY_DSN=real.replace(real[7:39], secrets.token_hex(16)))
    finding = signals.send_error(watched(tracked, arrival_seconds=60.0)).run()
    assert not finding.ok
    assert "answers with 4" in finding.observed


def test_a_service_without_a_dsn_has_nowhere_to_send_to(staging_env, running):
    running()
    finding = signals.send_error(staging_env).run()
    assert not finding.ok
    assert finding.observed == "SENTRY_DSN is not set"


def test_a_tracker_that_cannot_be_asked_is_no_verdict(tracked, monkeypatch):
    monkeypatch.setenv("WRONG_TOKEN", "d" * 40)
    for changes, words in (
        ({"token": Secret(env="WRONG_TOKEN")}, "refuses us with 401"),
        ({"token": Secret(env="NO_SUCH_TOKEN")}, "no value found"),
        ({"project": 99}, "answers with 404"),
        ({"url": "http://127.0.0.1:1"}, "does not answer"),
    ):
        with pytest.raises(Unanswerable, match=words):
            errors.appears(asked(tracked, **changes), sent()).run()


@pytest.mark.parametrize("body", ["<html>", {"results": None}, {"results": [1]}, []])
def test_another_shape_is_no_verdict(at, serve, reply, monkeypatch, body):
    monkeypatch.setenv("TOKEN", "t" * 40)
    url = serve({"/api/canonical/0/issues/?project=1&sort=last_seen&order=desc": reply(body)}).url
    declared = BugsinkTracker(kind="bugsink", url=url, project=1, token=Secret(env="TOKEN"))
    with pytest.raises(Unanswerable, match="Bugsink"):
        errors.appears(asked(watched(at("http://127.0.0.1:1"), tracker=declared)), sent()).run()


def test_without_a_test_error_or_a_tracker_to_ask_there_is_no_verdict(staging_env):
    with pytest.raises(Unanswerable, match="sent no test error"):
        errors.appears(staging_env, {}).run()
    with pytest.raises(Waiting, match=NEVER_SENT):
        errors.appears(watched(staging_env, tracker=None), sent()).run()


PROJECT = "/api/0/projects/acme/twiga-scan/"
EVENT = f"{PROJECT}events/{NEVER_SENT}/"
SHAPE = {"eventID": NEVER_SENT, "title": "RunbookTestError: x", "dateReceived": "2026-03-01T12:00:00Z"}


@pytest.fixture
def sentry(at, serve, monkeypatch):
    """An environment whose tracker is a stand-in for Sentry's API, by its routes."""
    monkeypatch.setenv("SENTRY_TOKEN", "sentry-token")

    def environment(routes):
        server = serve(routes)
        tracker = {"kind": "sentry", "url": server.url, "organisation": "acme", "project": "twiga-scan"}
        monitoring = {"tracker": {**tracker, "token": {"env": "SENTRY_TOKEN"}}, "arrival_seconds": 0.3}
        return at("http://127.0.0.1:1", monitoring=monitoring), server

    return environment


def test_sentry_shows_the_event_after_a_while(sentry, reply, monkeypatch):
    monkeypatch.setattr(monitors, "POLL_SECONDS", 0.01)
    answers = iter([reply({"detail": "Event not found"}, 404), reply(SHAPE)])
    env, server = sentry({EVENT: lambda asked: next(answers), PROJECT: reply({"slug": "twiga-scan"})})
    finding = errors.appears(env, sent()).run()
    assert finding.ok, finding.observed
    assert {one.headers["Authorization"] for one in server.asked} == {"Bearer sentry-token"}
    assert "sentry-token" not in str(finding)


def test_sentry_that_never_shows_the_event_fails(sentry, reply):
    env, _ = sentry({PROJECT: reply({"slug": "twiga-scan"})})
    finding = errors.appears(env, sent()).run()
    assert not finding.ok
    assert "acme/twiga-scan does not show" in finding.observed


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ({}, "no such project"),
        ({EVENT: ({"detail": "Invalid token"}, 401)}, "refuses us with 401"),
        ({EVENT: ({"detail": "no scope"}, 403)}, "refuses us with 403"),
        ({EVENT: ({}, 500)}, "answers with 500"),
        ({EVENT: ({"id": 1}, 200)}, "shape"),
        ({EVENT: ("<html>", 200)}, "shape"),
    ],
)
def test_sentry_that_cannot_be_asked_is_no_verdict(sentry, reply, routes, words):
    env, _ = sentry({path: reply(*answer) for path, answer in routes.items()})
    with pytest.raises(Unanswerable, match=words):
        errors.appears(env, sent()).run()


def test_the_sandboxes_keys_are_held_back_from_the_record(staging_env):
    assert "monitoring.tracker.token" in staging_env.secrets()
    assert tracker_launch.PROJECTS == {"sandbox": 1, "sandbox-staging": 2}
