"""What is deployed, and what it keeps its data in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from runbook_lib.environment.model import Argv, Model, RelativePath
from runbook_lib.environment.secret import Secret


class Backend(Model):
    """The back end inside a release."""

    folder: str = "backend"
    requirements: str = "requirements.txt"
    installer: Literal["pip", "uv"] = "pip"
    migrations: Literal["alembic", "none"] = "alembic"
    test: Argv = ("-m", "pytest", "-v")
    minimum_passed: int = 82
    minimum_coverage: Annotated[float, Field(ge=0, le=100, description="per cent of lines")] = 80.0
    connection_probe: str = "from models.database import engine; print('DB OK' if engine.connect() else 'DB FAIL')"
    cache_probe: str = (
        "import os, redis; print('CACHE OK' if redis.from_url(os.environ['REDIS_URL']).ping() else 'CACHE FAIL')"
    )


class Frontend(Model):
    """The front end inside a release; its test command writes a JUnit report where ``{report}`` stands."""

    folder: str = "frontend"
    test: Argv = ("npm", "test", "--", "--run", "--reporter=junit", "--outputFile={report}")
    minimum_passed: int = 1
    build: Argv = ("npm", "run", "build")
    artefact: str = "dist"


class Application(Model):
    """What is deployed: a git repository, and the folder that holds one checkout for each release."""

    repository: RelativePath
    releases: RelativePath
    backend: Backend = Backend()
    frontend: Frontend | None = None


class Dotenv(Model):
    """The service's .env file and what must stand in it."""

    file: RelativePath
    values: dict[str, str] = Field(default_factory=dict, description="settings that phase 1 writes and checks")
    secrets: dict[str, int] = Field(
        default={"SECRET_KEY": 32, "JWT_SECRET_KEY": 32, "POSTGRES_PASSWORD": 24}, description="name and random bytes"
    )
    rotate: bool = Field(default=False, description="replace strong secrets too")


class Database(Model):
    """PostgreSQL, by the application's own URL."""

    url: Secret
    programs: RelativePath | None = Field(default=None, description="folder of pg_dump and pg_restore; PATH if absent")
    minimum_free_bytes: int = 200_000_000
    sequential_scan_bytes: int = Field(default=10_000_000, description="tables above this size should be read by index")
    log_file: RelativePath | None = Field(default=None, description="the server's log, read for slow queries")
    log_service: str | None = Field(default=None, description="the platform's service that has it, where no file does")


class Cache(Model):
    """Redis or Valkey."""

    url: Secret
