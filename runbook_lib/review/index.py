"""The index of all runs, with full text, in SQLite beside the archive. It is derived and may be deleted.

It finds where words were said; what was said stays in the runs' own records.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

from runbook_lib.errors import RecordError
from runbook_lib.home import home
from runbook_lib.record import manifest, overview
from runbook_lib.record.archive import Run
from runbook_lib.record.overview import Overview
from runbook_lib.record.seal import ENVELOPE
from runbook_lib.record.summary import summarize

if TYPE_CHECKING:
    import sqlite3

NAME: Final = ".index.sqlite"
MEMORY: Final = ":memory:"
"""SQLite's name for a database that is written nowhere."""
EVENTS: Final = "events.jsonl"
SEALED: Final = "sealed"
"""In the place of a stamp: the run's record is closed, and `runbook verify` is what notices that it was changed."""
SCHEMA: Final = 5
"""Raised with every change of the tables: an index of another schema is made anew."""
SAID_BY_A_RUN: Final = 1_000
"""How many texts of one run are told apart: a text's number is its run's times this, and its place in the run."""
PAGE_KIBIBYTES: Final = 1 << 17
"""How much of the file is kept in memory while it is made."""
LOCK_SECONDS: Final = 30.0
"""How long another process may bring the index up to date before nobody waits for it any more."""
UNREADABLE: Final = (RecordError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What :func:`read` raises of a run that is damaged, or of another version of the kit."""
MANY: Final = 500
"""So many runs to be read are about a second."""
GONE: Final = 100
"""So many runs that were read again or removed may be more than those that are there, before it is made anew."""
# A number is never given twice, for the words of a run that was read again or removed stay: without the texts they
# cannot be taken out (https://www.sqlite.org/fts5.html, section 4.4.1).
TABLES: Final = """
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, run TEXT NOT NULL,
                   stamp TEXT NOT NULL, fault TEXT NOT NULL, release TEXT NOT NULL DEFAULT '',
                   started TEXT NOT NULL DEFAULT '', outcome TEXT NOT NULL DEFAULT '', counts TEXT NOT NULL DEFAULT '',
                   UNIQUE (environment, run));
CREATE TABLE details (id INTEGER PRIMARY KEY, "commit" TEXT NOT NULL, operator TEXT NOT NULL, way TEXT NOT NULL,
                      seconds TEXT NOT NULL, statuses TEXT NOT NULL);
CREATE TABLE loads (environment TEXT, item TEXT, run TEXT, release TEXT, throughput REAL, p95 REAL, errors REAL,
                    PRIMARY KEY (environment, item, run)) WITHOUT ROWID;
CREATE VIRTUAL TABLE said USING fts5(text, content='', columnsize=0);
INSERT INTO said (said, rank) VALUES ('automerge', 0), ('crisismerge', 1000);
"""
# The words of many runs are written without merging them again and again; later ones are merged little by little.
MADE: Final = "INSERT INTO said (said, rank) VALUES ('automerge', 4)"
Key = tuple[str, str]
"""An environment and the id of a run."""


def ask(parameters: dict[str, str | int], *queries: str) -> list[list[tuple[Any, ...]]]:
    """What the index, brought up to date, answers each query; one process at a time. A damaged one is made anew, once.

    Raises RecordError where it cannot be written or made.
    """
    import sqlite3

    path = home().outputs / NAME
    try:
        path.parent.mkdir(exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            try:
                return _answers(path, parameters, queries)
            except sqlite3.DatabaseError as error:
                if not _to_blame(error):
                    raise
                for suffix in ("", "-journal"):
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
                return _answers(path, parameters, queries)
    except (sqlite3.DatabaseError, OSError) as error:
        if _unwritable(error):
            return _answers(MEMORY, parameters, queries)
        raise RecordError(f"{path}: the index cannot be brought up to date: {error}") from error


def _unwritable(error: Exception) -> bool:
    """Whether nothing can be written, or the index is held: then one is made in memory, for a question alone."""
    import sqlite3

    if isinstance(error, sqlite3.Error):
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return kind in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
    refused = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, Timeout) or (isinstance(error, OSError) and error.errno in refused)


def _to_blame(error: sqlite3.DatabaseError) -> bool:
    """Whether the index is damaged or lacks a table; a full disk or a file that may not be written is no such thing."""
    import sqlite3

    return not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR


def _answers(path: Path | str, parameters: dict[str, str | int], queries: Sequence[str]) -> list[list[tuple[Any, ...]]]:
    with closing(_open(path)) as database:
        return [database.execute(query, parameters).fetchall() for query in queries]


def _open(path: Path | str) -> sqlite3.Connection:
    import sqlite3

    database = sqlite3.connect(path)
    database.execute(f"PRAGMA cache_size = -{PAGE_KIBIBYTES}")
    try:
        known = _known(database)
        _update(database, known, home().outputs)
    except BaseException:
        database.close()
        raise
    return database


def _known(database: sqlite3.Connection) -> dict[Key, str]:
    """The stamp of each run that the index holds; its tables are made where it is new.

    Raises sqlite3.DatabaseError for an index that is to be made anew.
    """
    import sqlite3

    if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("of another schema")
        database.executescript(f"{TABLES} PRAGMA user_version = {SCHEMA}")
    known = {(env, run): stamp for env, run, stamp in database.execute("SELECT environment, run, stamp FROM runs")}
    given = database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'runs'").fetchone()[0]
    if given > 2 * len(known) + GONE:
        raise sqlite3.DatabaseError("most of what it holds is of runs that were read again or removed")
    return known


def _update(database: sqlite3.Connection, known: Mapping[Key, str], outputs: Path) -> None:
    """Read the runs that are new or changed since they were `known`, and forget those that are gone."""
    found = dict(_found(outputs, {key for key, stamp in known.items() if stamp == SEALED}))
    changed = [key for key, stamp in found.items() if known.get(key) != stamp]
    with database:
        for key in known.keys() - found.keys() | known.keys() & set(changed):
            _forget(database, key)
        for key in _watched(sorted(changed, key=lambda key: key[::-1])):
            _add(database, outputs, key, found[key])
        if not known:
            database.execute(MADE)


def _watched(keys: Sequence[Key]) -> Iterable[Key]:
    """The keys, with a bar in the terminal where reading their runs takes more than a moment."""
    if len(keys) < MANY or not sys.stderr.isatty():
        return keys
    from rich.console import Console
    from rich.progress import track

    return track(keys, f"reading {len(keys)} runs into the index", console=Console(stderr=True), transient=True)


def _found(outputs: Path, sealed: Collection[Key]) -> Iterator[tuple[Key, str]]:
    """Every run of the archive, and the time of change in nanoseconds and the size of its events, whether it is sealed.

    Nothing happens to a run without an event, so the manifest need not be looked at, and nothing at all to one that is
    known to be `sealed`; by strings, for thousands of runs are looked at each time.
    """
    for environment in _folders(str(outputs)):
        for run in _folders(environment.path):
            if (key := (environment.name, run.name)) in sealed:
                yield key, SEALED
                continue
            try:
                seen = os.stat(f"{run.path}/{EVENTS}")  # noqa: PTH116
            except OSError:
                continue
            closed = SEALED if os.path.isfile(f"{run.path}/{ENVELOPE}") else ""  # noqa: PTH113
            yield key, f"{seen.st_mtime_ns} {seen.st_size} {closed}"


def _folders(path: str) -> Iterator[os.DirEntry[str]]:
    """Those that a run or an environment can be: none that we may not look into, such as a volume's ``lost+found``."""
    try:
        with os.scandir(path) as within:
            yield from (entry for entry in within if entry.is_dir() and entry.name == encodable(entry.name))
    except PermissionError:
        return


