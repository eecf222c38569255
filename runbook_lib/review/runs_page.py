"""All runs on one page, ``outputs/index.html``: one HTML file that needs nothing else, derived and deletable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import quote

from runbook_lib import checklist
from runbook_lib.card import ICONS
from runbook_lib.errors import ConfigurationError
from runbook_lib.home import home
from runbook_lib.pages import standalone
from runbook_lib.record.archive import write_atomically
from runbook_lib.record.seal import UNTOLD
from runbook_lib.review import lookup, trend
from runbook_lib.review.index import SEALED
from runbook_lib.review.lookup import Entry
from runbook_lib.review.trend import BEFORE, RECENT, Point

NAME: Final = "index.html"
ON_A_PAGE: Final = 50
LISTED: Final = 10_000
"""So many of the newest runs are listed, so that the page stays under 2 MB."""
WIDTH: Final = 600
HEIGHT: Final = 120
"""Units of a drawn line's plane."""


@dataclass(frozen=True)
class Line:
    """A number of an item's load tests over the runs: `dots` are places on the plane, each with what stands there."""

    title: str
    dots: tuple[tuple[float, float, str], ...]
    highest: str
    releases: tuple[tuple[float, str], ...]
    """Where a release was tested first, and which."""

    @property
    def drawn(self) -> str:
        """As SVG takes the points of a line."""
        return " ".join(f"{x},{y}" for x, y, _ in self.dots)


@dataclass(frozen=True)
class Tested:
    """An item's newest load tests, and their numbers as lines."""

    item: str
    points: tuple[Point, ...]
    lines: tuple[Line, ...]


def write() -> Path:
    """Write the page from the index. Raises RecordError where the index cannot be made, OSError where it is no file."""
    path = home().outputs / NAME
    write_atomically(path, html().encode("utf-8", "replace"))
    return path


def refresh() -> str:
    """Write the page after something has happened; why that failed, as a sentence, for it may not stop anything."""
    try:
        write()
    except Exception as error:  # the record is whole without it
        return f"{NAME} could not be written ({type(error).__name__}: {error}); to try again: runbook index"
    return ""


def html() -> str:
    """The page; whatever an environment's runs say is text in it, never markup."""
    entries = lookup.entries()[::-1]
    environments = sorted({entry.environment for entry in entries})
    rows = [_row(entry, environments) for entry in entries[:LISTED]]
    return standalone(
        "runs",
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        total=len(entries),
        environments=environments,
        outcomes=sorted({row[4] for row in rows}),
        rows=rows,
        newest=rows[:ON_A_PAGE],
        on_a_page=ON_A_PAGE,
        trends=[(each, _tested(each.points)) for each in trend.of_each(environments)],
        icons=ICONS,
        address=_address,
        change=trend.change,
        title=_title,
        recent=RECENT,
        before=BEFORE,
        width=WIDTH,
        height=HEIGHT,
    )


def _row(entry: Entry, environments: Sequence[str]) -> tuple[int, str, str, str, str, str]:
    """A run as the page's script takes it: the environment by its place in the list, for short."""
    outcome = SEALED if entry.sealed and entry.outcome in UNTOLD else entry.outcome
    return (
        environments.index(entry.environment),
        entry.run,
        entry.release,
        entry.started[:16].replace("T", " "),
        "damaged" if entry.fault else outcome,
        "runbook verify tells more" if entry.fault else entry.counts,
    )


def _address(environment: str, run: str) -> str:
    """Of a run's folder, from the page."""
    return f"./{quote(environment, safe='')}/{quote(run, safe='')}/"


def _title(number: int) -> str:
    """A phase by number and title; the number alone where this version of the checklist does not know it."""
    try:
        return f"{number} {checklist.phase(number).title}"
    except ConfigurationError:
        return str(number)


def _tested(points: Sequence[Point]) -> list[Tested]:
    by_item: dict[str, list[Point]] = {}
    for point in points:
        by_item.setdefault(point.load.item, []).append(point)
    return [Tested(item, tuple(each), _lines(each)) for item, each in sorted(by_item.items())]


def _lines(points: Sequence[Point]) -> tuple[Line, ...]:
    return (
        _line("requests a second", points, lambda point: point.load.throughput, "{:,.1f}"),
        _line("p95 in ms", points, lambda point: point.load.p95, "{:,.1f}"),
        _line("share of errors", points, lambda point: point.load.errors, "{:.2%}"),
    )


def _line(title: str, points: Sequence[Point], number: Callable[[Point], float], form: str) -> Line:
    highest = max(number(point) for point in points)
    step = WIDTH / max(1, len(points) - 1)
    dots = tuple(
        (
            round(place * step, 1),
            round(HEIGHT * (1 - number(point) / (highest or 1.0)), 1),
            f"{point.load.run}, {point.load.release}: {form.format(number(point))}",
        )
        for place, point in enumerate(points)
    )
    changes = tuple(
        (dot[0], after.load.release)
        for (before, after), dot in zip(pairwise(points), dots[1:], strict=True)
        if before.load.release != after.load.release
    )
    return Line(title, dots, form.format(highest), changes)
