"""A phase whose items are only listed: what ``begin`` gives within :func:`planning`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from runbook_lib import checklist
from runbook_lib.environment import Environment
from runbook_lib.record.archive import Run
from runbook_lib.release import Release
from runbook_lib.step import Step


@dataclass(frozen=True)
class PlannedItem:
    """An item with its steps, bound and not run."""

    phase: checklist.Phase
    item: checklist.Item
    steps: tuple[Step, ...]


@dataclass
class PlannedPhase:
    """A phase whose items are only listed; nothing is touched."""

    definition: checklist.Phase
    env: Environment
    release: Release
    run: Run
    plan: list[PlannedItem]

    facts: Mapping[str, Any] = field(default_factory=dict)

    def item(self, id: str, *steps: Step) -> None:
        """List one item."""
        self.plan.append(PlannedItem(self.definition, self.definition.item(id), steps))

    def gate(self) -> None:
        """Nothing ran, so there is no verdict."""


_planning: ContextVar[list[PlannedItem] | None] = ContextVar("planning", default=None)


@contextmanager
def planning() -> Iterator[list[PlannedItem]]:
    """Within, ``begin`` gives phases that list their items into the yielded list."""
    plan: list[PlannedItem] = []
    token = _planning.set(plan)
    try:
        yield plan
    finally:
        _planning.reset(token)


def open_plan() -> list[PlannedItem] | None:
    """The plan that is being made, None where nothing is planned."""
    return _planning.get()
