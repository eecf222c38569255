"""An error tracker as its API shows it, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class TrackedEvent:
    """An event that the tracker holds: the id that its sender gave it, when it was received, and where it is shown."""

    id: str
    title: str
    received: str
    page: str


class Tracker(Protocol):
    """What every tracker can be asked."""

    @property
    def name(self) -> str:
        """What it is, and where."""
        ...

    def find(self, event_id: str) -> TrackedEvent | None:
        """The event with this id (32 hexadecimal digits), None where the tracker does not show it (yet).

        Raises
        ------
        Unanswerable
            It does not answer, refuses the token, or has no such project.
        """
        ...
