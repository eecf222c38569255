"""What must hold, how it is measured, how long it may take, and what is tolerated."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import (
    Field,
    field_validator,
)

from runbook_lib.environment.model import Model
from runbook_lib.environment.service import Request


class Objectives(Model):
    """What the service must hold."""

    requests_per_second: float = 500.0
    p95_milliseconds: float = 200.0
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    slow_query_milliseconds: float = 1000.0
    connection_share: float = Field(default=0.8, description="of max_connections in use under load")


class Load(Model):
    """The load test of phase 11 and its short form on staging."""

    engine: Literal["k6"] = "k6"
    requests: tuple[Request, ...] = (Request(path="/health"),)
    duration_seconds: float = 30.0
    ramp_seconds: float = 3.0
    staging_duration_seconds: float = 8.0
    response_samples: int = Field(default=50, description="requests per endpoint for 9.2.4 and 11.2")


class SuccessCriteria(Model):
    """How the success criteria are measured."""

    window_seconds: float = 10.0
    requests_per_second: float = 20.0
    critical_patterns: tuple[str, ...] = ("CRITICAL", "Traceback (most recent call last)", "FATAL", "panic:")


class Limits(Model):
    """Time limits in seconds."""

    cell: float = 900.0
    install: float = 900.0
    tests: float = 900.0
    build: float = 900.0
    migration: float = 600.0
    backup: float = 600.0
    audit: float = 300.0
    request: float = 10.0
    browser: float = 90.0


class Waiver(Model):
    """Somebody's decision to go on although an item did not pass; after its last day the item counts again."""

    item: str
    statuses: tuple[Literal["failed", "error"], ...] = Field(
        default=("failed", "error"), min_length=1, description="what is tolerated: a fault found, or no answer"
    )
    reason: str = Field(min_length=1)
    person: str = Field(min_length=1, description="who decided")
    expires: date = Field(description="the last day, in UTC")

    @field_validator("item")
    @classmethod
    def _is_an_item(cls, id: str) -> str:
        from runbook_lib import checklist

        if id not in {item.id for phase in checklist.phases() for item in phase.items}:
            raise ValueError("the checklist has no such item; 'runbook plan' lists them")
        return id
