from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.checks import database
from runbook_lib.environment import Secret
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release


@pytest.fixture(scope="module")
def running(env):
    """The release that the sandbox has installed and runs."""
    return releases.find(env, "v0.9.0")


@pytest.fixture
def elsewhere(env, monkeypatch):
    """The environment with another database URL."""

    def make(url):
        monkeypatch.setenv("ELSEWHERE", url)
        return env.model_copy(update={"database": env.database.model_copy(update={"url": Secret(env="ELSEWHERE")})})

    return make


def test_the_applications_url(env):
    finding = database.connects(env).run()
    assert finding.ok
    assert finding.observed["server"][0].isdigit()
    assert finding.observed["round trip, median of 5, ms"] > 0


@pytest.mark.parametrize("fault", ["port", "password"])
def test_a_url_that_is_refused(env, elsewhere, fault):
    url = database.url(env)
    parts = urlsplit(url)
    planted = url.replace(f":{parts.port}/", ":1/") if fault == "port" else database.with_password(url, "wrong one")
    finding = database.connects(elsewhere(planted)).run()
    assert not finding.ok
    assert parts.password not in repr(finding)


def test_a_text_that_is_no_url_is_not_repeated(elsewhere):
    with pytest.raises(Unanswerable) as raised:
        database.connects(elsewhere("postgresql://user:secret@[host/db")).run()
    assert "secret" not in str(raised.value)


def test_the_applications_engine(env, running):
    finding = database.engine_connects(env, running).run()
    assert finding.ok, finding.observed


def test_an_engine_that_does_not_connect(env, elsewhere, running):
    finding = database.engine_connects(elsewhere(database.with_password(database.url(env), "wrong")), running).run()
    assert not finding.ok


def test_a_release_that_is_not_installed(env, tmp_path):
    with pytest.raises(Unanswerable, match="is not installed"):
        database.engine_connects(env, Release("v9", "0" * 40, tmp_path)).run()


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("0002 (head)\n", ("0002",)),
        ("INFO something\nb (head)\na (label) (head)\n", ("a", "b")),
        ("ae1027a6acf (head) (mergepoint)\n", ("ae1027a6acf",)),
        ("", ()),
    ],
)
def test_heads_are_read(env, monkeypatch, listed, found):
    from runbook_lib.command import Completed

    monkeypatch.setattr(database, "run_in_release", lambda *a, **k: Completed((), 0, listed, 0.0))
    assert database.heads(env, Release("v1", "0" * 40, env.application.releases)) == found


def test_the_schema_is_that_of_what_is_deployed(env):
    finding = database.at_deployed_head(env).run()
    assert finding.ok, finding.observed
    assert finding.observed["deployed"] == platforms.connect(env).deployed()


@pytest.mark.parametrize("current", [("0002",), ()], ids=["half deployed", "never migrated"])
def test_a_schema_that_is_not_that_of_what_is_deployed(env, monkeypatch, current):
    monkeypatch.setattr(database, "revisions", lambda connection: current)
    finding = database.at_deployed_head(env).run()
    assert not finding.ok
    assert finding.observed["current"] == list(current)
    assert f"runbook rollback {env.name}" in finding.remedy


def test_where_nothing_is_deployed_no_schema_is_expected(env, tmp_path):
    settings = env.platform.model_copy(update={"folder": tmp_path})
    assert database.at_deployed_head(env.model_copy(update={"platform": settings})).run().ok


PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=20)


@given(PASSWORDS, PASSWORDS)
def test_only_the_password_changes(old, new):
    before = database.with_password("postgresql+psycopg://app:x@db.internal:5433/app?sslmode=require", old)
    parts = urlsplit(database.with_password(before, new))
    assert unquote(parts.password or "") == new
    assert parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() == (
        "postgresql+psycopg://db.internal:5433/app?sslmode=require"
    )
    assert psycopg.conninfo.conninfo_to_dict(database.without_driver(parts.geturl()))["password"] == new


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (
            "postgresql+asyncpg://u@h/d?ssl=require&prepared_statement_cache_size=0",
            "postgresql://u@h/d?sslmode=require",
        ),
        ("postgresql+asyncpg://u@h/d?prepared_statement_cache_size=0", "postgresql://u@h/d"),
        (
            "postgresql+psycopg://u@h/d?options=-c%20x%3D1&sslmode=disable",
            "postgresql://u@h/d?options=-c%20x%3D1&sslmode=disable",
        ),
        ("postgresql://u@h/d?ssl=require", "postgresql://u@h/d?ssl=require"),
        ("postgresql+psycopg://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_what_is_the_drivers_own_is_left_out(given, read):
    assert database.without_driver(given) == read


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=20))
def test_only_the_database_changes(name):
    url = database.with_database("postgresql+psycopg://app:pw@db.internal/app?sslmode=require", name)
    assert database.libpq_environment(url) == {
        "PGHOST": "db.internal",
        "PGUSER": "app",
        "PGPASSWORD": "pw",
        "PGDATABASE": name,
        "PGSSLMODE": "require",
    }
