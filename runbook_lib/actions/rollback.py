"""Putting back what ran before a deployment: the release, and the data where the schema has changed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.actions import backup
from runbook_lib.actions.deployment import DEPLOYED_AT, PHASE, PREVIOUS, has_begun, what_runs
from runbook_lib.checks import backups, database, dumps, http
from runbook_lib.checks.dumps import FACT, RollbackPoint
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.record import archive
from runbook_lib.record.archive import Facts, Run
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, action, check, progress

if TYPE_CHECKING:
    import psycopg

ROLLED_BACK: Final = "rolled_back"
RESTORED: Final = "restored_database"
MAINTENANCE_DATABASE: Final = "postgres"
"""Every server has it; databases are renamed from there."""
SWAP_SECONDS: Final = 20.0
ROWS: Final = ("table", "rows at the backup", "rows at the rollback", "written since", "rows restored")
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Deployment:
    """What is taken back: the run that deployed, what ran before it, since when, and its rollback point."""

    run: Run
    previous: str
    at: datetime
    point: RollbackPoint | None


def deployment_of(run: Run) -> Deployment:
    """The deployment to take back: that of `run` where it has begun one, else the newest; see :func:`newest`.

    Raises
    ------
    Unanswerable
        What ran before the deployment is not on record; another run's word for it does not count.
    """
    return _begun_by(run) if has_begun(run) else newest(run.environment)


def newest(environment: str) -> Deployment:
    """The newest deployment that any run has begun.

    Raises
    ------
    Unanswerable
        No run has begun one, or what ran before it is not on record.
    """
    found = _deploying(environment)
    if not found:
        raise Unanswerable(
            f"no run of {environment} has recorded a deployment and what ran before it",
            remedy="there is nothing to go back to by the record: deploy a release that is known to be good",
        )
    return _begun_by(found[-1])


def _begun_by(run: Run) -> Deployment:
    """The deployment of `run`; what ran before may stand with an earlier run that did not finish the same release.

    A deployment that went well is no such run: since then users have written, and its rollback point knows nothing
    of that.
    """
    if (own := _deployment(run)) is not None:
        return own
    earlier = [each for each in _deploying(run.environment) if _order(each) < _order(run)]
    for each in reversed(earlier):
        if _release(each) != _release(run) or _finished(each):
            break
        if (found := _deployment(each)) is not None:
            return replace(found, run=run)
    raise Unanswerable(
        f"run {run.id} has not recorded what ran before {_release(run)}: it ran already, or nothing did",
        remedy=_further_back(earlier),
    )


def _further_back(runs: Sequence[Run]) -> str:
    """What a person may do who wants to go back further than the newest deployment."""
    older = next((found for each in reversed(runs) if (found := _deployment(each)) is not None), None)
    mend = "mend what runs, or deploy a release that is known to be good"
    if older is None:
        return mend
    return (
        f"{mend}; only where what was written since {older.at:%Y-%m-%d %H:%M} UTC may be lost, go back to "
        f"{older.previous}: {command_for(older.run)}"
    )


def command_for(run: Run) -> str:
    """What a person types to take back the deployment of `run`, or the newest where `run` has begun none."""
    words = ["runbook", "rollback", run.environment]
    words += ["--run", run.id] if has_begun(run) else []
    words += ["--confirm", run.environment] if run.events.read()[0].data["kind"] == "production" else []
    return " ".join(words)


def _deploying(environment: str) -> list[Run]:
    """The runs that have begun a deployment, in the order in which they did."""
    return sorted((run for run in archive.runs(environment) if has_begun(run)), key=_order)


def _order(run: Run) -> tuple[datetime, str]:
    events = run.events.read()
    begun = [event.time for event in events if event.name == "step started" and event.data["phase"] == PHASE]
    return datetime.fromisoformat(Facts(run).get(DEPLOYED_AT) or begun[0]), run.id


def _release(run: Run) -> str:
    return str(run.events.read()[0].data["release"])


def _finished(run: Run) -> bool:
    """Whether the deployment of `run` went well, or was taken back since."""
    ended = [
        event.data["outcome"]
        for event in run.events.read()
        if event.name == "phase ended" and event.data["phase"] == PHASE
    ]
    if "passed" in ended:
        return True
    taken_back = (Facts(each).get(ROLLED_BACK) for each in archive.runs(run.environment))
    return any(fact["run"] == run.id for fact in taken_back if fact)


def _deployment(run: Run) -> Deployment | None:
    facts = dict(Facts(run))
    if PREVIOUS not in facts or not has_begun(run):
        return None
    point = RollbackPoint(**facts[FACT]) if FACT in facts else None
    return Deployment(run, facts[PREVIOUS], datetime.fromisoformat(facts[DEPLOYED_AT]), point)


@action("Start the release that ran before")
def previous_release(env: Environment, run: Run) -> Finding:
    """R.1.2: start what 8.1 recorded in place of what was deployed, which the platform stops once all is at hand.

    A release that does not start on the newer schema, as one that looks at it first, is only put in place: R.1.3 gives
    it its own schema back and starts it.

    Raises
    ------
    Unanswerable
        Nothing was recorded, or its images are gone: then nothing is stopped. Or the platform does not start it.
    """
    found = deployment_of(run)
    release = releases.find(env, found.previous)
    platform = platforms.connect(env)
    if not platform.tagged(release):
        raise Unanswerable(
            f"{release} has no images any more; nothing was stopped",
            remedy=f"build and tag them (6.2, 6.3 with --release {release}), then roll back again",
        )
    earlier = what_runs(platform)
    progress(f"starting {release} in place of {earlier}")
    started = "yes"
    try:
        platform.up(release)
    except Unanswerable as error:
        if what_runs(platform) != release.tag or not _awaits_its_schema(env, found):
            raise
        started = f"not before R.1.3 gives it its own schema back: {error.reason}"
    deployed = platform.deployed()
    return Finding(
        ok=deployed == release.tag,
        observed={"before": earlier, "deployed": deployed, "started": started, "recorded by run": found.run.id},
        expected={"deployed": release.tag},
        remedy="the platform started something else: look at its deployments, and start the release by hand",
        facts={ROLLED_BACK: {"run": found.run.id, "from": earlier, "to": release.tag}},
    )


def _awaits_its_schema(env: Environment, found: Deployment) -> bool:
    """Whether R.1.3 is to restore the database, and with it start the release."""
    with database.connected(env) as connection:
        return found.point is not None and database.revision(connection) != found.point.revision


@check("The version that answers is the one that ran before")
def previous_version_answers(env: Environment, run: Run) -> Finding:
    """R.2.2: as 8.3, for the release that was put back."""
    return http.version_is(env, releases.find(env, deployment_of(run).previous)).run()


@action("Restore the database if its schema has changed")
def restore_database(env: Environment, run: Run) -> Finding:
    """R.1.3: where the live revision is not the previous release's, put the rollback point in the live one's place.

    The backup is proved and restored beside the live database first. Then the services stop, the live database is
    dumped with what was written since, and the two change names in one transaction: a restore that fails leaves the
    live database as it was. The old one is kept under its new name.

    Raises
    ------
    Unanswerable
        The release that ran before is not in place, so that it could not serve the data that it is given back.
        No rollback point was taken and the schema has changed; the dump cannot be restored; the names cannot change.
    """
    found = deployment_of(run)
    release = releases.find(env, found.previous)
    deployed = platforms.connect(env).deployed()
    if deployed != release.tag:
        raise Unanswerable(
            f"{deployed or 'nothing'} is deployed, not {release}, which is to serve the restored data; "
            "nothing was touched",
            remedy=f"put {release} in place first (R.1.2), then roll back again",
        )
    with database.connected(env) as connection:
        live = database.revision(connection)
        name = connection.info.dbname
    wanted = ", ".join(database.heads(env, release)) or None
    if live == wanted:
        return Finding(True, f"revision {live}: nothing to restore", f"revision {wanted}, which {release} knows")
    if found.point is None:
        raise Unanswerable(
            f"the schema has moved to {live}, and run {found.run.id} has taken no rollback point",
            remedy=f"nothing was touched; {_by_hand(env, wanted)}",
        )
    if found.point.revision != wanted:
        return Finding(
            ok=False,
            observed=f"the live database is at revision {live}, the rollback point at {found.point.revision}",
            expected=f"a rollback point of revision {wanted}, which {release} knows",
            remedy=f"nothing was touched; {_by_hand(env, wanted)}",
        )
    unfit = _unfit(env, found.point, name)
    if unfit:
        return Finding(
            ok=False,
            observed=unfit,
            expected=f"{found.point.file} as it was taken",
            remedy=f"nothing was touched; {_by_hand(env, wanted, found.point)}",
        )
    return backup.lack_of_space(env) or _exchange(env, release, found.point, live, name)


def _by_hand(env: Environment, wanted: str | None, unfit: RollbackPoint | None = None) -> str:
    """What to do where the rollback point does not bring `wanted` back: another dump, never a migration."""
    for each in backups.kept(env):
        taken = each.backup
        if taken is None or (taken.revision, taken.database) != (wanted, database.name(env)):
            continue
        if unfit is None or taken.file != unfit.file:
            return f"restore {taken.file} by hand, the newest dump of revision {wanted}"
    return (
        f"no dump in {env.backup.folder.name} says that it is of revision {wanted}: find one elsewhere; the "
        "release's migrations only lead further away"
    )


def _unfit(env: Environment, point: RollbackPoint, name: str) -> list[str]:
    """Why a rollback point must not take the live database's place; empty where it may."""
    found = dumps.faults(env, point)
    path = point.path(env)
    if not path.is_file():
        return found
    if (size := path.stat().st_size) < point.size:
        return [f"it was cut short: {size:,} of {point.size:,} bytes are left", *found]
    try:
        dumped = re.search(r"^; +dbname: (.*)$", dumps.contents(env, path), re.MULTILINE)
    except Unanswerable:
        if found:
            return found
        raise
    if dumped is None or dumped[1] != name:
        found.insert(0, f"it is a dump of the database {dumped[1] if dumped else '?'}, the live one is {name}")
    return found