def encodable(text: str) -> str:
    """`text` with question marks for what UTF-8 cannot hold: a record may hold it, and SQLite does not take it."""
    return text.encode("utf-8", "replace").decode()


def _forget(database: sqlite3.Connection, key: Key) -> None:
    (id,) = database.execute("SELECT id FROM runs WHERE environment = ? AND run = ?", key).fetchone()
    for table in ("details", "runs"):
        database.execute(f"DELETE FROM {table} WHERE id = ?", (id,))  # noqa: S608
    database.execute("DELETE FROM loads WHERE environment = ? AND run = ?", key)


def _add(database: sqlite3.Connection, outputs: Path, key: Key, stamp: str) -> None:
    run = Run(outputs.joinpath(*key))
    closed = stamp.endswith(SEALED)
    try:
        seen = read(run)
    except UNREADABLE as error:
        # By its stamp it is read again once it has changed, for it may be on its way here.
        row = (*key, stamp, encodable(str(error)))
        database.execute("INSERT INTO runs (environment, run, stamp, fault) VALUES (?, ?, ?, ?)", row)
        return
    statuses = {id: item.status for id, item in seen.items.items()}
    counts = ", ".join(f"{number} {status}" for status, number in Counter(statuses.values()).items())
    plain = (seen.release, seen.started, seen.outcome, counts)
    told = (*key, SEALED if closed else stamp, *map(encodable, plain))
    id = database.execute("INSERT INTO runs VALUES (NULL, ?, ?, ?, '', ?, ?, ?, ?)", told).lastrowid
    assert id is not None
    details = (id, seen.commit, seen.operator, seen.way, json.dumps(seen.seconds), json.dumps(statuses))
    database.execute("INSERT INTO details VALUES (?, ?, ?, ?, ?, ?)", details)
    texts = (encodable(item.said) for item in seen.items.values())
    said = enumerate(islice(texts, SAID_BY_A_RUN), id * SAID_BY_A_RUN)
    database.executemany("INSERT INTO said (rowid, text) VALUES (?, ?)", said)
    loads = ((item, seen.release, load.throughput, load.p95, load.errors) for item, load in seen.loads.items())
    database.executemany(
        "INSERT INTO loads (environment, run, item, release, throughput, p95, errors) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((*key, *load) for load in loads),
    )


def read(run: Run) -> Overview:
    """From the manifest where it tells of all events there are, else from the events.

    Raises one of :data:`UNREADABLE` where neither can be read, or an event says what none can say.
    """
    size = (run.folder / EVENTS).stat().st_size
    try:
        seen = manifest.overview_of(run)
    except RecordError:
        return overview.of(summarize(run), size)
    if (seen.version, seen.size) == (overview.VERSION, size):
        return seen
    return overview.of(summarize(run), size)
