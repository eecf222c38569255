"""How services are run and watched, whatever runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from runbook_lib.command import Completed
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release


class HalfDeployed(Unanswerable):
    """The services do not agree on a release: a deployment was cut off between two of them."""


@dataclass(frozen=True)
class Service:
    """One service as the platform sees it now."""

    name: str
    state: str
    up: bool
    healthy: bool | None
    started: datetime | None
    restarts: int
    detail: str = ""

    @property
    def well(self) -> bool:
        """Whether it is up, and healthy where that is known."""
        return self.up and self.healthy is not False


@dataclass(frozen=True)
class Image:
    """A built, deployable thing: `digest` is ``sha256:…``, `size` in bytes, `seconds` what the build took."""

    service: str
    digest: str
    size: int
    seconds: float


@dataclass(frozen=True)
class LogKeeping:
    """How the platform keeps a service's log.

    Parameters
    ----------
    driver:
        Where it goes: ``file``, ``syslog``, ``none``, or the platform's own name for it.
    file_bytes:
        The size at which a file is rotated; None where the platform never does so.
    files:
        How many rotated files are kept beside the one that is written.
    """

    driver: str
    file_bytes: int | None
    files: int

    @property
    def kept_bytes(self) -> int | None:
        """How much is kept at least once rotation has begun, None where nothing is ever removed."""
        return None if self.file_bytes is None else self.file_bytes * self.files


class Platform(Protocol):
    """What every platform does. Each method raises Unanswerable where the platform does not answer."""

    def services(self) -> tuple[Service, ...]:
        """Every declared service, also those that are not there."""
        ...

    def build(self, release: Release) -> tuple[Image, ...]:
        """Build one image for each service that is built from source."""
        ...

    def tag(self, release: Release, images: Sequence[Image]) -> None:
        """Give each image the release's tag."""
        ...

    def tagged(self, release: Release) -> tuple[Image, ...]:
        """What the release's tag resolves to now; empty where it names nothing."""
        ...

    def deployed(self) -> str | None:
        """The tag of the release that is deployed now, None where nothing is; raises HalfDeployed where several are."""
        ...

    def up(self, release: Release) -> None:
        """Start every service on the release's tagged images; returns once all are up or raises Unanswerable.

        Nothing of what runs is stopped before every image of the release is at hand.
        """
        ...

    def down(self) -> None:
        """Stop the application's services."""
        ...

    def execute(self, service: str, argv: Sequence[str], *, timeout: float = 60.0) -> Completed:
        """Run a program inside a service: its folder, its interpreter (``python``), its environment."""
        ...

    def logs(self, service: str, *, since: datetime | None = None) -> str:
        """What the service has logged since then, or as far back as it is kept."""
        ...

    def log_files(self, service: str) -> tuple[Path, ...]:
        """Where the service's log lies on this machine; empty where the platform keeps it elsewhere."""
        ...

    def log_keeping(self, service: str) -> LogKeeping:
        """How the service's log is kept, by the platform's own configuration."""
        ...

    def environment(self, service: str) -> dict[str, str]:
        """The environment variables of the service's running process: secrets among them."""
        ...
