"""What a step and an item came to, as the record keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from runbook_lib.step import Status

MIME = "application/vnd.runbook.result.v1+json"
"""The versioned bundle under which a notebook carries its results."""

_SEVERITY = (Status.FAILED, Status.ERROR, Status.PLANNED, Status.PENDING, Status.PASSED, Status.WAIVED, Status.SKIPPED)


@dataclass(frozen=True)
class KeptFile:
    """A file under the run's folder: its path from there, its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class StepResult:
    """How one step ended. `reason` says why it has no finding, `note` how it came; `seconds` is what it took."""

    name: str
    kind: str
    title: str
    arguments: Mapping[str, Any]
    status: Status
    observed: Any
    expected: Any
    reason: str
    remedy: str
    seconds: float
    tables: Sequence[Mapping[str, Any]] = ()
    evidence: Sequence[KeptFile] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Waived:
    """A decision to go on although the item did not pass; `expires` is its last day, as YYYY-MM-DD."""

    person: str
    reason: str
    expires: str
    in_force: bool

    def __str__(self) -> str:
        if self.in_force:
            return f"waived by {self.person} until {self.expires}: {self.reason}"
        return f"the waiver by {self.person} expired after {self.expires}: {self.reason}"


@dataclass(frozen=True)
class ItemResult:
    """How an item ended: the worst of its steps, unless that is waived."""

    id: str
    text: str
    steps: tuple[StepResult, ...]
    waiver: Waived | None = None

    @property
    def original(self) -> Status:
        """The status that weighs most among the steps'."""
        return worst(self.steps)

    @property
    def status(self) -> Status:
        """What counts for the gate."""
        return Status.WAIVED if self.waiver and self.waiver.in_force else self.original

    def data(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "status": self.status, "original": self.original}


def worst(steps: Sequence[StepResult]) -> Status:
    """The status that weighs most among the steps'."""
    return min((step.status for step in steps), key=_SEVERITY.index)
