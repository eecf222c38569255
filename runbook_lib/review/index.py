"""The index of all runs, with full text, in SQLite beside the archive. It is derived and may be deleted."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from runbook_lib.errors import RecordError
from runbook_lib.home import home
from runbook_lib.record import manifest, overview
from runbook_lib.record.archive import Run
from runbook_lib.record.overview import OVERVIEW, Overview
from runbook_lib.record.seal import is_sealed
from runbook_lib.record.summary import summarize

if TYPE_CHECKING:
    import sqlite3

NAME: Final = ".index.sqlite"
MEMORY: Final = ":memory:"
"""SQLite's name for a database that is written nowhere."""
EVENTS: Final = "events.jsonl"
SEALED: Final = "sealed"
"""In the place of a stamp: the run's record is closed, and `runbook verify` is what notices that it was changed."""
SCHEMA: Final = 4
"""Raised with every change of the tables: an index of another schema is made anew."""
SAID_BY_A_RUN: Final = 1_000
"""How many texts of one run are told apart: a text's number is its run's times this, and its place in the run."""
PAGE_KIBIBYTES: Final = 1 << 17
"""How much of the file is kept in memory: a new index is mostly made of merging what was written before."""
TABLES: Final = f"""
CREATE TABLE runs (id INTEGER PRIMARY KEY, environment TEXT NOT NULL, run TEXT NOT NULL, stamp TEXT NOT NULL,
                   fault TEXT NOT NULL, release TEXT, started TEXT, outcome TEXT, counts TEXT,
                   UNIQUE (environment, run));
CREATE TABLE details (id INTEGER PRIMARY KEY, seconds TEXT NOT NULL, statuses TEXT NOT NULL);
CREATE TABLE loads (environment TEXT, item TEXT, run TEXT, release TEXT, throughput REAL, p95 REAL, errors REAL,
                    PRIMARY KEY (environment, item, run)) WITHOUT ROWID;
CREATE VIRTUAL TABLE said USING fts5(item UNINDEXED, text, columnsize=0);
PRAGMA user_version = {SCHEMA};
"""
Key = tuple[str, str]
"""An environment and the id of a run."""


@dataclass(frozen=True)
class Entry:
    """A run in the index, or the `fault` that keeps it from being read; `counts` says how many items have a status."""

    environment: str
    run: str
    release: str
    started: str
    outcome: str
    counts: str
    fault: str


@dataclass(frozen=True)
class Hit:
    """An item whose words were found, and its status: `snippet` is what it said around them."""

    environment: str
    run: str
    item: str
    status: str
    snippet: str


@dataclass(frozen=True)
class Load:
    """A load test of a run: requests a second sustained, p95 in milliseconds, share of errors from 0 to 1."""

    environment: str
    run: str
    release: str
    item: str
    throughput: float
    p95: float
    errors: float


@dataclass(frozen=True)
class Detail:
    """A run's seconds by the phase's number, and the status of each item by its id."""

    environment: str
    run: str
    seconds: Mapping[int, float]
    statuses: Mapping[str, str]


@dataclass(frozen=True)
class Recent:
    """The newest load tests of each item, and the details of the newest runs, of each environment; oldest first."""

    loads: tuple[Load, ...]
    details: tuple[Detail, ...]


_ENTRIES: Final = """SELECT environment, run, coalesce(release, ''), coalesce(started, ''), coalesce(outcome, ''),
 coalesce(counts, ''), fault FROM runs WHERE :environment IN ('', environment) ORDER BY run, environment"""
# The newest of each kind by its key alone: no more rows are gone through than are shown.
_LOADS: Final = """SELECT environment, run, release, item, throughput, p95, errors
 FROM (SELECT DISTINCT environment, item FROM loads WHERE :environment IN ('', environment)) AS kind
 JOIN loads USING (environment, item)
 WHERE run IN (SELECT run FROM loads WHERE environment = kind.environment AND item = kind.item
               ORDER BY run DESC LIMIT :tests)
 ORDER BY run, environment, item"""
_DETAILS: Final = """SELECT environment, run, seconds, statuses
 FROM (SELECT DISTINCT environment FROM runs WHERE :environment IN ('', environment)) AS kind
 JOIN runs USING (environment) JOIN details USING (id)
 WHERE run IN (SELECT run FROM runs WHERE environment = kind.environment AND fault = ''
               ORDER BY run DESC LIMIT :runs)
 ORDER BY run, environment"""
# CROSS, so that the texts are gone through newest first, and no more of them than are shown.
_SEARCH: Final = """SELECT environment, run, item, json_extract(statuses, '$."' || item || '"'),
 snippet(said, 1, '', '', '…', 24)
 FROM said CROSS JOIN runs ON runs.id = said.rowid / :said JOIN details USING (id)
 WHERE said MATCH :text AND :environment IN ('', environment) ORDER BY said.rowid DESC LIMIT :limit"""


def entries(environment: str = "") -> tuple[Entry, ...]:
    """All runs, or an environment's, oldest first."""
    (rows,) = _ask({"environment": environment}, _ENTRIES)
    return tuple(Entry(*row) for row in rows)


def recent(environment: str = "", *, tests: int, runs: int) -> Recent:
    """Of each environment, or of one: so many `tests` of each item, and the details of so many `runs`."""
    parameters: dict[str, str | int] = {"environment": environment, "tests": tests, "runs": runs}
    loads, details = _ask(parameters, _LOADS, _DETAILS)
    return Recent(tuple(Load(*row) for row in loads), tuple(_detail(*row) for row in details))


def _detail(environment: str, run: str, seconds: str, statuses: str) -> Detail:
    times = {int(phase): each for phase, each in json.loads(seconds).items()}
    return Detail(environment, run, times, json.loads(statuses))


