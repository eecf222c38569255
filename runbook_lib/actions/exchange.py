"""A restored database in the live one's place: both under one name after the other, and neither lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from runbook_lib import platforms
from runbook_lib.actions import backup
from runbook_lib.checks import database, dumps
from runbook_lib.checks.dumps import RollbackPoint
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, progress

if TYPE_CHECKING:
    import psycopg

RESTORED: Final = "restored_database"
"""The fact of an exchange."""
MAINTENANCE_DATABASE: Final = "postgres"
"""Every server has it; databases are renamed from there."""
SWAP_SECONDS: Final = 20.0
ROWS: Final = ("table", "rows at the backup", "rows at the rollback", "written since", "rows restored")
_POLL_SECONDS: Final = 0.2


def exchange(env: Environment, release: Release, point: RollbackPoint, live: str | None, name: str) -> Finding:
    """Restore beside the live database, keep what the live one holds, and let the two change places."""
    expected = {"revision": point.revision, "rows": dict(point.tables)}
    platform = platforms.connect(env)
    # Only on the live database's own server can the two change names, whatever restore tests are done on.
    beside = env.model_copy(update={"backup": env.backup.model_copy(update={"scratch": None})})
    with ExitStack() as scratch:
        address = scratch.enter_context(backup.scratch_copy(beside, point))
        with database.connected(env, address) as connection:
            restored = {"revision": database.revision(connection), "rows": database.row_counts(connection)}
            given = _properties(connection)
        if restored != expected:
            return Finding(False, restored, expected, "the dump does not hold what it should; nothing was touched")
        with database.connected(env) as connection:
            lost = sorted(_properties(connection) - given)
        try:
            platform.down()
            kept, roles = _keep(env, release)
            aside = _swap(env, name, _name(address))
        except BaseException:
            # The live database is as it was; the release is worth more on it than down. What stood in the way of the
            # exchange is what is told, even where the release does not start on that database; R.2.1 sees that.
            with suppress(Unanswerable):
                platform.up(release)
            raise
        # The restored database has the live one's name now; that there is none left to drop need not be known.
        dropping = scratch.pop_all()
    try:
        platform.up(release)
    except Unanswerable as error:
        raise Unanswerable(
            f"the database is restored, the old one kept as {aside} and in {kept.file}; but {error.reason}",
            remedy=error.remedy,
        ) from error
    finally:
        with suppress(Unanswerable):
            dropping.close()
    rows = _written(point.tables, kept.tables)
    return Finding(
        ok=True,
        observed={
            "revision before": live,
            "revision": point.revision,
            "restored from": point.file,
            "rows written since the backup": sum(max(0, more) for _, _, _, more, _ in rows),
            "kept in the dump": kept.file,
            "SHA-256 of the dump": kept.sha256,
            "old database kept as": aside,
            "roles whose grants are to be given again": roles or "none",
            "to be set again by hand, as the old database has it": lost or "none",
        },
        expected=f"revision {point.revision}; what was written since the backup kept in a dump",
        tables=(Table(ROWS, rows),),
        facts={RESTORED: {"from": point.file, "kept": kept.file, "old database": aside}},
    )


def _properties(connection: psycopg.Connection[Any]) -> set[str]:
    """What is set on the connected database itself, which no dump of its contents holds.

    Settings are told by their names alone, for a value may be a secret.
    """
    rows = connection.execute(
        """
        SELECT CASE setrole WHEN 0 THEN 'ALTER DATABASE' ELSE 'ALTER ROLE ' || setrole::regrole || ' IN DATABASE' END
               || ' … SET ' || split_part(setting, '=', 1)
        FROM pg_db_role_setting, unnest(setconfig) AS setting, pg_database AS d
        WHERE setdatabase = d.oid AND datname = current_database()
        UNION ALL
        SELECT 'privileges on the database: '
               || array(SELECT unnest(coalesce(datacl, acldefault('d', datdba)))::text ORDER BY 1)::text
        FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT 'connection limit of the database: ' || datconnlimit FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT 'privileges on the schema ' || nspname || ': '
               || array(SELECT unnest(coalesce(nspacl, acldefault('n', nspowner)))::text ORDER BY 1)::text
        FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        """
    ).fetchall()
    return {row[0] for row in rows}


def _keep(env: Environment, release: Release) -> tuple[RollbackPoint, list[str]]:
    """Dump what the live database holds now; and the roles, other than its owner, that may read or write there."""
    kept = backup.take(env, f"{release}-before-rollback")
    damaged = dumps.faults(env, kept)
    if damaged:
        raise Unanswerable(
            f"the dump of what was written since the backup is not sound: {'; '.join(damaged)}",
            remedy="see the backup folder's disk; the database is as it was",
        )
    with database.connected(env) as connection:
        rows = connection.execute(
            "SELECT DISTINCT pg_get_userbyid(grants.grantee)::text FROM pg_class, aclexplode(relacl) AS grants "
            "WHERE relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema') "
            "AND grants.grantee NOT IN (0, relowner) ORDER BY 1"
        ).fetchall()
    return kept, [row[0] for row in rows]


def _written(
    before: Mapping[str, int], now: Mapping[str, int]
) -> tuple[tuple[str, int | None, int, int, int | None], ...]:
    """For each table: rows at the backup, rows now, how many more, rows restored.

    A table of the new schema's own has no backup, and is gone with it.
    """
    return tuple(
        (name, before.get(name), rows, rows - before[name] if name in before else 0, before.get(name))
        for name, rows in sorted((dict.fromkeys(before, 0) | dict(now)).items())
    )


def _name(address: str) -> str:
    return unquote(urlsplit(address).path.removeprefix("/"))


def _swap(env: Environment, live: str, restored: str) -> str:
    """Let the database `restored` take the name `live`; gives the name under which the old one is kept.

    Raises
    ------
    Unanswerable
        The role may not, or others stay connected.
    """
    import psycopg

    # A name may have 63 bytes.
    aside = f"{live[:30]}_before_rollback_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    deadline = time.monotonic() + SWAP_SECONDS
    with database.connected(env, database.with_database(database.url(env), MAINTENANCE_DATABASE)) as connection:
        while True:
            try:
                _rename(connection, live, restored, aside)
                return aside
            except psycopg.errors.ObjectInUse as error:
                if time.monotonic() >= deadline:
                    raise Unanswerable(
                        f"the database {live} is in use: {error}",
                        remedy="end who is connected to it, then roll back again; the database is as it was",
                    ) from error
            except psycopg.Error as error:
                raise Unanswerable(
                    f"the databases could not change names: {error}",
                    remedy=f"the role must own {live} and have CREATEDB; the database is as it was",
                ) from error
            progress(f"waiting for the last connection to {live} to end")
            time.sleep(_POLL_SECONDS)


def _rename(connection: psycopg.Connection[Any], live: str, restored: str, aside: str) -> None:
    """End the role's connections to both, and rename them in one transaction: both or neither."""
    from psycopg import sql

    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s) AND usename = current_user",
        ([live, restored],),
    )
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with connection.transaction():
        connection.execute(rename.format(sql.Identifier(live), sql.Identifier(aside)))
        connection.execute(rename.format(sql.Identifier(restored), sql.Identifier(live)))
