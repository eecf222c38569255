"""The backups that are kept: their metadata, their age, how long they stay, and what a recovery may take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from runbook_lib.checks import database, dumps
from runbook_lib.checks.database import TableContent
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, check

DAY: Final = timedelta(days=1)
DAILY: Final = "daily"
"""The label of what the schedule's command takes; every other dump is taken by a run for its own ends."""
REJECTED: Final = "-before-rollback"
"""How the label of a dump ends that keeps what a rollback took back: nobody wants to recover with that."""
RECOVERY: Final = "recovery"
"""The fact that 14.2.2 leaves: what was measured."""


class Backup(BaseModel):
    """What was written beside a dump when it was taken.

    Parameters
    ----------
    file:
        The dump's name.
    size:
        Bytes.
    seconds:
        What taking it took.
    database:
        The name of the database that was dumped.
    revision:
        Alembic's, None where nothing was ever migrated.
    tables:
        Rows and checksum by ``schema.table``, in the dump's own snapshot.
    label:
        What it was taken for: :data:`DAILY`, or a release's tag; empty where it was taken before labels were kept.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    sha256: str
    size: int
    taken_at: AwareDatetime
    seconds: float
    environment: str
    database: str
    revision: str | None
    tables: dict[str, TableContent]
    label: str = ""

    @property
    def is_rejected(self) -> bool:
        """Whether it keeps what a rollback took back."""
        return self.label.endswith(REJECTED)

    def write(self, folder: Path) -> None:
        """Put it beside the dump."""
        path = metadata_of(folder / self.file)
        path.touch(mode=0o600)
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def metadata_of(dump: Path) -> Path:
    """Where the metadata of `dump` lies."""
    return dump.with_name(f"{dump.name}.json")


@dataclass(frozen=True)
class Kept:
    """A dump in the backup folder; `backup` is None where its metadata does not say what it is, `lack` why."""

    path: Path
    modified: datetime
    backup: Backup | None
    lack: str = ""

    @property
    def taken(self) -> datetime:
        """When it was taken, by its metadata, else by its file."""
        return self.backup.taken_at if self.backup else self.modified


def kept(env: Environment) -> tuple[Kept, ...]:
    """The dumps in the backup folder, newest first, without those that are another environment's."""
    found = [_kept(path) for path in env.backup.folder.glob("*.dump")]
    own = [each for each in found if each.backup is None or each.backup.environment == env.name]
    return tuple(sorted(own, key=lambda each: (each.taken, each.path.name), reverse=True))


def _kept(path: Path) -> Kept:
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    try:
        backup = Backup.model_validate_json(metadata_of(path).read_bytes())
    except FileNotFoundError:
        return Kept(path, modified, None, "it has no metadata beside it")
    except (OSError, ValidationError) as error:
        return Kept(path, modified, None, f"its metadata cannot be read: {str(error).splitlines()[0]}")
    if backup.file != path.name:
        return Kept(path, modified, None, f"its metadata is that of {backup.file}")
    return Kept(path, modified, backup)


def newest(env: Environment) -> Backup | None:
    """The newest backup to recover with, None where there is none.

    Whatever it was taken for, but for what a rollback took back: that is the data of a release that was rejected.

    Raises
    ------
    Unanswerable
        A dump that may be it does not say what it is.
    """
    return _newest(env, lambda backup: not backup.is_rejected)


def newest_daily(env: Environment) -> Backup | None:
    """The newest backup that the schedule's command took, None where there is none.

    Raises
    ------
    Unanswerable
        As :func:`newest`.
    """
    return _newest(env, lambda backup: backup.label == DAILY)


def _newest(env: Environment, is_wanted: Callable[[Backup], bool]) -> Backup | None:
    for each in kept(env):
        if each.backup is None:
            raise Unanswerable(
                f"{each.path.name} may be the newest backup, yet {each.lack}",
                remedy=f"move it away if 'runbook backup {env.name}' did not take it, else take a new one",
            )
        if is_wanted(each.backup):
            return each.backup
    return None


def none_taken(env: Environment, kind: str = "backup") -> Finding:
    """A failed finding: the folder holds no backup of this kind."""
    return Finding(
        ok=False,
        observed=f"no {kind} of {env.name} in {env.backup.folder}",
        expected=f"at least one {kind}",
        remedy=f"take one: runbook backup {env.name}; and see why the schedule took none",
    )


def faults(env: Environment, backup: Backup) -> list[str]:
    """Why `backup` is not what was taken of this environment's database; empty where it is.

    Raises
    ------
    Unanswerable
        The live database's name is not known, or pg_restore is missing.
    """
    path = env.backup.folder / backup.file
    try:
        listing = dumps.contents(env, path)
    except Unanswerable:
        damage = _damage(path, backup)
        if damage is None:
            raise
        return [damage]
    live = database.name(env)
    others = {dumped_database(listing), backup.database} - {live}
    if others:
        return [f"{backup.file} is a dump of another database: {others.pop()}, not {live}"]
    damage = _damage(path, backup)
    if damage:
        return [damage]
    lacking = set(backup.tables) - dumps.tables_in(listing)
    return [f"{backup.file} lacks {', '.join(sorted(lacking))}"] if lacking else []


def _damage(path: Path, backup: Backup) -> str | None:
    """What happened to the file since it was written, None where nothing did."""
    size = path.stat().st_size
    if size < backup.size:
        return f"{backup.file} is cut short: {size:,} of {backup.size:,} bytes"
    if dumps.digest(path) != backup.sha256:
        return f"{backup.file} is not the file that was written: its SHA-256 has changed"
    return None


