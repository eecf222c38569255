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
    """How one step ended. `reason` says why it has no finding; `seconds` is what it took."""

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


@dataclass(frozen=True)
class ItemResult:
    """How an item ended: the worst of its steps."""

    id: str
    text: str
    steps: tuple[StepResult, ...]

    @property
    def status(self) -> Status:
        """The status that weighs most among the steps'."""
        return min((step.status for step in self.steps), key=_SEVERITY.index)

    def data(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "status": self.status}
