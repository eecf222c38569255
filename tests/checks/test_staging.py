from __future__ import annotations

import pytest

from runbook_lib.checks import staging
from runbook_lib.errors import NotApplicable, Unanswerable

CHECKS = (staging.smoke, staging.features, staging.performance)


@pytest.fixture
def before(at, monkeypatch):
    """A production environment whose staging is the one given."""

    def environment(other):
        monkeypatch.setattr(staging, "of", lambda env: other)
        return at("http://127.0.0.1:1")

    return environment


@pytest.mark.parametrize("check", [staging.smoke, staging.features], ids=lambda check: check.__name__)
def test_staging_passes_on_the_sandbox(env, check):
    finding = check(env).run()
    assert finding.ok, finding.observed


def test_performance_passes_on_the_sandboxs_staging(staging_env, before, unhurried):
    load = staging_env.load.model_copy(update={"staging_duration_seconds": 2.0})
    finding = staging.performance(before(unhurried(staging_env.model_copy(update={"load": load})))).run()
    assert finding.ok, finding.observed


def test_the_sandboxs_staging_is_the_other_stack(env, staging_env):
    assert staging.of(env).name == staging_env.name
    assert staging.of(env).web.url != env.web.url


@pytest.mark.parametrize("broken", ["/health", "/api/providers/", "/api/scan/"])
def test_smoke_fails_where_one_of_the_three_does_not_answer(serve, at, reply, before, broken):
    routes = {
        "/health": reply({"status": "healthy"}),
        "/api/providers/": reply({"count": 2}),
        "/api/scan/": reply({}),
    }
    assert staging.smoke(before(at(serve(routes).url))).run().ok
    assert not staging.smoke(before(at(serve({**routes, broken: reply({}, 500)}).url))).run().ok


def test_a_feature_that_differs_on_staging_fails(serve, at, reply, before):
    features = [{"path": "/one", "expect": {"a": 1}}]
    assert not staging.features(before(at(serve({"/one": reply({})}).url, features=features))).run().ok


def test_a_slow_staging_fails(serve, at, reply, before, monkeypatch):
    import time

    def slow(asked):
        time.sleep(0.6)
        return reply({})

    monkeypatch.setattr(staging, "RAMP_SECONDS", 0.5)
    parts = {
        "load": {"staging_duration_seconds": 1.0},
        "objectives": {"requests_per_second": 20, "p95_milliseconds": 500},
    }
    assert not staging.performance(before(at(serve({"/health": slow}).url, **parts))).run().ok


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_without_a_staging_nothing_applies(at, check):
    with pytest.raises(NotApplicable, match="staging"):
        check(at("http://127.0.0.1:1")).run()


def test_a_production_is_nobodys_staging(mini, at):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(toml.read_text().replace('kind = "sandbox"', 'kind = "production"'))
    with pytest.raises(Unanswerable, match="mini is production and cannot receive releases"):
        staging.smoke(at("http://127.0.0.1:1", staging="mini")).run()
