"""How the service is reached, and what it must answer."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import (
    Field,
)

from runbook_lib.environment.model import Argv, Model, RelativePath, WebAddress
from runbook_lib.environment.secret import Secret

BYPASS = "X-Runbook-Bypass"
"""The header by which the runbook passes an edge that is closed to everybody else."""


class Request(Model):
    """One HTTP request and what its answer must be."""

    name: str = ""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: str
    json_body: Any = Field(default=None, alias="json")
    status: tuple[int, ...] = (200,)
    expect: dict[str, Any] = Field(default_factory=dict, description="members that the answer's JSON must have")
    weight: int = Field(default=1, ge=1, description="how often a load test sends it, in relation to the others")

    @property
    def title(self) -> str:
        """Its name, or its method and path."""
        return self.name or f"{self.method} {self.path}"


class Web(Model):
    """How users reach the service."""

    url: WebAddress
    http_url: WebAddress | None = Field(default=None, description="plain HTTP address, which must redirect")
    certificate_authority: RelativePath | None = None
    health: tuple[Request, ...] = (Request(path="/health", expect={"status": "healthy"}),)
    version_path: str = "/health"
    version_key: str = "version"
    docs_path: str = "/api/docs"
    openapi_path: str = "/api/openapi.json"
    metrics_path: str = Field(default="/monitoring/metrics", description="empty where the application has no metrics")
    page_contains: str = Field(default="", description="text that the front page must contain")

    def address(self, path: str) -> str:
        """The URL of `path`."""
        return self.url.rstrip("/") + path

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the service carries; nothing of its own."""
        return {}


class WebBehindEdge(Web):
    """The same service, reached while its edge is closed to everybody else."""

    bypass: Secret

    @cached_property
    def headers(self) -> dict[str, str]:
        """The secret that opens the edge for this request alone. Raises Unanswerable where it cannot be found."""
        return {BYPASS: self.bypass.resolve().get_secret_value()}


class MarkerEdge(Model):
    """An edge that answers 503 with Retry-After while a file exists: nginx by ``if (-f …)``, Caddy by ``file``."""

    kind: Literal["marker"]
    file: RelativePath
    bypass: Secret = Field(description="requests whose header X-Runbook-Bypass has this value pass all the same")


class CommandEdge(Model):
    """An edge that commands close and open, such as a load balancer's own client."""

    kind: Literal["command"]
    close: Argv
    open: Argv
    bypass: Secret = Field(description="requests whose header X-Runbook-Bypass has this value pass all the same")


class Api(Model):
    """The requests that phases 7 and 9 make; `accepted` writes, `providers` reads."""

    accepted: Request
    refused: Request
    providers: Request
    stored: str = Field(
        default="SELECT 1 FROM scans WHERE id = %(id)s",
        description="finds what `accepted` wrote; %(name)s takes that member of its answer",
    )