def dumped_database(listing: str) -> str | None:
    """The name of the database that a table of contents says it was made from."""
    match = re.search(r"^; +dbname: (.*)$", listing, re.MULTILINE)
    return match[1] if match else None


@check("The newest daily backup of {env} is younger than a day")
def recent(env: Environment) -> Finding:
    """14.1.1: by the time in its metadata. The rollback points of runs do not count: they say nothing of the schedule.

    Raises
    ------
    Unanswerable
        A dump that may be it does not say when it was taken.
    """
    found = newest_daily(env)
    if found is None:
        return none_taken(env, "daily backup")
    age = datetime.now(UTC) - found.taken_at
    return Finding(
        ok=timedelta(0) <= age < DAY,
        observed={"file": found.file, "taken": found.taken_at.isoformat(), "age in hours": round(_hours(age), 2)},
        expected="0 to 24 hours",
        remedy=f"see why the schedule takes none (or whether the clock was set); take one: runbook backup {env.name}",
    )


def _hours(age: timedelta) -> float:
    return age / timedelta(hours=1)


def expired(found: Sequence[Kept], horizon: datetime, is_whole: Callable[[Kept], bool]) -> tuple[Kept, ...]:
    """Which of the dumps may be removed.

    One may go if its metadata and its file both say that it is older than `horizon`. The newest never goes, nor the
    newest one that is whole: if no younger one can be restored, an old one stays. What a rollback took back is
    neither of the two, unless there is nothing else.

    Parameters
    ----------
    found:
        In any order.
    is_whole:
        Whether a dump is what was written; asked from the newest on until one is.
    """
    ordered = sorted(found, key=lambda each: (each.taken, each.path.name), reverse=True)
    old = [each for each in ordered if each.backup and max(each.backup.taken_at, each.modified) < horizon]
    if not old:
        return ()
    wanted = [each for each in ordered if not (each.backup and each.backup.is_rejected)] or ordered
    restorable = next((each for each in wanted if each.backup and is_whole(each)), None)
    # Where none is whole, there is nothing to fall back on: each may still hold something.
    return tuple(each for each in old if each not in (wanted[0], restorable)) if restorable else ()


def is_whole(env: Environment, dump: Kept) -> bool:
    """Whether a dump is what was written, as far as can be told without restoring it."""
    try:
        return dump.backup is not None and not faults(env, dump.backup)
    except Unanswerable:
        return False


def horizon(env: Environment) -> datetime:
    """Backups taken before are too old to be kept."""
    return datetime.now(UTC) - timedelta(days=env.backup.retention_days)


@check("No backup is kept beyond {env}'s retention, and the newest is there")
def retained(env: Environment) -> Finding:
    """14.1.3: what is older than ``backup.retention_days`` stays only as the newest or as the only one that is whole.

    Raises
    ------
    Unanswerable
        The newest dump does not say what it is.
    """
    found = kept(env)
    if newest(env) is None:
        return none_taken(env)
    too_old = expired(found, horizon(env), lambda each: is_whole(env, each))
    return Finding(
        ok=not too_old,
        observed={"kept": len(found), "too old": [each.path.name for each in too_old]},
        expected=f"none older than {env.backup.retention_days} days, but for the newest and the only whole one",
        remedy="run the action of this item; see whether the folder can be written to",
        tables=(inventory(found),),
    )


def inventory(found: Sequence[Kept]) -> Table:
    """Every dump with its age."""
    now = datetime.now(UTC)
    rows = tuple(
        (
            each.path.name,
            f"{each.taken:%Y-%m-%d %H:%M} UTC",
            round((now - each.taken) / DAY, 1),
            each.backup.size if each.backup else None,
            each.lack,
        )
        for each in found
    )
    return Table(("file", "taken", "age in days", "size in bytes", "lacks"), rows, "Backups")


@check("{env}'s RTO and RPO are declared, and hold by what was measured")
def objectives(env: Environment, facts: Mapping[str, Any]) -> Finding:
    """14.2.3: the time that 14.2.2 took against ``recovery.rto_seconds``, what a disaster would lose against the RPO.

    The schedule takes one backup a day: a disaster just before the next one loses a day's data, however young the
    newest is now. So no less than a day is set against the RPO.

    Raises
    ------
    Unanswerable
        One is not declared, or nothing was measured in this run.
    """
    missing = [name for name in ("rto_seconds", "rpo_seconds") if getattr(env.recovery, name) is None]
    if missing:
        names = " and ".join(f"recovery.{name}" for name in missing)
        raise Unanswerable(
            f"{env.name}.toml does not declare {names}", remedy="agree on them with the product owner, and declare them"
        )
    if RECOVERY not in facts:
        raise Unanswerable("no recovery was measured in this run", remedy="let item 14.2.2 pass first")
    found = newest_daily(env)
    if found is None:
        return none_taken(env, "daily backup")
    age = datetime.now(UTC) - found.taken_at
    measured = {
        "RTO: seconds from backup to answering service": facts[RECOVERY]["seconds"],
        "RPO: a day, or the age of the newest daily backup if that is more, seconds": round(
            max(age, DAY).total_seconds(), 1
        ),
    }
    declared = dict(zip(measured, (env.recovery.rto_seconds or 0.0, env.recovery.rpo_seconds or 0.0), strict=True))
    return Finding(
        ok=all(measured[name] <= declared[name] for name in measured),
        observed=measured,
        expected={name: f"<= {limit:g}" for name, limit in declared.items()},
        remedy="restore faster (see 14.2.2's steps) or back up more often; or agree on other objectives",
    )
