"""What runs a stack's services. What is beside them (sink, error tracker, schedules) is supervisord's in any case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from runbook_lib.sandbox.daemon import Program
from runbook_lib.sandbox.layout import Ports, Stack


class Hosting(Protocol):
    """What every hosting does; each method may raise ConfigurationError or Unanswerable, and can be repeated."""

    @property
    def name(self) -> str:
        """The stack with production's settings; the other one is ``<name>-staging``."""
        ...

    @property
    def waived(self) -> Mapping[str, str]:
        """Items that may be in error besides those of every sandbox, and why."""
        ...

    def create(self, root: Path) -> None:
        """Make what both stacks need before either can start."""
        ...

    def programs(self, stack: Stack, ports: Ports) -> tuple[Program, ...]:
        """Those services that supervisord runs."""
        ...

    def start_foundation(self, stack: Stack, ports: Ports) -> None:
        """Have database, cache and edge running."""
        ...

    def start_release(self, stack: Stack) -> None:
        """Have the deployed release running on them."""
        ...

    def stop(self, stack: Stack) -> None:
        """Stop what supervisord does not, and keep what it holds."""
        ...

    def destroy(self, stack: Stack) -> None:
        """Remove what lies outside the sandbox's folder."""
        ...

    def platform(self, stack: Stack) -> str:
        """The lines of the environment's ``[platform]``."""
        ...

    def database_log(self, stack: Stack) -> str:
        """The line of the environment's ``[database]`` that says where the server logs."""
        ...
