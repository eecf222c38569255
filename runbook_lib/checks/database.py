"""PostgreSQL as the application reaches it: the connection, the schema's revision, what its tables hold."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from runbook_lib import command, platforms
from runbook_lib import release as releases
from runbook_lib.checks.dependencies import backend_folder, interpreter
from runbook_lib.checks.dotenv import read
from runbook_lib.command import Completed
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Finding, check

if TYPE_CHECKING:
    import psycopg

_ROW_TEXT: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "search_path": "",
}
"""The settings on which the text of a row depends."""
OWN: Final = "runbook_row"
"""Stands in every query of ours that reads whole tables, and makes another query of it than the application's."""
_COUNT: Final = "SELECT count(*) FROM (SELECT FROM {} AS runbook_row) AS runbook_rows"
_CHECKSUM: Final = """
SELECT count(*), coalesce(sum(('x' || left(digest, 16))::bit(64)::bigint), 0),
       coalesce(sum(('x' || substr(digest, 17, 16))::bit(64)::bigint), 0)
FROM (SELECT encode(sha256(convert_to(ROW(runbook_row.*)::text, 'UTF8')), 'hex') AS digest
      FROM {} AS runbook_row) AS digests
"""
ROUND_TRIPS: Final = 5
APPLICATION: Final = "runbook"


def url(env: Environment) -> str:
    """The application's own database URL. Raises Unanswerable where the reference leads nowhere."""
    return env.database.url.resolve().get_secret_value()


def name(env: Environment) -> str:
    """The name of the application's database, as libpq reads it from the URL."""
    return libpq_environment(url(env))["PGDATABASE"]


def without_driver(address: str) -> str:
    """The URL as libpq reads it: without a driver's suffix, such as ``+asyncpg``, and without what is the driver's own.

    asyncpg's ``ssl`` says what libpq's ``sslmode`` does; parameters that libpq does not know are left out.
    """
    scheme, separator, rest = address.partition("://")
    kind, driver, _ = scheme.partition("+")
    if not driver:
        return address
    from psycopg import pq

    place, mark, query = rest.partition("?")
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = (part.replace("ssl=", "sslmode=", 1) if part.startswith("ssl=") else part for part in query.split("&"))
    kept = "&".join(part for part in given if part.partition("=")[0] in known)
    return f"{kind}{separator}{place}{kept and mark}{kept}"


def with_database(address: str, name: str) -> str:
    """The same server, user and driver, another database."""
    return urlunsplit(urlsplit(address)._replace(path=f"/{quote(name, safe='')}"))


def with_password(address: str, password: str) -> str:
    """The same URL with another password."""
    parts = urlsplit(address)
    user, _, place = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}:{quote(password, safe='')}@{place}"
    return urlunsplit(parts._replace(netloc=netloc))


def connect(address: str, *, timeout: float = 10.0) -> psycopg.Connection[Any]:
    """An autocommitting connection, to be closed by ``with``.

    Parameters
    ----------
    timeout:
        Seconds for connecting.

    Raises
    ------
    psycopg.OperationalError
        The server is not there, or refuses.
    Unanswerable
        The URL is none that libpq can read; its text is not repeated, for it holds the password.
    """
    import psycopg

    try:
        return psycopg.connect(
            without_driver(address),
            autocommit=True,
            connect_timeout=max(2, round(timeout)),
            application_name=APPLICATION,
        )
    except psycopg.ProgrammingError:
        raise Unanswerable("the database URL is no PostgreSQL URL", remedy="correct DATABASE_URL") from None


@contextmanager
def connected(env: Environment, address: str = "") -> Iterator[psycopg.Connection[Any]]:
    """As :func:`connect`, to the environment's database or to `address`; a refusal is Unanswerable."""
    import psycopg

    try:
        connection = connect(address or url(env), timeout=env.limits.request)
    except psycopg.OperationalError as error:
        raise Unanswerable(
            f"PostgreSQL refused the connection: {error}".strip(), remedy="start the database, or correct DATABASE_URL"
        ) from error
    with connection:
        yield connection


