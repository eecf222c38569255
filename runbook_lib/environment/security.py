"""What the security phases expect."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
)

from runbook_lib.environment.model import Model, Port
from runbook_lib.environment.service import Request


def _upwards(ports: tuple[int, int]) -> tuple[int, int]:
    if ports[0] > ports[1]:
        raise ValueError("a range of ports goes from the lower to the higher")
    return ports


PortRange = Annotated[tuple[Port, Port], AfterValidator(_upwards)]


class RateLimit(Model):
    """The limit that 12.3 tests."""

    request: Request
    limit: int = Field(description="requests that one client may make in a window")
    window_seconds: float
    second_client: str | None = Field(default=None, description="local address of another client")


class Security(Model):
    """What phase 12 expects from outside."""

    rate_limit: RateLimit | None = None
    public_address: str = Field(description="address whose ports are scanned")
    open_ports: tuple[Port, ...] = (80, 443)
    scanned_ports: tuple[PortRange, ...] = Field(default=((1, 1024),), description="inclusive ranges")
    private_ports: dict[str, Port] = Field(default={"PostgreSQL": 5432, "Redis": 6379})
    admin_paths: tuple[str, ...] = ("/admin",)
    header_paths: tuple[str, ...] = Field(
        default=(), description="paths below web.url whose headers are judged, beside all that are declared elsewhere"
    )
    hsts_seconds: int = 31_536_000
    minimum_grade: Literal["A+", "A", "A-", "B", "C", "D", "E", "F"] = Field(
        default="A+", description="of SSL Labs' rating guide"
    )


class AcceptedFinding(Model):
    """A finding of phase 5 that somebody has decided to live with; after its last day it counts again."""

    id: str = Field(min_length=1, description="as the finding names it: an advisory, or file:kind:digest of a secret")
    reason: str = Field(min_length=1)
    expires: date = Field(description="the last day, in UTC")


class SecurityAudit(Model):
    """How phase 5 looks for known vulnerabilities and for secrets in the source."""

    vulnerability_service: Literal["pypi", "osv"] = "pypi"
    osv_url: str | None = Field(default=None, description="of the OSV API's query, where it is not osv.dev's own")
    npm_registry: str | None = Field(default=None, description="where npm asks for advisories; npm's own if absent")
    npm_severity: Literal["info", "low", "moderate", "high", "critical"] = Field(
        default="low", description="the least that fails"
    )
    image_severity: Literal["low", "medium", "high", "critical"] = Field(
        default="high", description="the least that fails"
    )
    forbidden_text: tuple[str, ...] = Field(default=("dev-secret",), description="must stand in no tracked file")
    accepted: tuple[AcceptedFinding, ...] = ()
