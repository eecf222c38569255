"""The checklist: phases and their items, read from ``checklist.toml`` beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runbook_lib.errors import ConfigurationError
from runbook_lib.step import Kind

SIGN_OFF = 17
ROLLBACK = 90


@dataclass(frozen=True)
class Item:
    """A line of the checklist; `role` is whose signature it is, empty where none is asked for."""

    id: str
    text: str
    kind: Kind
    role: str = ""


@dataclass(frozen=True)
class Phase:
    """A section of the checklist, and the notebook that carries it out."""

    number: int
    title: str
    notebook: str
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """The notebook's name without its suffix, such as ``08_production_deployment``."""
        return Path(self.notebook).stem

    def item(self, id: str) -> Item:
        """The item called `id`. Raises ConfigurationError where this phase has none such."""
        for item in self.items:
            if item.id == id:
                return item
        raise ConfigurationError(
            f"Phase {self.number} has no item '{id}'; it has {', '.join(item.id for item in self.items)}."
        )


@cache
def phases() -> tuple[Phase, ...]:
    """Every phase in order, rollback last."""
    rows = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["phase"]
    return tuple(
        Phase(
            row["number"],
            row["title"],
            row["notebook"],
            tuple(Item(item["id"], item["text"], Kind(item["kind"]), item.get("role", "")) for item in row["item"]),
        )
        for row in rows
    )


@cache
def items() -> tuple[Item, ...]:
    """Every item of every phase, in order."""
    return tuple(item for phase in phases() for item in phase.items)


def forward() -> tuple[Phase, ...]:
    """The phases of a deployment: all but rollback."""
    return tuple(phase for phase in phases() if phase.number != ROLLBACK)


def phase(number: int) -> Phase:
    """The phase with this number. Raises ConfigurationError, which lists those that exist."""
    for candidate in phases():
        if candidate.number == number:
            return candidate
    known = ", ".join(str(candidate.number) for candidate in phases())
    raise ConfigurationError(f"There is no phase {number}; the phases are {known}.")
