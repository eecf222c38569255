"""Dumps of the live database: taken, verified, and restored into scratch databases."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook_lib import command, programs
from runbook_lib.checks import backups, database, dumps
from runbook_lib.checks.backups import DAILY, Backup, metadata_of
from runbook_lib.checks.dumps import RollbackPoint
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, action, progress

if TYPE_CHECKING:
    import psycopg

SCRATCH_PREFIX: Final = "runbook_scratch_"
ABANDONED: Final = 4
"""How many times ``limits.backup`` an unfinished dump must have lain untouched before it is removed."""
_PATIENT: Final = (
    "SELECT set_config(name, '0', true) FROM pg_settings "
    "WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"
)
"""The transaction idles while pg_dump works on its snapshot; the second one is there from PostgreSQL 17 on."""
DROP_SECONDS: Final = 30.0
FRESH: Final = timedelta(hours=1)
"""How old the rollback point may be when a broken-off run goes on to deploy: going back to it takes away all that was
written since."""


@action("Take the rollback point before {release}")
def rollback_point(env: Environment, release: Release) -> Finding:
    """Dump the live database with its Alembic revision and its row counts, all of one snapshot, and verify the dump.

    Raises
    ------
    Unanswerable
        The database does not answer, pg_dump is missing or older than the server, or it failed.
    """
    return _taken(env, release.tag)


@action("Take a backup of {env}")
def daily(env: Environment) -> Finding:
    """14.1.1: what the schedule does each day, by ``runbook backup``, which then applies the retention.

    Raises
    ------
    Unanswerable
        As :func:`rollback_point`.
    """
    return _taken(env, DAILY)


def _is_fresh(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """Whether an earlier pass of the run has taken the rollback point so lately that it may be deployed upon."""
    point = dumps.rollback_point(facts)
    taken = next((each.taken for each in backups.kept(env) if each.path.name == point.file), None)
    return Finding(
        ok=taken is not None and datetime.now(UTC) - taken < FRESH,
        observed=f"{point.file}, taken at {taken:%Y-%m-%d %H:%M} UTC" if taken else f"{point.file} is gone",
        expected=f"the rollback point of {release.tag}, taken within the last {FRESH.total_seconds() / 60:g} minutes",
    )


@action("Refresh the rollback point", done=_is_fresh)
def refresh(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """Take the rollback point again; failed where the schema has moved since phase 3 took it.

    Raises
    ------
    Unanswerable
        This run has no rollback point yet; else as :func:`rollback_point`.
    """
    earlier = dumps.rollback_point(facts)
    with database.connected(env) as connection:
        now = database.revision(connection)
    if now != earlier.revision:
        return Finding(
            ok=False,
            observed=f"the live database is at revision {now}",
            expected=f"revision {earlier.revision}, as when phase 3 took the rollback point",
            remedy="find out who migrated the database meanwhile, then begin again at phase 3",
        )
    return _taken(env, release.tag)


def _taken(env: Environment, label: str) -> Finding:
    lack = lack_of_space(env)
    if lack:
        return lack
    started = time.monotonic()
    point = take(env, label)
    seconds = time.monotonic() - started
    found = dumps.faults(env, point)
    return Finding(
        ok=not found,
        observed={
            "file": point.file,
            "size in bytes": point.size,
            "SHA-256": point.sha256,
            "revision": point.revision,
            "seconds": round(seconds, 2),
            "faults": found,
        },
        expected="a dump in custom format, mode 0600, that pg_restore reads and that holds every table",
        remedy="see the faults; nothing was changed in the database",
        tables=(Table(("table", "rows"), tuple(point.tables.items()), "Rows in the dump's snapshot"),),
        evidence=(Evidence("pg_restore-list.txt", dumps.contents(env, point.path(env))),),
        facts=point.facts(),
    )


def lack_of_space(env: Environment) -> Finding | None:
    """A failed finding where the backup folder's disk could not hold the dump; None where it can."""
    env.backup.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with database.connected(env) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    # A dump is compressed and holds no indexes, so that the database's own size is more than it needs.
    needed = env.database.minimum_free_bytes + (row[0] if row else 0)
    free = shutil.disk_usage(env.backup.folder).free
    if free >= needed:
        return None
    return Finding(
        ok=False,
        observed=f"{free:,} bytes free in the backup folder",
        expected=f"{needed:,} bytes: database.minimum_free_bytes and the database's size",
        remedy="free some space, or name another backup.folder in the TOML",
    )


