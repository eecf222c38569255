from __future__ import annotations

import contextlib
import secrets
from datetime import UTC, datetime
from types import SimpleNamespace

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import database, database_performance, load
from runbook_lib.environment import Secret
from runbook_lib.errors import Unanswerable

from ..waiting import until

SLOW = """\
2026-03-01 12:00:00.000 UTC [9] app@db LOG:  duration: 1500.250 ms  statement: SELECT *
\tFROM scans WHERE content = 'bitcoin:secret' AND id > 42
2026-03-01 12:00:01.000 UTC [9] app@db LOG:  duration: 300.000 ms  execute s_1: INSERT INTO scans VALUES ($1, E'it\\'s')
2026-03-01 12:00:02.000 UTC [9] app@db LOG:  duration: 9000.000 ms  statement: COPY scans TO stdout
2026-03-01 12:00:03.000 UTC [9] app@db LOG:  connection authorized
"""


@given(st.text(alphabet="abc'\\$ 19;-\"", max_size=30))
def test_no_string_outlives_its_query(secret):
    quoted = secret.replace("'", "''")
    assert database_performance.without_literals(f"SELECT '{quoted}'") == "SELECT ?"


@given(st.text(max_size=40))
def test_stripping_twice_changes_nothing_more(query):
    once = database_performance.without_literals(query)
    assert database_performance.without_literals(once) == once


@pytest.mark.parametrize(
    ("query", "stripped"),
    [
        ("SELECT 1, 2.5, -3e10 FROM t2", "SELECT ?, ?, -? FROM t2"),
        ("SELECT $1, $22", "SELECT $1, $22"),
        ("SELECT E'it\\'s', U&'d', B'01'", "SELECT ?, ?, ?"),
        ("SELECT $$a 'b'$$, $tag$ $$ $tag$", "SELECT ?, ?"),
        ('SELECT "it\'s 5" FROM "a""b"', 'SELECT "it\'s 5" FROM "a""b"'),
        ("SELECT 'cut off", "SELECT ?"),
    ],
)
def test_literals(query, stripped):
    assert database_performance.without_literals(query) == stripped


def test_a_log_is_read_with_its_continued_lines():
    assert [(query.text, query.slowest) for query in database_performance.parse_log(SLOW)] == [
        ("SELECT * FROM scans WHERE content = ? AND id > ?", 1500.25),
        ("INSERT INTO scans VALUES ($1, ?)", 300.0),
        ("COPY scans TO stdout", 9000.0),
    ]


def with_log(env, file):
    return env.model_copy(update={"database": env.database.model_copy(update={"log_file": file})})


def test_slow_queries_pass_on_the_sandbox(env):
    finding = database_performance.slow_queries(env, deployed_at=datetime.now(UTC).isoformat()).run()
    assert finding.ok, finding.observed


def test_a_slow_query_in_the_log_fails_and_is_shown_without_literals(env, tmp_path):
    log = tmp_path / "postgresql.log"
    log.write_text(SLOW)
    finding = database_performance.slow_queries(with_log(env, log)).run()
    assert not finding.ok
    assert "1 queries above 1000 ms" in finding.observed
    assert finding.tables[0].rows[0][0] == "SELECT * FROM scans WHERE content = ? AND id > ?"
    assert "secret" not in str(finding)


def test_a_slow_query_from_before_the_deployment_passes(env, tmp_path):
    log = tmp_path / "postgresql.log"
    log.write_text(SLOW)
    assert database_performance.slow_queries(with_log(env, log), deployed_at="2026-03-01T12:00:01+00:00").run().ok


@pytest.mark.parametrize("deployed_at", [None, "2026-03-01T12:00:01+00:00"])
def test_a_platforms_log_is_asked_for_by_the_platforms_own_times(env, monkeypatch, deployed_at):
    """A stand-in: no service of this sandbox's own platform writes a PostgreSQL log."""
    asked = []

    def logs(service, *, since):
        asked.append((service, since and since.isoformat()))
        return SLOW

    monkeypatch.setattr(database_performance.platforms, "connect", lambda _: SimpleNamespace(logs=logs))
    ours = env.model_copy(update={"database": env.database.model_copy(update={"log_service": "database"})})
    assert not database_performance.slow_queries(ours, deployed_at=deployed_at).run().ok
    assert asked == [("database", deployed_at)]


def test_a_log_that_cannot_be_read_or_would_not_show_it_is_no_verdict(env, tmp_path):
    with pytest.raises(Unanswerable, match="cannot be read"):
        database_performance.slow_queries(with_log(env, tmp_path / "gone.log")).run()
    with pytest.raises(Unanswerable, match="cannot be read"):
        database_performance.slow_queries(with_log(env, None)).run()
    strict = env.model_copy(update={"objectives": env.objectives.model_copy(update={"slow_query_milliseconds": 100.0})})
    with pytest.raises(Unanswerable, match="log_min_duration_statement is 250 ms"):
        database_performance.slow_queries(strict).run()


@pytest.fixture
def scratch(env, monkeypatch):
    """An empty database beside the sandbox's own, and the environment that points to it."""
    name = f"planted_{secrets.token_hex(4)}"
    with database.connected(env) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("PLANTED_DATABASE_URL", database.with_database(database.url(env), name))
        reference = env.database.model_copy(update={"url": Secret(env="PLANTED_DATABASE_URL")})
        yield env.model_copy(update={"database": reference})
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_statistics_of_the_extension_are_read(scratch):
    with database.connected(scratch) as connection:
        connection.execute(
            "CREATE VIEW pg_stat_statements AS SELECT oid AS dbid, 'SELECT 7, ''x''' AS query, "
            "1200.0::float AS max_exec_time, 3::bigint AS calls FROM pg_database"
        )
        (query,) = database_performance._from_statistics(connection)
    assert (query.text, query.slowest, query.calls) == ("SELECT ?, ?", 1200.0, 3)


