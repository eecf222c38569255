"""Putting back what ran before a deployment: the release, and the data where the schema has changed."""

from __future__ import annotations

import re

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.actions import backup
from runbook_lib.actions.deployment import what_runs
from runbook_lib.actions.exchange import exchange
from runbook_lib.actions.predecessor import ROLLED_BACK, Deployment, deployment_of
from runbook_lib.checks import backups, database, dumps, http
from runbook_lib.checks.dumps import RollbackPoint
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.record.archive import Run
from runbook_lib.step import Finding, action, check, progress


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
    return backup.lack_of_space(env) or exchange(env, release, found.point, live, name)


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
