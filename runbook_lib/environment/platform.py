"""How services are run and watched."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from pydantic import (
    Field,
    field_validator,
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
    """Services run by Docker Compose; the engine is the one that DOCKER_HOST or the docker context names."""

    kind: Literal["compose"]
    file: str = Field(default="docker-compose.prod.yml", description="relative to the release's tree")
    project: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Compose's name for all of it")
    env_file: RelativePath | None = Field(
        default=None, description="fills in ${VAR}; by default the environment's .env"
    )
    services: tuple[str, ...]
    settle_seconds: float = 10.0
    start_seconds: float = Field(default=120.0, description="until every service is up, and healthy where it can be")
    build_seconds: float = 1800.0
    accepted_risks: dict[str, str] = Field(
        default_factory=dict, description="why a risk of the compose file is borne, by its name, as 'redis.digest'"
    )

    @field_validator("file")
    @classmethod
    def _inside_the_tree(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError(f"'{value}' must be a path inside the release's tree, such as docker-compose.prod.yml")
        return value