def test_what_this_kit_asks_itself_is_no_slow_query(scratch, monkeypatch):
    with database.connected(scratch) as connection:
        connection.execute("CREATE TABLE large (id int)")
        asked: list[str] = []
        execute = type(connection).execute
        monkeypatch.setattr(
            type(connection), "execute", lambda own, query, *rest: asked.append(query) or execute(own, query, *rest)
        )
        assert database.row_counts(connection) == {"public.large": 0}
        database.contents(connection)
        texts = [each if isinstance(each, str) else each.as_string(connection) for each in asked]
    own = [text.strip() for text in texts if "large" in text]
    queries = [database_performance.Query(text, 5000.0, 1) for text in [*own, "SELECT count(*) FROM large"]]
    monkeypatch.setattr(database_performance, "_from_statistics", lambda _: queries)
    monkeypatch.setattr(database_performance, "_from_log", lambda *_: queries)
    finding = database_performance.slow_queries(scratch).run()
    assert len(own) >= 2
    assert finding.observed.startswith("1 queries above")


def test_an_extension_that_does_not_answer_is_no_verdict(scratch):
    with database.connected(scratch) as connection, pytest.raises(Unanswerable, match="does not answer"):
        database_performance._from_statistics(connection)


def test_indexes_pass_on_the_sandbox(env):
    finding = database_performance.indexes_used(env).run()
    assert finding.ok, finding.observed


def plant_table(env, *, reads):
    with database.connected(env) as connection:
        connection.execute("CREATE TABLE planted AS SELECT g AS id, g % 10 AS value FROM generate_series(1, 5000) g")
        connection.execute("CREATE INDEX planted_id ON planted (id)")
        connection.execute("ANALYZE planted")
        for query in reads:
            connection.execute(query)
        connection.execute("SELECT pg_stat_force_next_flush()")


def small(env):
    return env.model_copy(update={"database": env.database.model_copy(update={"sequential_scan_bytes": 1000})})


def test_a_large_table_that_is_scanned_fails_and_is_named(scratch):
    plant_table(scratch, reads=["SELECT count(*) FROM planted WHERE value = 3"] * 3)
    finding = database_performance.indexes_used(small(scratch)).run()
    assert not finding.ok
    assert finding.observed["tables scanned"] == ["planted"]
    assert finding.observed["indexes never used"] == ["planted_id"]
    assert database_performance.indexes_used(scratch).run().ok, "a small table may be scanned"


def test_a_large_table_that_is_read_by_index_passes(scratch):
    plant_table(scratch, reads=["SELECT * FROM planted WHERE id = 7"] * 5)
    finding = database_performance.indexes_used(small(scratch)).run()
    assert finding.ok, finding.observed


def test_an_invalid_index_fails_and_is_named(scratch):
    plant_table(scratch, reads=[])
    with database.connected(scratch) as connection, contextlib.suppress(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON planted (value)")
    finding = database_performance.indexes_used(scratch).run()
    assert not finding.ok
    assert finding.observed["invalid indexes"] == ["broken"]


def gentle(env, **objectives):
    return env.model_copy(
        update={
            "load": env.load.model_copy(update={"duration_seconds": 1.0, "ramp_seconds": 0.5}),
            "objectives": env.objectives.model_copy(update={"requests_per_second": 20.0, **objectives}),
        }
    )


def judged(env):
    return database_performance.connections(env, load.under_load(env)).run()


@contextlib.contextmanager
def idle_in_transaction(env):
    """A session that holds a transaction open."""
    with database.connected(env) as connection, connection.transaction():
        connection.execute("SELECT 1")
        yield


def test_connections_pass_on_the_sandbox(env):
    finding = judged(gentle(env))
    assert finding.ok, finding.observed
    assert finding.observed["samples"] >= 5


def test_too_many_connections_fail(env):
    assert not judged(gentle(env, connection_share=0.001)).ok


def test_a_session_that_idles_in_a_transaction_fails(env):
    with idle_in_transaction(env):
        finding = judged(gentle(env))
        assert not finding.ok
        assert finding.observed["most idling too long"] >= 1


def test_queries_execute_on_the_sandbox(env):
    finding = database_performance.executing(env).run()
    assert finding.ok, finding.observed


def test_a_stuck_session_fails(env):
    with idle_in_transaction(env):
        until(lambda: not database_performance.executing(env).run().ok)
        finding = database_performance.executing(env).run()
    assert finding.observed["idle in a transaction above 1 s"] == 1


def test_a_database_that_cannot_be_reached_is_no_verdict(env, monkeypatch):
    monkeypatch.setenv("PLANTED_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
    gone = env.model_copy(
        update={"database": env.database.model_copy(update={"url": Secret(env="PLANTED_DATABASE_URL")})}
    )
    for check in (database_performance.slow_queries, database_performance.indexes_used, database_performance.executing):
        with pytest.raises(Unanswerable):
            check(gone).run()


def test_sessions_that_cannot_be_watched_are_no_verdict_and_leave_the_load_its_own(env, monkeypatch):
    monkeypatch.setenv("PLANTED_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
    gone = gentle(env).model_copy(
        update={"database": env.database.model_copy(update={"url": Secret(env="PLANTED_DATABASE_URL")})}
    )
    loaded = load.under_load(gone)
    with pytest.raises(Unanswerable):
        database_performance.connections(gone, loaded).run()
    assert load.sustained(gone, loaded).run().ok
