"""The edge before the services: closed while something dangerous happens behind it, and opened again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runbook_lib import command
from runbook_lib.environment import Environment, MarkerEdge
from runbook_lib.errors import Unanswerable, Waiting

COMMAND_SECONDS = 120.0
_MARKER_MODE = 0o644
"""The edge may run as another user, who has to see the file."""


class Edge(Protocol):
    """What every edge does; doing it twice does no harm. Each method raises Unanswerable where it cannot."""

    def close(self) -> None:
        """Let nobody in who does not carry the bypass."""
        ...

    def open(self) -> None:
        """Let everybody in."""
        ...


@dataclass(frozen=True)
class Marker:
    """Closed while a file exists."""

    file: Path

    def close(self) -> None:
        """Write the file."""
        try:
            self.file.write_text("While this file exists, the edge answers 503. The runbook's rollback wrote it.\n")
            self.file.chmod(_MARKER_MODE)
        except OSError as error:
            raise _refused(error) from error

    def open(self) -> None:
        """Remove the file."""
        try:
            self.file.unlink(missing_ok=True)
        except OSError as error:
            raise _refused(error) from error


@dataclass(frozen=True)
class Commands:
    """Closed and opened by programs of the edge's own."""

    closing: Sequence[str]
    opening: Sequence[str]

    def close(self) -> None:
        """Run ``edge.close``."""
        _run(self.closing, "edge.close")

    def open(self) -> None:
        """Run ``edge.open``."""
        _run(self.opening, "edge.open")


def connect(env: Environment) -> Edge:
    """The edge that the environment declares.

    Raises
    ------
    Waiting
        It declares none, so that a person must stop and open the traffic.
    """
    if env.edge is None:
        raise Waiting(
            f"{env.name}.toml declares no [edge]: a person stops and opens the traffic",
            remedy="do it at the load balancer or the DNS; declare [edge], and the runbook does it next time",
        )
    if isinstance(env.edge, MarkerEdge):
        return Marker(env.edge.file)
    return Commands(env.edge.close, env.edge.open)


def _run(argv: Sequence[str], setting: str) -> None:
    completed = command.run(argv, timeout=COMMAND_SECONDS)
    if not completed.ok:
        raise Unanswerable(
            f"{setting} ended with {completed.returncode}: {completed.tail(3)}", remedy=f"run {argv[0]} by hand"
        )


def _refused(error: OSError) -> Unanswerable:
    return Unanswerable(
        f"{error.filename}: {error.strerror}", remedy="correct edge.file, or who may write there; or do it by hand"
    )