def search(text: str, environment: str = "", limit: int = 20) -> tuple[Hit, ...]:
    """The items that said all words of `text`, those of the run that was changed last first.

    `text` is never read as a query; nothing is found where it has no word.
    """
    query = quoted(text)
    if not query:
        return ()
    (rows,) = _ask({"text": query, "environment": environment, "limit": limit, "said": SAID_BY_A_RUN}, _SEARCH)
    return tuple(Hit(*row) for row in rows)


def quoted(text: str) -> str:
    """`text` as a query of FTS5: each word a string (https://www.sqlite.org/fts5.html, section 3.1)."""
    words = text.replace("\0", " ").encode("utf-8", "replace").decode().split()
    return " ".join('"' + word.replace('"', '""') + '"' for word in words)


def _ask(parameters: dict[str, str | int], *queries: str) -> list[list[tuple[Any, ...]]]:
    """What the index, brought up to date, answers each query; one process at a time. A damaged one is made anew, once.

    Raises RecordError where it cannot be written or made.
    """
    import sqlite3

    path = home().outputs / NAME
    try:
        path.parent.mkdir(exist_ok=True)
        with FileLock(f"{path}.lock"):
            try:
                return _answers(path, parameters, queries)
            except sqlite3.DatabaseError as error:
                if not _to_blame(error):
                    raise
                for suffix in ("", "-journal"):
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
                return _answers(path, parameters, queries)
    except (sqlite3.DatabaseError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS):
            # Who may only read the archive has an index made for this question alone.
            return _answers(MEMORY, parameters, queries)
        raise RecordError(f"{path}: the index cannot be brought up to date: {error}") from error


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
        if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise sqlite3.DatabaseError("of another schema")
            database.executescript(TABLES)
        _update(database, home().outputs)
    except BaseException:
        database.close()
        raise
    return database


def _update(database: sqlite3.Connection, outputs: Path) -> None:
    """Read the runs that are new or changed since, and forget those that are gone."""
    known = {(env, run): stamp for env, run, stamp in database.execute("SELECT environment, run, stamp FROM runs")}
    found = dict(_found(outputs, {key for key, stamp in known.items() if stamp == SEALED}))
    changed = [key for key, stamp in found.items() if known.get(key) != stamp]
    with database:
        for key in known.keys() - found.keys() | known.keys() & set(changed):
            _forget(database, key)
        for key in sorted(changed, key=lambda key: key[::-1]):
            _add(database, outputs, key, found[key])


def _found(outputs: Path, sealed: Collection[Key]) -> Iterator[tuple[Key, str]]:
    """Every run of the archive, and the time of change in nanoseconds and the size of its events.

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
            yield key, f"{seen.st_mtime_ns} {seen.st_size}"


def _folders(path: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as within:
        yield from (entry for entry in within if entry.is_dir())


def _forget(database: sqlite3.Connection, key: Key) -> None:
    (id,) = database.execute("SELECT id FROM runs WHERE environment = ? AND run = ?", key).fetchone()
    texts = (id * SAID_BY_A_RUN, (id + 1) * SAID_BY_A_RUN - 1)
    database.execute("DELETE FROM said WHERE rowid BETWEEN ? AND ?", texts)
    for table in ("details", "runs"):
        database.execute(f"DELETE FROM {table} WHERE id = ?", (id,))  # noqa: S608
    database.execute("DELETE FROM loads WHERE environment = ? AND run = ?", key)


def _add(database: sqlite3.Connection, outputs: Path, key: Key, stamp: str) -> None:
    run = Run(outputs.joinpath(*key))
    stamp = SEALED if is_sealed(run) else stamp
    try:
        seen = _read(run)
    except (RecordError, OSError, ValueError, KeyError, TypeError) as error:
        database.execute(
            "INSERT INTO runs (environment, run, stamp, fault) VALUES (?, ?, ?, ?)", (*key, stamp, str(error))
        )
        return
    statuses = {id: item.status for id, item in seen.items.items()}
    counts = ", ".join(f"{number} {status}" for status, number in Counter(statuses.values()).items())
    # Sign-off's own items wait, in a record that is closed: whether they were signed stands outside it.
    outcome = SEALED if (stamp, seen.outcome) == (SEALED, "pending") else seen.outcome
    plain = (seen.release, seen.started, outcome, counts)
    id = database.execute("INSERT INTO runs VALUES (NULL, ?, ?, ?, '', ?, ?, ?, ?)", (*key, stamp, *plain)).lastrowid
    assert id is not None
    details = (id, json.dumps(seen.seconds), json.dumps(statuses))
    database.execute("INSERT INTO details VALUES (?, ?, ?)", details)
    texts = enumerate(list(seen.items.items())[:SAID_BY_A_RUN], id * SAID_BY_A_RUN)
    database.executemany(
        "INSERT INTO said (rowid, item, text) VALUES (?, ?, ?)",
        ((number, item, each.said.encode("utf-8", "replace").decode()) for number, (item, each) in texts),
    )
    loads = ((item, seen.release, load.throughput, load.p95, load.errors) for item, load in seen.loads.items())
    database.executemany(
        "INSERT INTO loads (environment, run, item, release, throughput, p95, errors) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((*key, *load) for load in loads),
    )


def _read(run: Run) -> Overview:
    """From the manifest where it tells of all events there are, else from the events."""
    size = (run.folder / EVENTS).stat().st_size
    try:
        seen = OVERVIEW.validate_python(manifest.read(run)["predicate"]["overview"])
    except (RecordError, KeyError, ValueError):
        return overview.of(summarize(run), size)
    if (seen.version, seen.size) == (overview.VERSION, size):
        return seen
    return overview.of(summarize(run), size)
