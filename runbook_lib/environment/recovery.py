"""Backups: where, when, and how fast they must bring the service back."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
)

from runbook_lib.environment.model import Argv, Model, RelativePath
from runbook_lib.environment.secret import Secret


class SupervisorSchedule(Model):
    """A daily backup by a program of supervisord, whose ``[include]`` reads `folder`."""

    kind: Literal["supervisor"]
    socket: RelativePath | None = Field(default=None, description="where supervisord is; by default the platform's")
    folder: RelativePath
    at: time = Field(default=time(3), description="time of day on this machine")


class SystemdSchedule(Model):
    """A daily backup by a systemd timer."""

    kind: Literal["systemd"]
    folder: RelativePath = Path("/etc/systemd/system")
    at: time = Field(default=time(3), description="time of day on this machine")
    user: str = "root"


class CronSchedule(Model):
    """A daily backup by a file of cron's own folder, never by a user's crontab."""

    kind: Literal["cron"]
    folder: RelativePath = Path("/etc/cron.d")
    at: time = Field(default=time(3), description="time of day on this machine")
    user: str = "root"


class Backup(Model):
    """Where dumps lie: outside the record; when they are taken, and how long they are kept."""

    folder: RelativePath
    schedule: Annotated[
        SupervisorSchedule | SystemdSchedule | CronSchedule | None, Field(default=None, discriminator="kind")
    ]
    retention_days: Annotated[int, Field(ge=1)] = 30
    scratch: Secret | None = Field(
        default=None,
        description="URL of a database that is made for a restore test and dropped after it; must not exist",
    )


class Recovery(Model):
    """How soon the service must be back after a disaster, and how much of its data may be lost."""

    rto_seconds: Annotated[float | None, Field(gt=0, description="recovery time objective")] = None
    rpo_seconds: Annotated[float | None, Field(gt=0, description="recovery point objective")] = None
    operators: tuple[str, ...] = Field(default=(), description="roles of the contacts who may restore")
    serve: Argv = Field(
        default=("-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", "{port}"),
        description="arguments to the release's Python that start the back end for a trial",
    )
    settings: dict[str, str] = Field(
        default={"REDIS_URL": "", "SENTRY_DSN": ""},
        description="replace those of .env in a trial, which uses nothing live",
    )
    start_seconds: float = 60.0
