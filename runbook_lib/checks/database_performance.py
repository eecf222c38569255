"""How PostgreSQL does its work: slow queries, use of indexes, connections under load."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from runbook_lib import platforms
from runbook_lib.checks import database, sessions
from runbook_lib.checks.load import Loaded
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.load import surroundings
from runbook_lib.observation import Observation
from runbook_lib.platforms import log_lines
from runbook_lib.step import Finding, Table, check

if TYPE_CHECKING:
    import psycopg

WORST: Final = 10
LOG_BYTES: Final = 20_000_000
"""Of a server's log the newest part of this size is read."""
STATEMENTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH")
"""What an application says; backups and migrations say other things, which may take their time."""

LITERAL: Final = re.compile(
    r"""
    (?P<name> "(?:[^"]|"")*" )                     # a quoted name stays
  | [eE]' (?:[^'\\]|\\.|'')* (?:'|\Z)              # a string with escapes
  | (?:[bBxXnN]|[uU]&)? ' (?:[^']|'')* (?:'|\Z)    # a string
  | \$(?P<tag>[A-Za-z_]\w*|)\$ .*? (?:\$(?P=tag)\$|\Z)  # a dollar-quoted string
  | (?<![\w$.]) \d+(?:\.\d*)?(?:[eE][+-]?\d+)?     # a number
    """,
    re.VERBOSE | re.DOTALL,
)
LOGGED: Final = re.compile(
    r"duration: (?P<ms>\d+(?:\.\d+)?) ms\s+(?:statement|execute [^:]*): (?P<query>.*)", re.DOTALL
)


def without_literals(query: str) -> str:
    """The query on one line, with ``?`` for every string and number, for they may be somebody's data."""
    return " ".join(LITERAL.sub(lambda found: found["name"] or "?", query).split())


@dataclass(frozen=True)
class Query:
    """A statement without its literals, its slowest run in milliseconds, and how often it ran or was logged."""

    text: str
    slowest: float
    calls: int


@check("No query is slower than the objective")
def slow_queries(env: Environment, *, deployed_at: str | None = None) -> Finding:
    """11.3.1: from pg_stat_statements, or from the server's log where the extension is absent.

    Parameters
    ----------
    deployed_at:
        ISO 8601; of a log only what was written since then counts. The extension keeps no times: all it knows counts,
        but for what this kit itself asked.
    """
    objective = env.objectives.slow_query_milliseconds
    with database.connected(env) as connection:
        installed = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'").fetchone()
        if installed:
            source, queries = "pg_stat_statements", _from_statistics(connection)
        else:
            source, queries = "the server's log", _from_log(env, connection, deployed_at)
    own = [query for query in queries if query.text.upper().startswith(STATEMENTS) and database.OWN not in query.text]
    worst = sorted(own, key=lambda query: query.slowest, reverse=True)[:WORST]
    slow = [query for query in own if query.slowest > objective]
    return Finding(
        ok=not slow,
        observed=f"{len(slow)} queries above {objective:g} ms, by {source}; "
        + (f"the slowest took {worst[0].slowest:.0f} ms" if worst else "none was slow enough to be logged"),
        expected=f"0 queries above {objective:g} ms",
        remedy="EXPLAIN (ANALYZE, BUFFERS) the worst; an index, or fewer rows",
        tables=(
            Table(
                ("query", "slowest in ms", "calls"), tuple((q.text[:300], f"{q.slowest:.0f}", q.calls) for q in worst)
            ),
        ),
    )


def _from_statistics(connection: psycopg.Connection[Any]) -> list[Query]:
    import psycopg

    try:
        rows = connection.execute(
            "SELECT query, max_exec_time, calls FROM pg_stat_statements "
            "WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "ORDER BY max_exec_time DESC LIMIT 1000"
        ).fetchall()
    except psycopg.Error as error:
        raise Unanswerable(
            f"pg_stat_statements is installed and does not answer: {error}",
            remedy="name it in shared_preload_libraries, and grant pg_read_all_stats to the application's role",
        ) from error
    if any(text == "<insufficient privilege>" for text, _, _ in rows):
        raise Unanswerable("pg_stat_statements hides the queries of others", remedy="GRANT pg_read_all_stats")
    return [Query(without_literals(text), float(slowest), int(calls)) for text, slowest, calls in rows]


def _from_log(env: Environment, connection: psycopg.Connection[Any], deployed_at: str | None) -> list[Query]:
    """Queries in the server's log. Raises Unanswerable where the server would not log one above the objective."""
    threshold = connection.execute(
        "SELECT setting::int FROM pg_settings WHERE name = 'log_min_duration_statement'"
    ).fetchone()
    least = int(threshold[0]) if threshold else -1
    if not 0 <= least <= env.objectives.slow_query_milliseconds:
        raise Unanswerable(
            f"queries above {env.objectives.slow_query_milliseconds:g} ms are not logged: "
            f"log_min_duration_statement is {'off' if least < 0 else f'{least} ms'}",
            remedy="install pg_stat_statements, or lower log_min_duration_statement",
        )
    start = datetime.fromisoformat(deployed_at) if deployed_at else None
    if env.database.log_service is not None:
        return list(parse_log(platforms.connect(env).logs(env.database.log_service, since=start)))
    text = _server_log(env, connection)
    return list(parse_log("\n".join(log_lines.since(text, start)) if start else text))


