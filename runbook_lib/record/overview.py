"""What lists and trends over many runs need of one run, small enough to be kept in its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from runbook_lib.record.summary import RunSummary

VERSION: Final = 2
"""Of the form below; an overview of another version is made anew from the run's events."""
LOAD: Final = "load"
"""Under which name a load test's numbers stand among the facts of its step."""
_SPOKEN: Final = ("passed", "failed")
"""How a phase or a step ended whose time or numbers say something."""
LONGEST: Final = 2_000
"""How many characters of what an item said are kept."""


@dataclass(frozen=True)
class Item:
    """What an item counts as, and what its steps said."""

    status: str
    said: str


@dataclass(frozen=True, config=ConfigDict(allow_inf_nan=False))
class Load:
    """A load test: requests a second sustained, p95 in milliseconds, share of errors from 0 to 1."""

    throughput: float
    p95: float
    errors: float


@dataclass(frozen=True)
class Overview:
    """One run: `size` is that of events.jsonl in bytes when it was made.

    `seconds` are by the phase's number, of phases whose gate spoke; `items` and `loads` are by the item's id.
    """

    version: int
    size: int
    release: str
    commit: str
    operator: str
    way: str
    started: str
    outcome: str
    seconds: dict[int, float]
    items: dict[str, Item]
    loads: dict[str, Load]


OVERVIEW: Final[TypeAdapter[Overview]] = TypeAdapter(Overview)


def of(summary: RunSummary, size: int) -> Overview:
    """The overview of a run whose events.jsonl has `size` bytes.

    Raises pydantic's ValidationError, a ValueError, where the summary holds what no run can say.
    """
    return OVERVIEW.validate_python(
        {
            "version": VERSION,
            "size": size,
            "release": summary.opened.get("release", ""),
            **{name: summary.opened.get(name, "") for name in ("commit", "operator", "way")},
            "started": summary.started,
            "outcome": summary.outcome,
            "seconds": {each.phase.number: each.seconds for each in summary.phases if each.outcome in _SPOKEN},
            "items": {id: Item(str(item["status"]), _said(item)) for id, item in summary.items.items()},
            "loads": {id: load for id, item in summary.items.items() if (load := _load(item)) is not None},
        }
    )


def _said(item: Mapping[str, Any]) -> str:
    """The item's text, what persons vouched for, and what its steps saw; by lines, for each begins a word."""
    words = [str(item["text"])]
    for vouched in (item.get("attested"), item.get("waiver")):
        words += [str(vouched[name]) for name in ("person", "note", "reason") if vouched and vouched.get(name)]
    for step in item["steps"]:
        words += [str(step["title"]), *_lines(step["reason"]), *_lines(step["observed"])]
    return "\n".join(words)[:LONGEST]


def _lines(value: Any) -> Iterator[str]:
    """Every text in what was seen, and every number by its name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            plain = not isinstance(inner, Mapping | list | tuple)
            yield from (f"{name}: {inner}",) if plain else (str(name), *_lines(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _lines(inner)
    elif value not in (None, ""):
        yield str(value)


def _load(item: Mapping[str, Any]) -> Load | None:
    """The item's last load test that came to a verdict; an inconclusive one measured nothing."""
    for step in reversed(item["steps"]):
        fact = (step.get("facts") or {}).get(LOAD)
        if fact and step["status"] in _SPOKEN:
            try:
                return Load(throughput=fact["sustained"], p95=fact["p95"], errors=fact["errors"])
            except (KeyError, TypeError, ValueError):
                # Another version of the kit has written it.
                continue
    return None
