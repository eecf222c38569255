"""A dump and its proof: the digest, the readable table of contents, the row counts taken with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runbook_lib import command, programs
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, check

FACT = "rollback_point"


@dataclass(frozen=True)
class RollbackPoint:
    """What a run can go back to.

    Parameters
    ----------
    file:
        Name of the dump in the environment's backup folder.
    revision:
        Alembic's revision when it was taken, None where nothing was ever migrated.
    size:
        Bytes.
    tables:
        Rows by ``schema.table``, counted in the dump's own snapshot.
    """

    file: str
    sha256: str
    revision: str | None
    size: int
    tables: Mapping[str, int]

    def path(self, env: Environment) -> Path:
        """Where the dump lies."""
        return env.backup.folder / self.file

    def facts(self) -> dict[str, Any]:
        """What later phases need."""
        return {FACT: asdict(self)}


def rollback_point(facts: Mapping[str, Any]) -> RollbackPoint:
    """The run's rollback point. Raises Unanswerable where none was taken in this run."""
    try:
        return RollbackPoint(**facts[FACT])
    except KeyError as error:
        raise Unanswerable("this run has taken no rollback point", remedy="run phase 3 in this run first") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(env: Environment, dump: Path) -> str:
    """The dump's table of contents, by ``pg_restore --list``.

    Raises
    ------
    Unanswerable
        pg_restore cannot read it.
    """
    listed = command.run(
        [programs.postgres(env, "pg_restore"), "--list", dump], timeout=env.limits.backup, env={"LC_ALL": "C"}
    )
    if not listed.ok:
        raise Unanswerable(f"pg_restore cannot read {dump.name}: {listed.tail(2)}", remedy="take the backup again")
    return listed.output


def tables_in(listing: str) -> set[str]:
    """Which tables' rows a table of contents holds, as ``schema.table``."""
    return {
        f"{schema}.{table}" for schema, table in re.findall(r"^\d+; \d+ \d+ TABLE DATA (\S+) (.+) \S+$", listing, re.M)
    }


def faults(env: Environment, point: RollbackPoint) -> list[str]:
    """What is wrong with a rollback point's dump: missing, changed, unreadable, lacking tables, open to others."""
    path = point.path(env)
    if not path.is_file():
        return [f"{point.file} is missing from the backup folder"]
    found = []
    if path.stat().st_mode & 0o077:
        found.append(f"its mode is {path.stat().st_mode & 0o777:04o}: others can read it")
    if digest(path) != point.sha256:
        return [*found, "its SHA-256 has changed since it was taken"]
    lacking = set(point.tables) - tables_in(contents(env, path))
    return found + ([f"it lacks {', '.join(sorted(lacking))}"] if lacking else [])


@check("The rollback point is whole and readable")
def readable(env: Environment, facts: Mapping[str, Any]) -> Finding:
    """The dump has the digest that was recorded, ``pg_restore --list`` reads it and names every table's rows."""
    point = rollback_point(facts)
    found = faults(env, point)
    return Finding(
        ok=not found,
        observed={"file": point.file, "size in bytes": point.size, "revision": point.revision, "faults": found},
        expected=f"SHA-256 {point.sha256[:12]}…, mode 0600, the rows of {len(point.tables)} tables listed",
        remedy="take the backup again: the item before this one",
        tables=(Table(("table", "rows"), tuple(point.tables.items()), "Rows when the dump was taken"),),
    )
