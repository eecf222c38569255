"""What a pass through a phase that was broken off has left behind, for the pass that goes on with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runbook_lib.checklist import ROLLBACK
from runbook_lib.record.events import Event
from runbook_lib.record.result import KeptFile
from runbook_lib.step import Kind, Status

RESUMED = "run resumed"
Key = tuple[str, int, str]
"""Of an action: its item, its step's number, its name."""


@dataclass(frozen=True)
class Done:
    """An action that passed: when it ended, and what the record holds of it."""

    time: str
    result: dict[str, Any]

    def __str__(self) -> str:
        return f"done at {self.time} by an earlier pass of this run"

    @property
    def kept(self) -> dict[str, Any]:
        """Of the result what still tells of the action now that it is not repeated."""
        names = ("arguments", "observed", "expected", "facts")
        files = [KeptFile(**file) for file in self.result["evidence"]]
        return {**{name: self.result[name] for name in names}, "evidence": files}


@dataclass(frozen=True)
class Unknown:
    """An action that began, and of which nobody recorded an end."""

    time: str

    def __str__(self) -> str:
        return f"unknown: an earlier pass of this run began it at {self.time}, and nothing says how it ended"


@dataclass
class Earlier:
    """The actions of an earlier pass, by item, step and name; the first cell that comes to one takes it."""

    actions: dict[Key, Done | Unknown] = field(default_factory=dict)

    def take(self, item: str, step: int, name: str) -> Done | Unknown | None:
        """What became of that action; None where it has not run, or not to a good end."""
        return self.actions.pop((item, step, name), None)


def of_phase(events: Iterable[Event], phase: int) -> Earlier:
    """What the pass through `phase` that was broken off has left, where the run was resumed to go on with it.

    Nothing where the phase had passed, or where it is simply run once more: then all of it is meant to be done anew.
    Nor of a rollback, which trusts nothing that somebody may have opened or started by hand in between.
    """
    if phase == ROLLBACK:
        return Earlier()
    actions: dict[Key, Done | Unknown] = {}
    before: dict[Key, Done | Unknown | None] = {}
    resumed = planned = False
    for event in events:
        data = event.data
        if event.name == RESUMED:
            resumed = phase in data["phases"]
        elif data.get("phase") != phase:
            continue
        elif event.name == "phase started":
            planned = False
        elif event.name == "phase ended" and data["outcome"] == "passed" and not planned:
            actions.clear()
        elif event.name in ("step started", "step finished"):
            resumed = False
            if data["kind"] == Kind.ACTION:
                planned |= data.get("status") == Status.PLANNED
                _note(actions, before, event)
    return Earlier(actions) if resumed else Earlier()


def _note(actions: dict[Key, Done | Unknown], before: dict[Key, Done | Unknown | None], event: Event) -> None:
    """Note what an event says of an action; one that was only planned leaves what is known of it as it was."""
    data = event.data
    key = (data["item"], data["step"], data["name"])
    known = actions.pop(key, None)
    if event.name == "step started":
        before[key] = known
        actions[key] = Unknown(event.time)
        return
    match data["status"]:
        case Status.PASSED:
            actions[key] = Done(event.time, data)
        case Status.ERROR:
            # Interrupted, or over its time: what it had done by then nobody knows.
            actions[key] = Unknown(event.time)
        case Status.PLANNED:
            if (earlier := before.get(key)) is not None:
                actions[key] = earlier
