from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.checks import http
from runbook_lib.environment import Request
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_everything_matches_itself(value):
    assert http.mismatches(value, value) == []


@given(st.dictionaries(st.text(max_size=3), JSON, min_size=1, max_size=3), JSON)
def test_members_beyond_the_expected_are_welcome(expected, more):
    assert http.mismatches(expected, {**expected, "something else": more}) == []


def test_a_mismatch_names_its_path():
    expected = {"status": "healthy", "parts": {"db": {"up": True}}, "list": [{"id": 2}], "gone": 1}
    observed = {"status": "ill", "parts": {"db": {"up": 1}}, "list": [{"id": 1}]}
    assert http.mismatches(expected, observed) == [
        "$.status: 'ill', expected 'healthy'",
        "$.parts.db.up: 1, expected True",
        "$.list: no element matches {'id': 2}",
        "$.gone: is missing",
    ]


def test_an_expected_element_may_stand_anywhere_in_its_list():
    assert http.mismatches([{"id": 2}], [{"id": 1}, {"id": 2, "name": "x"}]) == []


def test_requests_are_marked_and_proxies_are_ignored(serve, at, reply, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server = serve({"/health": reply({"status": "healthy"})})
    assert http.health(at(server.url)).run().ok
    assert server.asked[0].headers[http.HEADER].startswith("runbook ")


def test_health_passes_on_the_sandbox(env):
    assert http.health(env).run().ok


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (({"status": "unhealthy"}, 200), "$.status: 'unhealthy', expected 'healthy'"),
        (({"status": "healthy"}, 503), "status 503, expected 200"),
        (("<html>", 200), "not JSON, but text/html"),
        ((b"\xff\x00", 200), "not JSON"),
        ((b"[" * (http.BODY_LIMIT + 1), 200), f"larger than {http.BODY_LIMIT} bytes"),
    ],
    ids=["unhealthy", "status", "html", "binary", "huge"],
)
def test_health_fails_on_a_wrong_answer(serve, at, reply, answer, words):
    finding = http.health(at(serve({"/health": reply(*answer)}).url)).run()
    assert not finding.ok
    assert words in str(finding.observed)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_health_fails_where_the_connection_is_refused(at):
    finding = http.health(at(f"http://127.0.0.1:{free_port()}")).run()
    assert not finding.ok
    assert "no answer" in str(finding.observed)


def test_no_answer_in_time_is_no_verdict(serve, at, reply):
    def slow(asked):
        time.sleep(0.5)
        return reply({})

    env = at(serve({"/health": slow}).url, limits={"request": 0.1})
    with pytest.raises(Unanswerable, match="did not answer within"):
        http.health(env).run()


def test_a_certificate_of_an_unknown_authority_fails(env):
    web = env.web.model_copy(update={"certificate_authority": None})
    finding = http.health(env.model_copy(update={"web": web})).run()
    assert not finding.ok
    assert "certificate verify failed" in str(finding.observed)


def test_a_missing_authority_is_no_verdict(at, tmp_path):
    env = at("https://127.0.0.1", web={"url": "https://127.0.0.1", "certificate_authority": "gone.pem"})
    with pytest.raises(Unanswerable, match=r"gone\.pem"):
        http.health(env).run()


@pytest.mark.parametrize(("version", "ok"), [("1.0.0", True), ("v1.0.0", True), ("0.9.0", False), (None, False)])
def test_the_version_that_answers(serve, at, reply, tmp_path, version, ok):
    env = at(serve({"/health": reply({"version": version})}).url)
    assert http.version_is(env, Release("v1.0.0", "c" * 40, tmp_path)).run().ok is ok


def test_the_version_passes_on_the_sandbox(env):
    deployed = releases.find(env, platforms.connect(env).deployed())
    assert http.version_is(env, deployed).run().ok


def test_features_pass_on_the_sandbox(env):
    finding = http.features(env).run()
    assert finding.ok
    assert len(finding.tables[0].rows) == len(env.features)


def test_a_feature_that_differs_is_the_row_marked_no(serve, at, reply):
    features = [{"name": "one", "path": "/one"}, {"name": "two", "path": "/two", "expect": {"a": 1}}]
    env = at(serve({"/one": reply({}), "/two": reply({"a": 2})}).url, features=features)
    finding = http.features(env).run()
    assert not finding.ok
    assert [row[3] for row in finding.tables[0].rows] == ["yes", "no"]


def test_no_declared_feature_is_no_verdict(at):
    with pytest.raises(Unanswerable):
        http.features(at("http://127.0.0.1:1")).run()


def test_the_scan_endpoint_passes_on_the_sandbox(env):
    assert http.accepts(env).run().ok
    assert http.refuses(env).run().ok


def test_an_api_that_refuses_what_is_valid_fails(serve, at, reply):
    assert not http.accepts(at(serve({"/api/scan/": reply({}, 422)}).url)).run().ok


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_api_that_takes_what_is_invalid_or_breaks_on_it_fails(serve, at, reply, status):
    assert not http.refuses(at(serve({"/api/scan/": reply({}, status)}).url)).run().ok


def test_without_a_declared_refusal_any_client_error_will_do(serve, at, reply):
    env = at(serve({"/api/scan/": reply({}, 400)}).url)
    api = env.api.model_copy(update={"refused": Request(method="POST", path="/api/scan/")})
    assert http.refuses(env.model_copy(update={"api": api})).run().ok


def test_providers_pass_on_the_sandbox(env):
    assert http.providers(env).run().ok


@pytest.mark.parametrize("body", [{"count": 2, "providers": []}, {"count": 1, "providers": [{}]}, [], "text"])
def test_providers_of_another_shape_fail(serve, at, reply, body):
    assert not http.providers(at(serve({"/api/providers/": reply(body)}).url)).run().ok


def test_a_name_that_does_not_resolve_is_unanswerable(at):
    with pytest.raises(Unanswerable, match="does not resolve"):
        http.health(at("http://nothing-here.invalid")).run()