def _exchange(env: Environment, release: Release, point: RollbackPoint, live: str | None, name: str) -> Finding:
    """Restore beside the live database, keep what the live one holds, and let the two change places."""
    expected = {"revision": point.revision, "rows": dict(point.tables)}
    platform = platforms.connect(env)
    # Only on the live database's own server can the two change names, whatever restore tests are done on.
    beside = env.model_copy(update={"backup": env.backup.model_copy(update={"scratch": None})})
    # The scratch name is dropped at the end; by then the restored database has the live one's.
    with backup.scratch_copy(beside, point) as address:
        with database.connected(env, address) as connection:
            restored = {"revision": database.revision(connection), "rows": database.row_counts(connection)}
            given = _properties(connection)
        if restored != expected:
            return Finding(False, restored, expected, "the dump does not hold what it should; nothing was touched")
        with database.connected(env) as connection:
            lost = sorted(_properties(connection) - given)
        platform.down()
        try:
            kept, roles = _keep(env, release)
            aside = _swap(env, name, _name(address))
        except BaseException:
            # The live database is as it was; the release is worth more on it than down. What stood in the way of the
            # exchange is what is told, even where the release does not start on that database; R.2.1 sees that.
            with suppress(Unanswerable):
                platform.up(release)
            raise
    try:
        platform.up(release)
    except Unanswerable as error:
        raise Unanswerable(
            f"the database is restored, the old one kept as {aside} and in {kept.file}; but {error.reason}",
            remedy=error.remedy,
        ) from error
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


@check("The schema is the one that the previous release expects")
def schema_fits(env: Environment, run: Run) -> Finding:
    """R.1.3: the live revision is the newest that the release put back knows."""
    release = releases.find(env, deployment_of(run).previous)
    wanted = ", ".join(database.heads(env, release)) or None
    with database.connected(env) as connection:
        live = database.revision(connection)
    return Finding(
        ok=live == wanted,
        observed={"revision": live},
        expected={"revision": wanted, "of": release.tag},
        remedy=_by_hand(env, wanted),
    )