def _server_log(env: Environment, connection: psycopg.Connection[Any]) -> str:
    """The newest part of the log: the declared file, else what the server lets us read of its own."""
    import psycopg

    declared = env.database.log_file
    if declared is None:
        try:
            row = connection.execute(
                "SELECT pg_read_file(file, greatest(0, (pg_stat_file(file)).size - %(most)s), %(most)s) "
                "FROM pg_current_logfile() AS file WHERE file IS NOT NULL",
                {"most": LOG_BYTES},
            ).fetchone()
        except psycopg.Error as error:
            raise _no_log(f"the server does not let us read it: {error}") from error
        if row is None:
            raise _no_log("the server keeps no log file of its own")
        return str(row[0])
    try:
        with declared.open("rb") as file:
            file.seek(max(0, declared.stat().st_size - LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError as error:
        raise _no_log(f"{declared}: {error.strerror}") from error


def _no_log(reason: str) -> Unanswerable:
    return Unanswerable(
        f"the server's log cannot be read: {reason}",
        remedy="install pg_stat_statements, or declare database.log_file or log_service",
    )


def parse_log(text: str) -> Iterator[Query]:
    """Statements with their durations; the lines that continue one begin with a tab."""
    for entry in re.split(r"\n(?!\t)", text):
        if found := LOGGED.search(entry):
            yield Query(without_literals(found["query"]), float(found["ms"]), 1)


@check("Large tables are read by index, and every index is valid")
def indexes_used(env: Environment) -> Finding:
    """11.3.2: tables over ``database.sequential_scan_bytes`` are read by index more often; no index is invalid.

    Backups and row counts scan a table too; hence the comparison, and not none at all. Indexes that were never used
    are listed and do not fail: the newest ones have had no time, and unique ones serve by being there.
    """
    with database.connected(env) as connection:
        tables = connection.execute(
            "SELECT relname, pg_table_size(relid), seq_scan, coalesce(idx_scan, 0) FROM pg_stat_user_tables "
            "ORDER BY pg_table_size(relid) DESC"
        ).fetchall()
        indexes = connection.execute(
            "SELECT s.relname, s.indexrelname, pg_relation_size(s.indexrelid), s.idx_scan, "
            "i.indisvalid AND i.indisready, i.indisunique "
            "FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid) ORDER BY 3 DESC"
        ).fetchall()
    least = env.database.sequential_scan_bytes
    scanned = [name for name, size, sequential, by_index in tables if size > least and sequential > by_index]
    invalid = [index for _, index, _, _, valid, _ in indexes if not valid]
    unused = [index for _, index, _, used, _, unique in indexes if not used and not unique]
    large = sum(size > least for _, size, _, _ in tables)
    return Finding(
        ok=not scanned and not invalid,
        observed={
            "tables scanned": scanned,
            "invalid indexes": invalid,
            "indexes never used": unused,
            "tables": f"{len(tables)}, {large} above {least} bytes",
        },
        expected={"tables scanned": [], "invalid indexes": []},
        remedy="an index for the columns that the scans filter by; REINDEX CONCURRENTLY what is invalid",
        tables=(
            Table(("table", "bytes", "sequential scans", "index scans"), tuple(map(tuple, tables)), "Tables"),
            Table(("table", "index", "bytes", "scans", "valid", "unique"), tuple(map(tuple, indexes)), "Indexes"),
        ),
    )


@check("The connection pool holds under load")
def connections(env: Environment, loaded: Observation[Loaded]) -> Finding:
    """11.3.3: sessions of all databases on the server, sampled while the load of 11.1 ran.

    At most ``objectives.connection_share`` of max_connections in use; none idles in a transaction or waits for a
    lock for longer than a second.
    """
    seen = loaded.for_item("11.3.3")
    if isinstance(seen.sessions, Unanswerable):
        raise seen.sessions
    samples, maximum = seen.sessions.samples, seen.sessions.maximum
    most = samples[list(sessions.COUNTS)].max()
    limit = env.objectives.connection_share * maximum
    return Finding(
        ok=bool(most["total"] <= limit and not most["idling too long"] and not most["waiting too long"]),
        observed={f"most {name}": int(value) for name, value in most.items()}
        | {"max_connections": maximum, "samples": len(samples), "requests": len(seen.result.samples)},
        expected=f"total <= {limit:g}; none idle in transaction or waiting for a lock above "
        f"{sessions.STUCK_SECONDS:g} s",
        remedy="smaller pools, fewer workers or PgBouncer; close transactions before waiting for anything else",
        evidence=(surroundings.connections(samples, limit, maximum),),
    )


@check("Queries run, and none is stuck")
def executing(env: Environment) -> Finding:
    """S.5: the application's role is answered; no session is busy, idle in one, or locked out for too long."""
    objective = env.objectives.slow_query_milliseconds
    with database.connected(env) as connection:
        started = time.perf_counter()
        connection.execute("SELECT 1")
        milliseconds = (time.perf_counter() - started) * 1000.0
        rows = connection.execute(
            "SELECT count(*) FILTER (WHERE state = 'active' AND now() - query_start > %s * interval '1 ms'), "
            "count(*) FILTER (WHERE state LIKE 'idle in transaction%%' AND now() - state_change > interval '1 s'), "
            "count(*) FILTER (WHERE wait_event_type = 'Lock' AND now() - query_start > interval '1 s') "
            "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'",
            (objective,),
        ).fetchone() or (0, 0, 0)
    names = (
        f"running for more than {objective:g} ms",
        "idle in a transaction above 1 s",
        "waiting for a lock above 1 s",
    )
    seen = dict(zip(names, map(int, rows), strict=True))
    return Finding(
        ok=milliseconds < objective and not any(seen.values()),
        observed={"round trip in ms": round(milliseconds, 2), **seen},
        expected={"round trip in ms": f"< {objective:g}", **dict.fromkeys(names, 0)},
        remedy="SELECT pid, query, wait_event FROM pg_stat_activity shows which; pg_terminate_backend(pid) ends it",
    )
