"""What watches the service, and how it is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from runbook_lib.environment.model import Model, RelativePath, WebAddress
from runbook_lib.environment.secret import Secret


class BugsinkTracker(Model):
    """Bugsink, asked by its API."""

    kind: Literal["bugsink"]
    url: WebAddress
    project: int = Field(description="the number that the DSN ends with")
    token: Secret


class SentryTracker(Model):
    """Sentry, asked by its API; the token needs the scope ``project:read`` and ``event:read``."""

    kind: Literal["sentry"]
    url: WebAddress = "https://sentry.io"
    organisation: str
    project: str = Field(description="its slug, or its number")
    token: Secret


class JsonProbe(Model):
    """A URL whose JSON answer says that all is well."""

    kind: Literal["json"] = "json"
    name: str
    url: WebAddress
    path: str = Field(description="where the answer stands in the JSON: members and list indices, with dots between")
    expected: str | int | float | bool
    token: Secret | None = Field(default=None, description="sent as Authorization: Bearer")


class BlackboxProbe(Model):
    """A target of Prometheus' blackbox exporter, asked itself or, without its address, through Prometheus."""

    kind: Literal["blackbox"]
    name: str
    target: str = Field(description="what is probed; in Prometheus the label `instance`")
    exporter: WebAddress | None = Field(
        default=None, description="the exporter's URL; monitoring.prometheus_url is asked if absent"
    )
    module: str = "http_2xx"


Probe = Annotated[JsonProbe | BlackboxProbe, Field(discriminator="kind")]


class Logs(Model):
    """Where the services' logs go and how long they are kept."""

    driver: str | None = Field(default=None, description="the platform's log driver that ships them, such as syslog")
    shipper: str | None = Field(default=None, description="the program on this machine that ships them, such as vector")
    request_services: tuple[str, ...] = Field(
        default=(), description="whose logs must show a request; where empty, one of any service is enough"
    )
    search_url: str | None = Field(default=None, description="where shipped logs are searched; {marker} is what for")
    search_token: Secret | None = None
    retention_days: float | None = Field(default=None, description="how long they are kept at least")
    retention_bytes: int | None = Field(default=None, description="how much of each service is kept at least")
    rotation_file: RelativePath | None = Field(default=None, description="logrotate's configuration for them")
    retention_probe: JsonProbe | None = Field(default=None, description="what says how long shipped logs are kept")


class AlertmanagerAlerting(Model):
    """Alerts go through Prometheus' Alertmanager."""

    kind: Literal["alertmanager"]
    url: WebAddress
    labels: dict[str, str] = Field(default={"severity": "info"}, description="by which the test alert is routed")
    confirmation_url: WebAddress | None = Field(default=None, description="the receiver's: what arrived there")
    token: Secret | None = Field(default=None, description="for confirmation_url, as Authorization: Bearer")


class WebhookAlerting(Model):
    """Alerts are posted as JSON to a webhook; where its address is a secret, it is given by reference."""

    kind: Literal["webhook"]
    url: Secret | WebAddress
    confirmation_url: WebAddress | None = Field(default=None, description="the receiver's: what arrived there")
    token: Secret | None = Field(default=None, description="for confirmation_url, as Authorization: Bearer")


class RequestCounting(Model):
    """What counts the requests that the service answers: one of its counters, or where it has none the edge's log."""

    counter: str | None = Field(default=None, description="the whole name of a series, such as shop_answers_total")
    status_label: str | None = Field(default=None, description="its label that holds the status, such as status")
    labels: dict[str, str] = Field(default={}, description="count only the series of the counter with these labels")
    log_service: str | None = Field(default=None, description="the service whose log shows each request and its status")
    log_file: RelativePath | None = Field(default=None, description="or the file of such a log on this machine")


class Monitoring(Model):
    """What watches the service."""

    prometheus_url: WebAddress | None = None
    prometheus_job: str | None = Field(default=None, description="the job that scrapes the service")
    prometheus_series: str = Field(default="http_requests_total", description="a series that it collects")
    requests: RequestCounting = RequestCounting()
    grafana_url: WebAddress | None = None
    tracked_services: tuple[str, ...] = Field(default=("backend",), description="whose errors are tracked")
    tracker: Annotated[BugsinkTracker | SentryTracker, Field(discriminator="kind")] | None = None
    logs: Logs = Logs()
    probes: tuple[Probe, ...] = ()
    alerting: Annotated[AlertmanagerAlerting | WebhookAlerting, Field(discriminator="kind")] | None = None
    arrival_seconds: float = Field(default=30.0, description="within which a test error, request or alert must be seen")

    def secrets(self) -> dict[str, Secret]:
        """Every secret that it refers to, by the setting's name."""
        found: dict[str, Secret | str | None] = {
            "monitoring.tracker.token": self.tracker.token if self.tracker else None,
            "monitoring.logs.search_token": self.logs.search_token,
            "monitoring.alerting.token": self.alerting.token if self.alerting else None,
            "monitoring.alerting.url": self.alerting.url if self.alerting else None,
        }
        probes = (*self.probes, *((self.logs.retention_probe,) if self.logs.retention_probe else ()))
        found |= {f"monitoring.probes.{probe.name}.token": probe.token for probe in probes if probe.kind == "json"}
        return {name: reference for name, reference in found.items() if isinstance(reference, Secret)}