def take(env: Environment, label: str) -> RollbackPoint:
    """Dump the live database into the backup folder, mode 0600, with its metadata beside it.

    The dump has its own name only once both are whole; one that failed leaves no file.

    Parameters
    ----------
    label:
        What it is taken for, such as the release's tag: part of the file's name, and kept in its metadata.

    Raises
    ------
    Unanswerable
        The database does not answer, or pg_dump cannot or did not dump it.
    """
    import psycopg

    started, taken_at = time.monotonic(), datetime.now(UTC)
    safe_label = re.sub(r"[^\w.-]", "-", label)
    path = env.backup.folder / f"{env.name}-{taken_at:%Y%m%dT%H%M%S.%fZ}-{safe_label}.dump"
    partial = path.with_name(f".{path.name}.partial")
    _remove_abandoned(env)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with database.connected(env) as connection, connection.transaction():
            # pg_dump reads the very snapshot in which we count, whatever is written meanwhile.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute(_PATIENT)
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None
            _dump(env, connection, partial, row[0])
            progress("counting and summing up each table")
            tables = database.contents(connection, timeout=env.limits.backup)
            revision = database.revision(connection)
        taken = Backup(
            file=path.name,
            sha256=dumps.digest(partial),
            size=partial.stat().st_size,
            taken_at=taken_at,
            seconds=round(time.monotonic() - started, 3),
            environment=env.name,
            database=database.name(env),
            revision=revision,
            tables=tables,
            label=label,
        )
        taken.write(env.backup.folder)
        partial.rename(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        metadata_of(path).unlink(missing_ok=True)
        if isinstance(error, psycopg.Error):
            raise Unanswerable(
                f"the database broke off while it was dumped: {' '.join(str(error).split())}",
                remedy="read its log, then take the backup again; no file is left of this one",
            ) from error
        raise
    rows = {table: content.rows for table, content in tables.items()}
    return RollbackPoint(taken.file, taken.sha256, revision, taken.size, rows)


def _remove_abandoned(env: Environment) -> None:
    """What backups that were killed have left: files that nobody can be writing any more."""
    oldest = time.time() - ABANDONED * env.limits.backup
    for partial in env.backup.folder.glob(f".{env.name}-*.dump.partial"):
        with suppress(FileNotFoundError):
            if partial.stat().st_mtime < oldest:
                partial.unlink()


def _dump(env: Environment, connection: psycopg.Connection[Any], path: Path, snapshot: str) -> None:
    program = programs.postgres(env, "pg_dump")
    require_version(program, connection.info.server_version // 10_000)
    progress("pg_dump")
    completed = command.run(
        [program, "--format=custom", "--no-password", f"--snapshot={snapshot}", f"--file={path}"],
        env=database.libpq_environment(database.url(env)),
        timeout=env.limits.backup,
    )
    if not completed.ok:
        raise Unanswerable(
            f"pg_dump ended with {completed.returncode}: {completed.tail(3)}", remedy="see what pg_dump says"
        )


def require_version(program: Path, server: int) -> None:
    """Raise Unanswerable where `program` is older than the server's major version, which it would refuse to dump."""
    told = command.run([program, "--version"], timeout=30.0)
    match = re.search(r"\) (\d+)", told.output)
    if not told.ok or match is None:
        raise Unanswerable(f"{program} does not tell its version: {told.tail(1)}", remedy=programs.REMEDIES["pg_dump"])
    if int(match[1]) < server:
        raise Unanswerable(
            f"{program.name} is version {match[1]}, the server is version {server}: it cannot dump a newer server",
            remedy=f"install PostgreSQL {server}'s client programs and name their folder as database.programs",
        )


@contextmanager
def scratch_copy(env: Environment, point: RollbackPoint) -> Iterator[str]:
    """Restore a dump into a scratch database of the same server; give its URL, and drop it in any case.

    Raises
    ------
    Unanswerable
        The application's role may not create databases, or pg_restore did not succeed.
    """
    with scratch_database(env) as address:
        restore(env, point.path(env), address)
        yield address


@contextmanager
def scratch_database(env: Environment) -> Iterator[str]:
    """An empty database, dropped afterwards in any case.

    On the same server under a name of its own, with the live database's encoding and locale; or the one that
    ``backup.scratch`` names, which must not exist yet.

    Raises
    ------
    Unanswerable
        It may not be made, exists already, or is the live database itself.
    """
    import psycopg
    from psycopg import sql

    address, maintenance = _scratch_addresses(env)
    variables = database.libpq_environment(address)
    name = variables["PGDATABASE"]
    with database.connected(env, maintenance) as connection:
        try:
            # template0 has nothing of this site's own, which the dump brings along.
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
            # Another server may not know the live one's locale.
            options = _encoding_and_locale(connection) if env.backup.scratch is None else {}
            connection.execute(
                sql.SQL(" ").join([create, *(sql.SQL(each) + sql.Literal(value) for each, value in options.items())])
            )
        except psycopg.errors.InsufficientPrivilege as error:
            role = connection.info.user
            raise Unanswerable(
                f"role {role} may not create a scratch database", remedy=f'as a superuser: ALTER ROLE "{role}" CREATEDB'
            ) from error
        except psycopg.errors.DuplicateDatabase as error:
            raise Unanswerable(
                f"refused: the restore target {name} exists already; nothing was touched",
                remedy="name a database in backup.scratch that does not exist, or drop what an interrupted test left",
            ) from error
    try:
        yield address
    finally:
        with database.connected(env, maintenance) as connection:
            _drop(connection, name)


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a scratch database with whoever is in it.

    Raises
    ------
    Unanswerable
        It could not be dropped for :data:`DROP_SECONDS`.
    """
    import psycopg
    from psycopg import sql

    deadline = time.monotonic() + DROP_SECONDS
    while True:
        try:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            return
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse) as error:
            # An autovacuum worker is in it, which only a superuser may end; it soon ends by itself.
            if time.monotonic() > deadline:
                raise Unanswerable(
                    f"the scratch database {name} could not be dropped: {error.diag.message_primary or error}",
                    remedy=f'drop it by hand: DROP DATABASE "{name}" WITH (FORCE)',
                ) from error
            time.sleep(0.2)


def _encoding_and_locale(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The options of CREATE DATABASE that make another database sort and compare as the connected one does.

    Source: https://www.postgresql.org/docs/current/catalog-pg-database.html, whose columns differ between versions.
    """
    row = connection.execute(
        "SELECT to_jsonb(d), pg_encoding_to_char(encoding) FROM pg_database AS d WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    told, encoding = row
    provider = {"c": "libc", "i": "icu", "b": "builtin"}.get(told.get("datlocprovider"))
    locale = told.get("datlocale") or told.get("daticulocale")
    options = {
        "ENCODING ": encoding,
        "LC_COLLATE ": told["datcollate"],
        "LC_CTYPE ": told["datctype"],
        "LOCALE_PROVIDER ": provider,
        "ICU_LOCALE ": locale if provider == "icu" else None,
        "ICU_RULES ": told.get("daticurules"),
        "BUILTIN_LOCALE ": locale if provider == "builtin" else None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _scratch_addresses(env: Environment) -> tuple[str, str]:
    """The scratch database's URL, and that of the database from which it is made. Refuses the live database."""
    live = database.url(env)
    if env.backup.scratch is None:
        return database.with_database(live, f"{SCRATCH_PREFIX}{secrets.token_hex(4)}"), live
    address = env.backup.scratch.resolve().get_secret_value()
    place = ("PGHOST", "PGPORT", "PGDATABASE")
    ours, theirs = (database.libpq_environment(each) for each in (live, address))
    if all(ours.get(name) == theirs.get(name) for name in place):
        raise Unanswerable(
            "refused: the restore target is the live database; nothing was touched",
            remedy="name a database in backup.scratch that does not exist, or leave the setting out",
        )
    return address, database.with_database(address, "postgres")


def restore(env: Environment, dump: Path, address: str) -> None:
    """Restore `dump` into the empty database at `address`, all of it or an error.

    Raises
    ------
    Unanswerable
        pg_restore did not succeed.
    """
    progress("pg_restore")
    variables = database.libpq_environment(address)
    completed = command.run(
        [
            programs.postgres(env, "pg_restore"),
            "--exit-on-error",
            "--no-owner",
            "--no-privileges",
            "--no-password",
            f"--dbname={variables['PGDATABASE']}",
            dump,
        ],
        env=variables,
        timeout=env.limits.backup,
    )
    if not completed.ok:
        raise Unanswerable(
            f"pg_restore of {dump.name} ended with {completed.returncode}: {completed.tail(3)}",
            remedy="a dump that cannot be restored is no backup: see what pg_restore says, then take it again",
        )