def libpq_environment(address: str) -> dict[str, str]:
    """The variables by which PostgreSQL's own programs reach `address`, so that no password stands in an argument."""
    from psycopg import conninfo, pq

    given = conninfo.conninfo_to_dict(without_driver(address))
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    return {
        variable.decode(): str(value)
        for keyword, value in given.items()
        if value is not None and (variable := variables.get(keyword))
    }


def revisions(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Alembic's revisions in this database, sorted; none where nothing was ever migrated."""
    found = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if not found or found[0] is None:
        return ()
    return tuple(sorted(row[0] for row in connection.execute("SELECT version_num FROM alembic_version")))


def revision(connection: psycopg.Connection[Any]) -> str | None:
    """The revision as one text, several joined by commas; None where nothing was ever migrated."""
    return ", ".join(revisions(connection)) or None


def row_counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """How many rows each table holds, counted exactly, by ``schema.table``."""
    from psycopg import sql

    counts: dict[str, int] = {}
    for schema, table in _tables(connection):
        row = connection.execute(sql.SQL(_COUNT).format(sql.Identifier(schema, table))).fetchone()
        counts[f"{schema}.{table}"] = row[0] if row else 0
    return counts


def _tables(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Schema and name of every table that holds rows of the application's, sorted.

    A partitioned table's rows are its partitions'; those of an extension's tables are the extension's.
    """
    return connection.execute(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' AND NOT EXISTS "
        "(SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e') "
        "ORDER BY 1, 2"
    ).fetchall()


@dataclass(frozen=True)
class TableContent:
    """How many rows a table holds, and a checksum of them in which their order does not count."""

    rows: int
    checksum: str


def contents(connection: psycopg.Connection[Any], *, timeout: float = 600.0) -> dict[str, TableContent]:
    """What every table holds, by ``schema.table``; one transaction, or a part of the caller's.

    The checksum is the sum, modulo 2^64 in each half, of the first 128 bits of the SHA-256 of every row's text: an
    additive multiset hash (Clarke et al., Incremental Multiset Hash Functions, ASIACRYPT 2003). It notices what was
    lost, doubled or altered by mishap; it is no proof against somebody who constructs rows with an equal sum.

    Parameters
    ----------
    timeout:
        Seconds for each table.

    Raises
    ------
    Unanswerable
        A table may not be read, or takes longer.
    """
    import psycopg
    from psycopg import sql

    found: dict[str, TableContent] = {}
    # Rolled back, for the caller's transaction is to keep its own settings.
    with connection.transaction(force_rollback=True):
        for name, value in {**_ROW_TEXT, "statement_timeout": f"{timeout * 1000:.0f}"}.items():
            connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        for schema, table in _tables(connection):
            statement = sql.SQL(_CHECKSUM).format(sql.Identifier(schema, table))
            try:
                row = connection.execute(statement).fetchone()
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled) as error:
                raise Unanswerable(
                    f"{schema}.{table} could not be read: {error}".strip(),
                    remedy="let the application's role read it, or raise limits.backup",
                ) from error
            assert row is not None
            halves = "".join(f"{int(half) % 2**64:016x}" for half in row[1:])
            found[f"{schema}.{table}"] = TableContent(row[0], halves)
    return found


def run_in_release(
    env: Environment, release: Release, *arguments: str, timeout: float, overrides: Mapping[str, str] | None = None
) -> Completed:
    """Run the release's own Python in its back end's folder, with the settings of the environment's .env file.

    Parameters
    ----------
    timeout:
        Seconds.
    overrides:
        Settings to replace; the database's URL is the environment's unless it is one of them.
    """
    settings = read(env.dotenv.file) | {"DATABASE_URL": url(env)} | dict(overrides or {})
    return command.run(
        [interpreter(env, release), *arguments], cwd=backend_folder(env, release), env=settings, timeout=timeout
    )


def has_migrations(env: Environment, release: Release) -> bool:
    """Whether the release's schema is moved by Alembic.

    Raises
    ------
    Unanswerable
        The environment declares that nothing is migrated, and the release has migrations.
    """
    if env.application.backend.migrations == "alembic":
        return True
    if (release.folder / env.application.backend.folder / "alembic.ini").exists():
        raise Unanswerable(
            f"{env.name}.toml says application.backend.migrations = 'none', and {release} has an alembic.ini",
            remedy="declare 'alembic', or release without it",
        )
    return False


def heads(env: Environment, release: Release) -> tuple[str, ...]:
    """The newest revisions among the release's migrations, none where it needs none.

    Raises Unanswerable where Alembic does not tell.
    """
    if not has_migrations(env, release):
        return ()
    listed = run_in_release(env, release, "-m", "alembic", "heads", timeout=env.limits.migration)
    if not listed.ok:
        raise Unanswerable(f"alembic heads ended with {listed.returncode}: {listed.tail(3)}", remedy="see its output")
    return tuple(sorted(re.findall(r"^(\S+)(?: \([^)]*\))* \(head\)", listed.output, re.MULTILINE)))


def heads_finding(found: tuple[str, ...]) -> Finding | None:
    """A failed finding where there is not exactly one head; None where there is."""
    if len(found) == 1:
        return None
    return Finding(
        ok=False,
        observed={"heads": list(found)},
        expected="exactly one head",
        remedy="merge them in the application: alembic merge heads" if found else "add the application's migrations",
    )


@check("PostgreSQL accepts the application's own URL")
def connects(env: Environment) -> Finding:
    """Connect with the application's URL; server version, TLS and round-trip time are observed."""
    import psycopg

    expected = "a connection by the application's own URL"
    try:
        with connect(url(env), timeout=env.limits.request) as connection:
            times = []
            for _ in range(ROUND_TRIPS):
                started = time.perf_counter()
                connection.execute("SELECT 1")
                times.append(time.perf_counter() - started)
            info = connection.info
            observed = {
                "server": info.parameter_status("server_version"),
                "database": info.dbname,
                "user": info.user,
                "TLS": connection.pgconn.ssl_in_use,
                "round trip, median of 5, ms": round(statistics.median(times) * 1000, 3),
            }
    except psycopg.OperationalError as error:
        return Finding(False, f"refused: {error}".strip(), expected, remedy="start the database, correct DATABASE_URL")
    return Finding(True, observed, expected)


@check("The application's own engine connects")
def engine_connects(env: Environment, release: Release) -> Finding:
    """The checklist's command, by the release's interpreter with the environment's settings."""
    probe = env.application.backend.connection_probe
    completed = run_in_release(env, release, "-c", probe, timeout=env.limits.request + 30.0)
    return Finding(
        ok=completed.ok and "DB OK" in completed.output,
        observed=completed.tail(1) or f"exit code {completed.returncode}, nothing printed",
        expected="DB OK, exit code 0",
        remedy="read the kept output; is the database up, and is DATABASE_URL that of the application?",
        evidence=(completed.evidence("engine.log"),),
    )


@check("The database is at the one head of {release}'s migrations")
def at_head(env: Environment, release: Release) -> Finding:
    """The live revision equals the release's only head; several heads fail with their names.

    Raises NotApplicable where the environment declares that nothing is migrated.
    """
    if not has_migrations(env, release):
        raise NotApplicable("application.backend.migrations = 'none'")
    found = heads(env, release)
    failed = heads_finding(found)
    if failed:
        return failed
    with connected(env) as connection:
        current = revisions(connection)
    return Finding(
        ok=current == found,
        observed={"current": list(current)},
        expected={"head": found[0]},
        remedy="run the migrations: item 8.1 applies them directly before the services start",
    )


@check("The database is at the head of the release that is deployed")
def at_deployed_head(env: Environment) -> Finding:
    """3.1, before anything: no deployment was left half done, so that a rollback point fits what rollback starts.

    Raises
    ------
    Unanswerable
        The platform, the database, or the deployed release's Alembic does not answer.
    """
    deployed = platforms.connect(env).deployed()
    if deployed is None:
        return Finding(True, "nothing is deployed: a first deployment", "the schema of what is deployed")
    found = heads(env, releases.find(env, deployed))
    with connected(env) as connection:
        current = revisions(connection)
    confirm = f" --confirm {env.name}" if env.kind == "production" else ""
    return Finding(
        ok=current == found,
        observed={"deployed": deployed, "current": list(current)},
        expected={"heads": list(found)},
        remedy="an earlier deployment has moved the schema and started nothing on it, or somebody has by hand: take "
        f"that back first (runbook rollback {env.name}{confirm}), for no rollback point taken now fits {deployed}",
    )
