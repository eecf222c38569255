"""The index of all runs, with full text, in SQLite beside the archive. It is derived and may be deleted."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from runbook_lib.errors import RecordError
from runbook_lib.home import home
from runbook_lib.record import manifest, overview
from runbook_lib.record.archive import Run, runs
from runbook_lib.record.overview import OVERVIEW, Overview
from runbook_lib.record.summary import summarize

if TYPE_CHECKING:
    import sqlite3

NAME: Final = ".index.sqlite"
SCHEMA: Final = 1
"""Raised with every change of the tables: an index of another schema is made anew."""
TABLES: Final = f"""
CREATE TABLE runs (environment TEXT, run TEXT, stamp TEXT NOT NULL, overview TEXT, fault TEXT NOT NULL,
                   PRIMARY KEY (environment, run));
CREATE VIRTUAL TABLE said USING fts5(environment UNINDEXED, run UNINDEXED, item UNINDEXED, text);
CREATE TABLE texts (document INTEGER PRIMARY KEY, environment TEXT, run TEXT);
CREATE INDEX texts_of_run ON texts (environment, run);
PRAGMA user_version = {SCHEMA};
"""


@dataclass(frozen=True)
class Entry:
    """A run in the index: its overview, or the `fault` that keeps it from being read."""

    environment: str
    run: str
    overview: Overview | None
    fault: str


@dataclass(frozen=True)
class Hit:
    """An item whose words were found: `snippet` is what it said around them."""

    environment: str
    run: str
    item: str
    snippet: str


def entries(environment: str = "") -> tuple[Entry, ...]:
    """All runs, or an environment's, oldest first, after the index was brought up to date."""
    rows = _rows(
        "SELECT environment, run, overview, fault FROM runs WHERE ? IN ('', environment) ORDER BY run, environment",
        (environment,),
    )
    return tuple(
        Entry(env, run, OVERVIEW.validate_json(text) if text else None, fault) for env, run, text, fault in rows
    )


def search(text: str, environment: str = "", limit: int = 20) -> tuple[Hit, ...]:
    """The newest items that said all words of `text`, which is never read as a query; none where it has no word."""
    query = quoted(text)
    if not query:
        return ()
    rows = _rows(
        "SELECT environment, run, item, snippet(said, 3, '', '', '…', 24) FROM said"
        " WHERE said MATCH ? AND ? IN ('', environment) ORDER BY run DESC, environment, item LIMIT ?",
        (query, environment, limit),
    )
    return tuple(Hit(*row) for row in rows)


def quoted(text: str) -> str:
    """`text` as a query of FTS5: each word a string (https://www.sqlite.org/fts5.html, section 3.1)."""
    words = text.replace("\0", " ").encode("utf-8", "replace").decode().split()
    return " ".join('"' + word.replace('"', '""') + '"' for word in words)


def _rows(query: str, parameters: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
    """What the index, brought up to date, answers; one process at a time. A damaged one is made anew, once.

    Raises RecordError where it cannot be written or made.
    """
    import sqlite3

    path = home().outputs / NAME
    path.parent.mkdir(exist_ok=True)
    with FileLock(f"{path}.lock"):
        try:
            try:
                return _ask(path, query, parameters)
            except sqlite3.DatabaseError as error:
                if not _to_blame(error):
                    raise
                for suffix in ("", "-journal"):
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
                return _ask(path, query, parameters)
        except sqlite3.DatabaseError as error:
            raise RecordError(f"{path}: the index cannot be brought up to date: {error}") from error


def _to_blame(error: sqlite3.DatabaseError) -> bool:
    """Whether the index is damaged or lacks a table; a full disk or a file that may not be written is no such thing."""
    import sqlite3

    return not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR


def _ask(path: Path, query: str, parameters: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
    with closing(_open(path)) as database:
        return database.execute(query, parameters).fetchall()


def _open(path: Path) -> sqlite3.Connection:
    import sqlite3

    database = sqlite3.connect(path)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise sqlite3.DatabaseError("of another schema")
            database.executescript(TABLES)
        _update(database)
    except BaseException:
        database.close()
        raise
    return database


def _update(database: sqlite3.Connection) -> None:
    """Read the runs that are new or changed since, and forget those that are gone."""
    known = {(env, run): stamp for env, run, stamp in database.execute("SELECT environment, run, stamp FROM runs")}
    found = {(run.environment, run.id): (run, _stamp(run)) for run in runs()}
    with database:
        for key in known.keys() - found.keys():
            _forget(database, key)
        for key, (run, stamp) in found.items():
            if known.get(key) != stamp:
                _forget(database, key)
                _add(database, run, stamp)


def _stamp(run: Run) -> str:
    """The change times in nanoseconds and the sizes of the files that are read."""
    stamps: list[tuple[int, int] | None] = []
    for path in (run.folder / manifest.NAME, run.events.path):
        try:
            seen = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((seen.st_mtime_ns, seen.st_size))
    return json.dumps(stamps)


def _forget(database: sqlite3.Connection, key: tuple[str, str]) -> None:
    gone = "SELECT document FROM texts WHERE environment = ? AND run = ?"
    database.execute(f"DELETE FROM said WHERE rowid IN ({gone})", key)  # noqa: S608
    database.execute("DELETE FROM texts WHERE environment = ? AND run = ?", key)
    database.execute("DELETE FROM runs WHERE environment = ? AND run = ?", key)


def _add(database: sqlite3.Connection, run: Run, stamp: str) -> None:
    key = (run.environment, run.id)
    try:
        seen, fault = _read(run), ""
    except (RecordError, OSError, ValueError, KeyError, TypeError) as error:
        seen, fault = None, str(error)
    text = OVERVIEW.dump_json(seen).decode() if seen else None
    database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", (*key, stamp, text, fault))
    for id, item in seen.items.items() if seen else ():
        words = item.said.encode("utf-8", "replace").decode()
        row = database.execute("INSERT INTO said VALUES (?, ?, ?, ?)", (*key, id, words)).lastrowid
        database.execute("INSERT INTO texts VALUES (?, ?, ?)", (row, *key))


def _read(run: Run) -> Overview:
    """From the manifest where it tells of all events there are, else from the events."""
    size = run.events.path.stat().st_size
    try:
        seen = OVERVIEW.validate_python(manifest.read(run)["predicate"]["overview"])
    except (RecordError, KeyError, ValueError):
        return overview.of(summarize(run), size)
    if (seen.version, seen.size) == (overview.VERSION, size):
        return seen
    return overview.of(summarize(run), size)
