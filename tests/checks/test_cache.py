from __future__ import annotations

import socket

import pytest

from runbook_lib.checks import cache
from runbook_lib.environment import Cache, Secret
from runbook_lib.errors import NotApplicable, Unanswerable

CHECKS = (cache.answers, cache.round_trip, cache.refuses_strangers)


@pytest.fixture
def with_url(at, monkeypatch):
    def environment(url):
        monkeypatch.setenv("PLANTED_CACHE_URL", url)
        return at("http://127.0.0.1:1", cache=Cache(url=Secret(env="PLANTED_CACHE_URL")).model_dump())

    return environment


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_cache_passes_on_the_sandbox(env, check):
    finding = check(env).run()
    assert finding.ok, finding.observed


def test_our_key_is_gone_afterwards(env):
    cache.round_trip(env).run()
    with cache._connect(env, cache._url(env)) as connection:
        assert list(connection.scan_iter("runbook:*")) == []


@pytest.mark.parametrize("check", [cache.answers, cache.round_trip], ids=lambda check: check.__name__)
def test_the_wrong_password_in_the_applications_url_fails(env, with_url, check):
    wrong = with_url(cache._with_password(cache._url(env), "wrong"))
    finding = check(wrong).run()
    assert not finding.ok
    assert "AuthenticationError" in finding.observed


def test_a_cache_without_a_password_fails(with_url, valkey_url):
    finding = cache.refuses_strangers(with_url(valkey_url)).run()
    assert not finding.ok
    assert finding.observed["no password"] == "let in"


@pytest.fixture
def stopped(with_url):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return with_url(f"redis://:secret@127.0.0.1:{probe.getsockname()[1]}/0")


def test_a_stopped_cache_fails(stopped):
    assert not cache.answers(stopped).run().ok
    assert not cache.round_trip(stopped).run().ok


def test_whether_a_stopped_cache_would_refuse_strangers_is_not_known(stopped):
    with pytest.raises(Unanswerable):
        cache.refuses_strangers(stopped).run()


def test_a_url_of_another_kind_is_no_verdict(with_url):
    with pytest.raises(Unanswerable, match="scheme"):
        cache.answers(with_url("memcached://x")).run()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_without_a_declared_cache_nothing_applies(at, check):
    with pytest.raises(NotApplicable, match=r"\[cache\]"):
        check(at("http://127.0.0.1:1")).run()


@pytest.mark.parametrize(
    ("url", "password", "expected"),
    [
        ("redis://:old@h:1/0", "new", "redis://:new@h:1/0"),
        ("redis://app:old@h:1/0", "new", "redis://app:new@h:1/0"),
        ("redis://app:old@h:1/0", None, "redis://h:1/0"),
    ],
)
def test_with_password(url, password, expected):
    assert cache._with_password(url, password) == expected
