"""A run as its events tell it: what each phase and item came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbook_lib import checklist
from runbook_lib.errors import ConfigurationError, RecordError
from runbook_lib.record.archive import Run
from runbook_lib.record.events import Event
from runbook_lib.step import Kind, Status

ATTESTED = "person attested"
WAIVED = "item waived"


@dataclass(frozen=True)
class PhaseSummary:
    """One phase: `outcome` is passed, failed, interrupted, …, or running where nothing says that it ended."""

    phase: checklist.Phase
    outcome: str
    reason: str
    counts: Mapping[Status, int]
    seconds: float


@dataclass(frozen=True)
class RunSummary:
    """One run: how it was opened, its phases in the order they started, the last result of each item."""

    run: Run
    opened: Mapping[str, Any]
    started: str
    phases: tuple[PhaseSummary, ...]
    items: Mapping[str, Mapping[str, Any]]
    unfinished: tuple[str, ...]
    closed: str | None
    sealed: bool

    @property
    def counts(self) -> Counter[Status]:
        """How many items have each status."""
        return Counter(Status(item["status"]) for item in self.items.values())

    @property
    def outcome(self) -> str:
        """How the run was closed, or ``open``."""
        return self.closed or "open"


def summarize(run: Run) -> RunSummary:
    """Fold the run's events. Raises RecordError where they are damaged."""
    events = run.events.read()
    if not events or events[0].name != "run opened":
        raise RecordError(f"{run.events.path}: does not begin with the run's opening; it broke off, or was damaged")
    try:
        return _fold(run, events)
    except (KeyError, TypeError, ValueError, AttributeError, ConfigurationError) as error:
        raise RecordError(f"{run.events.path}: holds an event that this version of the kit cannot read") from error


def _fold(run: Run, events: tuple[Event, ...]) -> RunSummary:
    opened: dict[str, Any] = {}
    items: dict[str, Any] = {}
    phases: dict[int, dict[str, Any]] = {}
    open_steps: dict[tuple[str, str], str] = {}
    started, closed, sealed = "", None, False
    for event in events:
        data = event.data
        match event.name:
            case "run opened":
                opened, started = data, event.time
            case "phase started":
                phases.pop(data["phase"], None)
                phases[data["phase"]] = {"started": event.time, "outcome": "running", "reason": "", "ended": event.time}
            case "phase ended":
                phases[data["phase"]] |= {"outcome": data["outcome"], "reason": data["reason"], "ended": event.time}
            case "step started":
                open_steps[data["item"], data["step"]] = data["title"]
            case "step finished":
                open_steps.pop((data["item"], data["step"]), None)
            case "item finished":
                items[data["id"]] = data
            case "person attested":
                _settle(items, data["item"], Status.PENDING, Status.PASSED, attested={**data, "time": event.time})
            case "item waived":
                decision = {"person": data["person"], "reason": data["reason"], "expires": data["expires"]}
                _settle(items, data["item"], data["status"], Status.WAIVED, waiver={**decision, "in_force": True})
            case "run closed":
                closed = data["outcome"]
            case "run resumed":
                closed = None
            case "run sealed":
                sealed = True
    return RunSummary(
        run=run,
        opened=opened,
        started=started,
        phases=tuple(_phase(number, row, items) for number, row in phases.items()),
        items=items,
        unfinished=tuple(f"{item}: {title}" for (item, _), title in open_steps.items()),
        closed=closed,
        sealed=sealed,
    )


def has_acted(events: Iterable[Event], phase: int) -> bool:
    """Whether by `events` an action of `phase` has run, even half, and was not only planned."""
    started: set[tuple[str, int]] = set()
    for event in events:
        data = event.data
        if event.name not in ("step started", "step finished") or data["phase"] != phase or data["kind"] != Kind.ACTION:
            continue
        step = (data["item"], data["step"])
        if event.name == "step finished" and data["status"] == Status.PLANNED:
            started.discard(step)
        elif event.name == "step finished" or step in started:
            # Begun once more without an end: it was cut off.
            return True
        else:
            started.add(step)
    return bool(started)


def only_planned(events: Sequence[Event], phase: int) -> bool:
    """Whether by `events` actions of `phase` were planned, and none was carried out."""
    finished = (event.data for event in events if event.name == "step finished")
    planned = any(data["phase"] == phase and data["status"] == Status.PLANNED for data in finished)
    return planned and not has_acted(events, phase)


def rehearsed(summary: RunSummary) -> checklist.Phase | None:
    """The rollback, where it was only planned beside other phases: it then says nothing of the run."""
    rollback = checklist.phase(checklist.ROLLBACK)
    alone = {phase.phase.number for phase in summary.phases} <= {rollback.number}
    return rollback if not alone and only_planned(summary.run.events.read(), rollback.number) else None


def _settle(items: dict[str, Any], id: str, tolerated: str, status: Status, **word: Any) -> None:
    """A person's word, given after the item ended, changes what it counts as; what it was stays beside it."""
    if id in items and items[id]["original"] == tolerated:
        items[id] = {**items[id], "status": status, **word}


def _phase(number: int, row: Mapping[str, Any], items: Mapping[str, Any]) -> PhaseSummary:
    phase = checklist.phase(number)
    seconds = (datetime.fromisoformat(row["ended"]) - datetime.fromisoformat(row["started"])).total_seconds()
    return PhaseSummary(phase, row["outcome"], row["reason"], count(phase, items), seconds)


def count(phase: checklist.Phase, items: Mapping[str, Any]) -> Counter[Status]:
    """How many of the phase's items have each status."""
    return Counter(Status(item["status"]) for item in of_phase(phase, items))


def of_phase(phase: checklist.Phase, items: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The phase's items in the checklist's order, then those of another version's checklist that this one lacks."""
    known = {item.id for item in phase.items}
    other = [item for id, item in items.items() if item["phase"] == phase.number and id not in known]
    return (*(items[item.id] for item in phase.items if item.id in items), *other)
