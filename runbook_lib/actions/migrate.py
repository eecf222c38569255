"""Alembic's migrations: rehearsed on a copy of the live data, then applied to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runbook_lib.actions import backup
from runbook_lib.checks import database
from runbook_lib.checks.dumps import faults, rollback_point
from runbook_lib.command import Completed
from runbook_lib.environment import Environment
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, action, progress


@action("Rehearse {release}'s migrations on a copy of the live database")
def rehearse(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """Restore the rollback point into a scratch database, migrate that, and drop it.

    It proves both: that the dump restores with every row it should hold, and that the migrations run on the live data.

    Raises
    ------
    Unanswerable
        There is no rollback point, the scratch database cannot be made, or Alembic does not tell its heads.
    """
    point = rollback_point(facts)
    damaged = faults(env, point)
    if damaged:
        return Finding(False, damaged, "the rollback point as it was taken", remedy="run this phase again")
    planned = _planned(env, release)
    if isinstance(planned, Finding) and not planned.ok:
        return planned
    with backup.scratch_copy(env, point) as address:
        with database.connected(env, address) as connection:
            restored = database.row_counts(connection)
        if restored != point.tables:
            return Finding(
                ok=False,
                observed={"rows restored": restored},
                expected={"rows at backup": dict(point.tables)},
                remedy="the dump does not hold what it should: take it again, and do not deploy before it does",
            )
        return planned if isinstance(planned, Finding) else _migrated(env, release, planned, address, before=restored)


@action("Migrate an empty database at once")
def initialise(env: Environment, release: Release) -> Finding:
    """On a first deployment nothing serves yet, so the schema is made now, and a rollback point of it is taken.

    Where there are tables already nothing is done: their migrations are applied at 8.1.
    """
    with database.connected(env) as connection:
        tables = database.row_counts(connection)
        revision = database.revision(connection)
    if set(tables) - {"public.alembic_version"}:
        return Finding(
            ok=True,
            observed=f"{len(tables)} tables at revision {revision}: not migrated now",
            expected="pending migrations are applied at 8.1, directly before the services start",
        )
    finding = _applied(env, release)
    return replace(finding, facts=backup.take(env, release.tag).facts()) if finding.ok else finding


def _is_applied(env: Environment, release: Release) -> Finding:
    """Whether the live database is at the release's one head."""
    return database.at_head(env, release).run() if database.has_migrations(env, release) else _nothing(release)


@action("Apply {release}'s migrations to the live database", done=_is_applied)
def apply(env: Environment, release: Release) -> Finding:
    """``alembic upgrade head`` on the live database; failed where it fails, with the revision it left.

    Raises
    ------
    Unanswerable
        The database does not answer, or Alembic does not tell its heads.
    """
    return _applied(env, release)


def _applied(env: Environment, release: Release) -> Finding:
    planned = _planned(env, release)
    return planned if isinstance(planned, Finding) else _migrated(env, release, planned, database.url(env), before={})


def _planned(env: Environment, release: Release) -> str | Finding:
    """The one head that is to be reached, or what is found where there is none to reach."""
    if not database.has_migrations(env, release):
        return _nothing(release)
    found = database.heads(env, release)
    return database.heads_finding(found) or found[0]


def _nothing(release: Release) -> Finding:
    return Finding(True, f"{release} brings no migrations", "none: application.backend.migrations = 'none'")


def _migrated(env: Environment, release: Release, head: str, address: str, *, before: Mapping[str, int]) -> Finding:
    """Upgrade the database at `address` to `head`, and say what its revision was, what was planned, what it is."""
    with database.connected(env, address) as connection:
        started_at = database.revision(connection)
    plan = alembic(env, release, address, "history", "-r", f"{started_at or 'base'}:{head}")
    progress("alembic upgrade head")
    upgrade = alembic(env, release, address, "upgrade", "head")
    with database.connected(env, address) as connection:
        ended_at = database.revision(connection)
        after = database.row_counts(connection)
    ok = upgrade.ok and ended_at == head
    unmoved = ended_at == started_at
    return Finding(
        ok=ok,
        observed={
            "before": started_at,
            "plan": pending(plan.output, started_at),
            "after": ended_at,
            "exit code": upgrade.returncode,
            "seconds": round(upgrade.seconds, 2),
        }
        | ({} if ok else {"alembic": upgrade.tail(3), "left where it began": unmoved}),
        expected={"after": head, "exit code": 0},
        remedy="correct the migration and release anew"
        + ("" if unmoved else "; the schema has moved part of the way: restore it with notebook 90"),
        tables=(
            Table(
                ("table", "rows before", "rows after"),
                tuple((name, before.get(name), after.get(name)) for name in sorted({*before, *after})),
            ),
        )
        if before
        else (),
        evidence=(plan.evidence("plan.txt"), upgrade.evidence("upgrade.log")),
    )


def pending(history: str, current: str | None) -> list[str]:
    """The migrations that Alembic's history names, oldest first, without the one that led to `current`."""
    migrations = re.findall(r"^(\S+(?: \([^)]*\))* -> ([^\s,]+).*)$", history, re.MULTILINE)
    return [line for line, revision in reversed(migrations) if revision != current]


def alembic(env: Environment, release: Release, address: str, *arguments: str) -> Completed:
    """Run the release's own Alembic against the database at `address`."""
    return database.run_in_release(
        env,
        release,
        "-m",
        "alembic",
        *arguments,
        timeout=env.limits.migration,
        overrides={"DATABASE_URL": address},
    )
