"""What the index of all runs tells: lists of runs, what items said, load tests and details."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Final

from runbook_lib.home import home
from runbook_lib.record.archive import Run
from runbook_lib.review import index

CHANGED: Final = "(its record was changed after it was closed: runbook verify tells more)"


@dataclass(frozen=True)
class Entry:
    """A run in the index, or the `fault` that keeps it from being read; `counts` says how many items have a status."""

    environment: str
    run: str
    release: str
    started: str
    outcome: str
    sealed: bool
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
class Listed:
    """A run as a list shows it: the status of each item by its id, or the `fault` that keeps it from being read."""

    statuses: Mapping[str, str]
    sealed: bool
    environment: str
    run: str
    release: str
    started: str
    outcome: str
    commit: str
    operator: str
    way: str
    fault: str


@dataclass(frozen=True)
class Newest:
    """The newest runs, oldest first, and how many there are of each environment that has any."""

    runs: tuple[Listed, ...]
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Recent:
    """The newest load tests of each item, and the details of the newest runs, of each environment; oldest first."""

    loads: tuple[Load, ...]
    details: tuple[Detail, ...]


_ENTRIES: Final = """SELECT environment, run, release, started, outcome, stamp = 'sealed', counts, fault
 FROM runs WHERE :environment IN ('', environment) ORDER BY run, environment"""
# Chosen before anything is joined, for what is sorted is carried along.
_NEWEST: Final = """SELECT coalesce(statuses, '{}'), stamp = 'sealed', environment, run, release, started, outcome,
 coalesce("commit", ''), coalesce(operator, ''), coalesce(way, ''), fault
 FROM (SELECT id FROM runs WHERE :environment IN ('', environment) ORDER BY run DESC, environment DESC LIMIT :limit)
 JOIN runs USING (id) LEFT JOIN details USING (id) ORDER BY run, environment"""
_TOTALS: Final = "SELECT environment, count(*) FROM runs GROUP BY environment ORDER BY environment"
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
_SEARCH: Final = """SELECT environment, run, statuses, said.rowid % :said
 FROM said CROSS JOIN runs ON runs.id = said.rowid / :said JOIN details USING (id)
 WHERE said MATCH :text AND :environment IN ('', environment) ORDER BY said.rowid DESC LIMIT :limit"""
_SNIPPETS: Final = "SELECT rowid, snippet(said, 0, '', '', '…', 24) FROM said WHERE said MATCH ?"


def entries(environment: str = "") -> tuple[Entry, ...]:
    """All runs, or an environment's, oldest first."""
    (rows,) = index.ask({"environment": environment}, _ENTRIES)
    return tuple(Entry(*row) for row in rows)


def newest(environment: str = "", *, limit: int) -> Newest:
    """The newest runs, of all environments or of one, and how many there are in each."""
    rows, totals = index.ask({"environment": environment, "limit": limit}, _NEWEST, _TOTALS)
    return Newest(tuple(_listed(*row) for row in rows), dict(totals))


def _listed(statuses: str, sealed: int, *plain: str) -> Listed:
    return Listed(json.loads(statuses), bool(sealed), *plain)


def recent(environment: str = "", *, tests: int, runs: int) -> Recent:
    """Of each environment, or of one: so many `tests` of each item, and the details of so many `runs`."""
    parameters: dict[str, str | int] = {"environment": environment, "tests": tests, "runs": runs}
    loads, details = index.ask(parameters, _LOADS, _DETAILS)
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
    parameters: dict[str, str | int] = {"text": query, "environment": environment, "limit": limit}
    (rows,) = index.ask({**parameters, "said": index.SAID_BY_A_RUN}, _SEARCH)
    texts = cache(_texts)
    found = [(where, run, *_item(statuses, place)) for where, run, statuses, place in rows]
    snippets = _snippets([texts(where, run).get(item, "") for where, run, item, _ in found], query)
    return tuple(Hit(*each, snippets.get(number, CHANGED)) for number, each in enumerate(found))


def _item(statuses: str, place: int) -> tuple[str, str]:
    """The item whose words stand at that place of its run, and its status."""
    items: dict[str, str] = json.loads(statuses)
    return list(items.items())[place]


def _texts(environment: str, run: str) -> Mapping[str, str]:
    """What each item of a run said, by its id; nothing where the record cannot be read any more."""
    try:
        seen = index.read(Run(home().outputs / environment / run))
    except index.UNREADABLE:
        return {}
    return {id: index.encodable(item.said) for id, item in seen.items.items()}


def _snippets(texts: Sequence[str], query: str) -> dict[int, str]:
    """The words around those of the query, by the place of the text; nothing of one that holds them no more."""
    import sqlite3

    with closing(sqlite3.connect(index.MEMORY)) as database:
        database.execute("CREATE VIRTUAL TABLE said USING fts5(text)")
        database.executemany("INSERT INTO said (rowid, text) VALUES (?, ?)", enumerate(texts))
        return dict(database.execute(_SNIPPETS, (query,)))


def quoted(text: str) -> str:
    """`text` as a query of FTS5: each word a string (https://www.sqlite.org/fts5.html, section 3.1)."""
    words = index.encodable(text.replace("\0", " ")).split()
    return " ".join('"' + word.replace('"', '""') + '"' for word in words)
