"""How services are run and watched."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from runbook_lib.environment.model import Model, RelativePath


class SupervisorPlatform(Model):
    """Services run by a supervisor daemon on this machine, each release an archive with a SHA-256."""

    kind: Literal["supervisor"]
    socket: RelativePath
    folder: RelativePath = Field(description="holds images/, deployments/ and the current link")
    services: tuple[str, ...]
    settle_seconds: float = 3.0
    start_seconds: float = 60.0


class ComposePlatform(Model):
    """Services run by Docker Compose."""

    kind: Literal["compose"]
    file: RelativePath
    services: tuple[str, ...]
    settle_seconds: float = 10.0
    start_seconds: float = 120.0
