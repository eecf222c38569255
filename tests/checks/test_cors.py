from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import platforms
from runbook_lib.checks import cors, dotenv, staging
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.platforms import Service

OWN = "https://twiga.example"
BOTH = (cors.foreign_origins_refused, cors.declared_origins_allowed)


@pytest.fixture
def service(serve, reply, at, tmp_path, monkeypatch):
    """An environment with a back end that lets in what `allows` says; it started `started` seconds after the .env."""

    class Running:
        def __init__(self, env):
            self.env = env

        def services(self):
            state = states[self.env.web.url]
            return (Service("backend", "RUNNING" if state else "STOPPED", state is not None, None, state, 0),)

    states = {}
    monkeypatch.setattr(platforms, "connect", Running)

    def start(allows, *, name="planted", origins=OWN, started=60.0, status=200, staging_name=None):
        def answer(asked):
            allowed = allows(asked.headers["Origin"])
            return reply("", status, {"Access-Control-Allow-Origin": allowed} if allowed else {})

        url = serve({"/api/scan/": answer, "/api/providers/": answer}).url
        file = tmp_path / f"{name}.env"
        file.write_text(f"CORS_ORIGINS={origins}\n")
        written = datetime(2026, 1, 1, tzinfo=UTC)
        os.utime(file, (written.timestamp(), written.timestamp()))
        states[url] = None if started is None else written + timedelta(seconds=started)
        return at(url, name=name, dotenv={"file": file.name}, staging=staging_name)

    return start


def only(*origins):
    return lambda asked: asked if asked in origins else None


@pytest.mark.parametrize("check", BOTH)
def test_cors_on_the_sandbox(staging_env, check):
    finding = check(staging_env).run()
    assert finding.ok, finding.observed
    assert "its present settings" in finding.observed["asked"]


@pytest.mark.parametrize("check", [dotenv.cors_without_wildcard, dotenv.cors_origins])
def test_the_configuration_of_the_sandbox(staging_env, check):
    assert check(staging_env).run().ok


def test_a_sound_service(service):
    env = service(only(OWN))
    assert all(check(env).run().ok for check in BOTH)


@pytest.mark.parametrize(
    "allows",
    [
        lambda asked: "*",
        lambda asked: asked,
        lambda asked: asked if asked.startswith(OWN) else None,
        lambda asked: "null" if asked == "null" else None,
        lambda asked: OWN,
    ],
    ids=["wildcard", "echo", "prefix", "null", "always the same"],
)
def test_a_foreign_origin_that_is_let_in(service, allows):
    finding = cors.foreign_origins_refused(service(allows)).run()
    assert not finding.ok
    assert finding.observed["let in"]


def test_a_declared_origin_that_is_refused(service):
    env = service(only(OWN), origins=f"{OWN},https://www.twiga.example")
    finding = cors.declared_origins_allowed(env).run()
    assert not finding.ok
    assert finding.observed["refused"] == ["https://www.twiga.example: 200, no origin allowed"]
    assert cors.foreign_origins_refused(env).run().ok


@pytest.mark.parametrize("written", [f"{OWN}:443", f"{OWN}/", "https://TWIGA.example"])
def test_a_preflight_carries_the_origin_as_a_browser_sends_it(service, written):
    """A service that compares texts refuses every browser here, and one that normalizes them lets it in."""
    finding = cors.declared_origins_allowed(service(only(written), origins=written)).run()
    assert not finding.ok
    assert finding.observed["refused"] == [f"{OWN}: 200, no origin allowed"]
    assert cors.declared_origins_allowed(service(only(OWN), origins=written)).run().ok


def test_a_lookalike_keeps_the_port_where_browsers_have_it():
    assert "https://twiga.example.foreign-origin.example:8443" in cors.foreign((f"{OWN}:8443",))


def test_a_preflight_that_fails_is_a_refusal(service):
    assert not cors.declared_origins_allowed(service(only(OWN), status=405)).run().ok


def test_a_broken_service_refuses_nobody(service):
    with pytest.raises(Unanswerable, match="answered with 502"):
        cors.foreign_origins_refused(service(only(OWN), status=502)).run()


@pytest.mark.parametrize("check", BOTH)
def test_settings_that_are_not_in_force_yet_are_asked_of_staging(service, monkeypatch, check):
    stage = service(only(OWN), name="stage")
    env = service(lambda asked: "*", started=-60.0, staging_name="stage")
    monkeypatch.setattr(staging, "of", lambda env: stage)
    finding = check(env).run()
    assert finding.ok
    assert "stage, since the backend of planted runs since" in finding.observed["asked"]


@pytest.mark.parametrize("check", BOTH)
@pytest.mark.parametrize("started", [-60.0, None], ids=["earlier settings", "not running"])
def test_without_a_service_that_knows_the_settings_the_deployment_is_awaited(service, check, started):
    with pytest.raises(Waiting, match="no staging is declared"):
        check(service(only(OWN), started=started)).run()


@pytest.mark.parametrize("check", BOTH)
def test_staging_with_earlier_settings_does_not_help(service, monkeypatch, check):
    stage = service(only(OWN), name="stage", started=-60.0)
    monkeypatch.setattr(staging, "of", lambda env: stage)
    with pytest.raises(Waiting, match="stage"):
        check(service(only(OWN), started=None, staging_name="stage")).run()


@pytest.mark.parametrize(("origins", "words"), [("", "names no origin"), ("[1", "is no list")])
def test_without_declared_origins_there_is_nothing_to_ask(service, origins, words):
    with pytest.raises(Unanswerable, match=words):
        cors.declared_origins_allowed(service(only(OWN), origins=origins)).run()


def test_nobody_answers(service, monkeypatch):
    env = service(only(OWN))
    closed = env.model_copy(update={"web": env.web.model_copy(update={"url": "http://127.0.0.1:9"})})
    monkeypatch.setattr(cors, "whom_to_ask", lambda env: cors.Asked(env, ""))
    with pytest.raises(Unanswerable, match="gave no answer"):
        cors.declared_origins_allowed(closed).run()


@pytest.mark.parametrize(
    ("origins", "ok"),
    [
        (OWN, True),
        (f'["{OWN}"]', True),
        ("*", False),
        ("null", False),
        ("https://*.twiga.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_a_wildcard_in_the_configuration(service, origins, ok):
    assert dotenv.cors_without_wildcard(service(only(OWN), origins=origins)).run().ok is ok


HOST = st.from_regex(r"https://[a-z]{1,8}\.[a-z]{2,5}", fullmatch=True)


@given(st.lists(HOST, max_size=4).map(tuple))
def test_no_declared_origin_is_asked_for_as_foreign(origins):
    asked = cors.foreign(origins)
    assert not set(asked) & set(origins)
    assert {cors.FOREIGN, "null"} <= set(asked)
    assert len(asked) == 2 + len(set(origins))
