"""Where we deploy to: one TOML file, read into frozen models; secrets are held by reference."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from datetime import date, time
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from runbook_lib import command
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.home import Home, home


class Model(BaseModel):
    """A part of an environment: frozen, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _absolute(path: Path, info: ValidationInfo) -> Path:
    """A path in the TOML is relative to the folder that holds the TOML."""
    folder = (info.context or {}).get("folder", Path.cwd())
    return Path(os.path.normpath(folder / path.expanduser()))


RelativePath = Annotated[Path, AfterValidator(_absolute)]
Argv = tuple[str, ...]
BYPASS = "X-Runbook-Bypass"
"""The header by which the runbook passes an edge that is closed to everybody else."""


class Secret(Model):
    """A secret by reference: exactly one of an environment variable, a key of a .env file, or a command."""

    env: str | None = None
    file: RelativePath | None = None
    key: str | None = None
    command: Argv | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        if sum(source is not None for source in (self.env, self.file, self.command)) != 1:
            raise ValueError("give exactly one of: env, file (with key), command")
        if (self.file is None) != (self.key is None):
            raise ValueError("file and key go together")
        return self

    def __str__(self) -> str:
        if self.env is not None:
            return f"${self.env}"
        if self.file is not None:
            return f"{self.key} of {self.file.name}"
        return f"output of {self.command[0] if self.command else ''}"

    def resolve(self) -> SecretStr:
        """The value as it is now. Raises Unanswerable where the reference leads nowhere."""
        value = self._look_up()
        if not value:
            raise Unanswerable(f"no value found for the secret {self}", remedy=f"set {self}")
        return SecretStr(value)

    def _look_up(self) -> str | None:
        if self.env is not None:
            return os.environ.get(self.env)
        if self.file is not None:
            from dotenv import dotenv_values

            return dotenv_values(self.file, interpolate=False).get(self.key or "") if self.file.is_file() else None
        completed = command.run(self.command or (), timeout=30.0)
        if not completed.ok:
            raise Unanswerable(
                f"the command for a secret ended with {completed.returncode}", remedy=f"run {self} by hand"
            )
        return completed.output.strip()


class Request(Model):
    """One HTTP request and what its answer must be."""

    name: str = ""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: str
    json_body: Any = Field(default=None, alias="json")
    status: tuple[int, ...] = (200,)
    expect: dict[str, Any] = Field(default_factory=dict, description="members that the answer's JSON must have")

    @property
    def title(self) -> str:
        """Its name, or its method and path."""
        return self.name or f"{self.method} {self.path}"


class Backend(Model):
    """The back end inside a release."""

    folder: str = "backend"
    requirements: str = "requirements.txt"
    installer: Literal["pip", "uv"] = "pip"
    test: Argv = ("-m", "pytest", "-v")
    minimum_passed: int = 82
    minimum_coverage: Annotated[float, Field(ge=0, le=100, description="per cent of lines")] = 80.0
    connection_probe: str = "from models.database import engine; print('DB OK' if engine.connect() else 'DB FAIL')"


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


class Cache(Model):
    """Redis or Valkey."""

    url: Secret


class Web(Model):
    """How users reach the service."""

    url: str
    http_url: str | None = Field(default=None, description="plain HTTP address, which must redirect")
    certificate_authority: RelativePath | None = None
    health: tuple[Request, ...] = (Request(path="/health", expect={"status": "healthy"}),)
    version_path: str = "/health"
    version_key: str = "version"
    docs_path: str = "/api/docs"
    openapi_path: str = "/api/openapi.json"
    metrics_path: str = "/monitoring/metrics"
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


class SupervisorSchedule(Model):
    """A daily backup by a program of supervisord, whose ``[include]`` reads `folder`."""

    kind: Literal["supervisor"]
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
    open_ports: tuple[int, ...] = (80, 443)
    scanned_ports: tuple[tuple[int, int], ...] = Field(default=((1, 1024),), description="inclusive ranges")
    private_ports: dict[str, int] = Field(default={"PostgreSQL": 5432, "Redis": 6379})
    admin_paths: tuple[str, ...] = ("/admin",)
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
    images: dict[str, str] = Field(
        default={"backend": "twiga-scan-backend", "frontend": "twiga-scan-frontend"},
        description="the image that is built for each service; its tag is the release's",
    )
    image_severity: Literal["low", "medium", "high", "critical"] = Field(
        default="high", description="the least that fails"
    )
    forbidden_text: tuple[str, ...] = Field(default=("dev-secret",), description="must stand in no tracked file")
    accepted: tuple[AcceptedFinding, ...] = ()


class BugsinkTracker(Model):
    """Bugsink, asked by its API."""

    kind: Literal["bugsink"]
    url: str
    project: int = Field(description="the number that the DSN ends with")
    token: Secret


class SentryTracker(Model):
    """Sentry, asked by its API; the token needs the scope ``project:read`` and ``event:read``."""

    kind: Literal["sentry"]
    url: str = "https://sentry.io"
    organisation: str
    project: str = Field(description="its slug, or its number")
    token: Secret


class JsonProbe(Model):
    """A URL whose JSON answer says that all is well."""

    kind: Literal["json"] = "json"
    name: str
    url: str
    path: str = Field(description="where the answer stands in the JSON: members and list indices, with dots between")
    expected: str | int | float | bool
    token: Secret | None = Field(default=None, description="sent as Authorization: Bearer")


class BlackboxProbe(Model):
    """A target of Prometheus' blackbox exporter, asked itself or, without its address, through Prometheus."""

    kind: Literal["blackbox"]
    name: str
    target: str = Field(description="what is probed; in Prometheus the label `instance`")
    exporter: str | None = Field(
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
    url: str
    labels: dict[str, str] = Field(default={"severity": "info"}, description="by which the test alert is routed")
    confirmation_url: str | None = Field(default=None, description="the receiver's: what arrived there")
    token: Secret | None = Field(default=None, description="for confirmation_url, as Authorization: Bearer")


class WebhookAlerting(Model):
    """Alerts are posted as JSON to a webhook; where its address is a secret, it is given by reference."""

    kind: Literal["webhook"]
    url: Secret | str
    confirmation_url: str | None = Field(default=None, description="the receiver's: what arrived there")
    token: Secret | None = Field(default=None, description="for confirmation_url, as Authorization: Bearer")


class Monitoring(Model):
    """What watches the service."""

    prometheus_url: str | None = None
    prometheus_job: str | None = Field(default=None, description="the job that scrapes the service")
    prometheus_series: str = Field(default="http_requests_total", description="a series that it collects")
    grafana_url: str | None = None
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


class SuccessCriteria(Model):
    """How the success criteria are measured."""

    window_seconds: float = 10.0
    requests_per_second: float = 20.0
    critical_patterns: tuple[str, ...] = ("CRITICAL", "Traceback (most recent call last)", "FATAL", "panic:")


class Contact(Model):
    """Somebody to be called, by what they answer for."""

    role: str
    name: str = ""
    email: str = ""
    phone: str = ""


class EscalationStep(Model):
    """Who is called when a problem stands for so long; `role` is that of a contact."""

    role: str
    after_minutes: Annotated[float, Field(ge=0)] = 0.0


class OnCall(Model):
    """Who is on call: the contacts of these roles in turn, each for `days`, beginning with the first on `first_day`."""

    roles: Annotated[tuple[str, ...], Field(min_length=1)]
    first_day: date
    days: Annotated[int, Field(ge=1)] = 7
    acknowledge_minutes: Annotated[float, Field(gt=0)] = 15.0


class Documentation(Model):
    """Where documents and dashboards are, by name; and what the handbook is written from."""

    links: dict[str, str] = Field(default_factory=dict, description="documents: name and URL")
    dashboards: dict[str, str] = Field(default_factory=dict, description="name and URL")
    support: dict[str, str] = Field(default_factory=dict, description="channels: name and URL")
    status_page: str | None = None
    status_shows: tuple[str, ...] = Field(
        default=("All systems operational", "All services are online", "All systems are functional"),
        description="what the status page may say in place of the release's name",
    )
    folder: RelativePath | None = Field(default=None, description="the handbook is also written here")
    project: tuple[str, ...] = Field(default=("README.md", "docs"), description="the release's own documents")
    escalation: tuple[EscalationStep, ...] = ()
    on_call: OnCall | None = None


class Channel(Secret):
    """Where announcements go: an apprise URL by reference, and an address that shows what arrived."""

    name: str = ""
    confirmation: str | None = Field(default=None, description="URL whose answer holds what arrived, if there is one")

    @property
    def title(self) -> str:
        """Its name, or where its URL is looked up."""
        return self.name or str(self)


class Announcement(Model):
    """How a deployment is announced."""

    channels: tuple[Channel, ...] = ()
    template: RelativePath | None = Field(default=None, description="Jinja template; the kit's own if absent")
    confirmation_seconds: float = Field(default=30.0, description="how long a confirmation is waited for")


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


class Environment(Model):
    """One environment."""

    name: str
    kind: Literal["sandbox", "staging", "production"]
    release: str = Field(default="", description="the release meant where none is given")
    staging: str | None = Field(default=None, description="the environment that receives a release first")
    domains: tuple[str, ...]
    application: Application
    dotenv: Dotenv
    database: Database
    cache: Cache | None = None
    web: Web
    edge: Annotated[MarkerEdge | CommandEdge, Field(discriminator="kind")] | None = None
    api: Api
    features: tuple[Request, ...] = ()
    platform: Annotated[SupervisorPlatform | ComposePlatform, Field(discriminator="kind")]
    backup: Backup
    objectives: Objectives = Objectives()
    load: Load = Load()
    security: Security
    security_audit: SecurityAudit = SecurityAudit()
    monitoring: Monitoring = Monitoring()
    success: SuccessCriteria = SuccessCriteria()
    contacts: tuple[Contact, ...] = ()
    documentation: Documentation = Documentation()
    announcement: Announcement = Announcement()
    recovery: Recovery = Recovery()
    waivers: tuple[Waiver, ...] = ()
    limits: Limits = Limits()

    def __str__(self) -> str:
        return self.name

    def secrets(self) -> dict[str, str]:
        """Every secret value known now, by name; what cannot be resolved is left out."""
        from dotenv import dotenv_values

        found = {
            name: value
            for name, value in dotenv_values(self.dotenv.file, interpolate=False).items()
            if value and is_secret_name(name)
        }
        references = {
            "database.url": self.database.url,
            "cache.url": self.cache and self.cache.url,
            "backup.scratch": self.backup.scratch,
            "edge.bypass": self.edge and self.edge.bypass,
        }
        for name, reference in (references | self.monitoring.secrets()).items():
            if reference:
                try:
                    found[name] = reference.resolve().get_secret_value()
                except Unanswerable:
                    continue
        for number, channel in enumerate(self.announcement.channels):
            try:
                parts = secret_parts(channel.resolve().get_secret_value())
            except Unanswerable:
                continue
            found |= {f"announcement.channels.{number}.{part}": value for part, value in enumerate(parts)}
        return found


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name is held back from the record."""
    return any(word in name.upper() for word in ("SECRET", "PASSWORD", "TOKEN", "DSN", "KEY", "_URL"))


def secret_parts(address: str) -> tuple[str, ...]:
    """What is secret in an address whose tokens may stand anywhere, as those of apprise do: words too odd to be names.

    The password always; of the rest each part of eight characters or more that mixes letters with digits, or cases.
    """
    rest = address.partition("://")[2] or address
    login, separator, _ = rest.partition("@")
    password = login.partition(":")[2] if separator else ""
    parts = [part for part in re.split(r"[/?&=#@:,]", rest) if len(part) >= 8]
    odd = [part for part in parts if re.search(r"[A-Za-z]", part) and not re.fullmatch(r"[a-z._-]+|[A-Z._-]+", part)]
    return tuple(dict.fromkeys([*([password] if password else []), *odd]))


def names(where: Home | None = None) -> tuple[str, ...]:
    """The environments that exist."""
    folders = (where or home()).environments
    return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.toml")}))


def find(name: str, where: Home | None = None) -> Path:
    """The TOML file of environment `name`. Raises ConfigurationError, which lists those that exist."""
    place = where or home()
    for folder in place.environments:
        path = folder / f"{name}.toml"
        if name and "/" not in name and path.is_file():
            return path
    existing = names(place)
    near = difflib.get_close_matches(name, existing, n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    listed = ", ".join(existing) or "none"
    raise ConfigurationError(
        f"There is no environment '{name}'.{guess} Those that exist: {listed}. "
        "'runbook init NAME' writes a new one; 'runbook sandbox up' makes the sandbox's."
    )


def load(name: str, where: Home | None = None) -> Environment:
    """Read environment `name`. Raises ConfigurationError naming file, key, what was found and what is allowed."""
    return read(find(name, where))


def read(path: Path) -> Environment:
    """Read one TOML file; see :func:`load`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    try:
        environment = Environment.model_validate(values, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigurationError(_explain(path, error)) from error
    if environment.name != path.stem:
        raise ConfigurationError(
            f"{path}: name is '{environment.name}', the file's name says '{path.stem}'; make the two equal."
        )
    return environment


def _explain(path: Path, error: ValidationError) -> str:
    """Pydantic's errors, one line for each, for a person."""
    lines = []
    for detail in error.errors(include_url=False):
        key = ".".join(str(part) for part in detail["loc"]) or "(whole file)"
        if detail["type"] == "missing":
            lines.append(f"  {key}: is missing")
        elif detail["type"] == "extra_forbidden":
            lines.append(f"  {key}: is not a setting; {_allowed_keys(detail['loc'])}")
        else:
            lines.append(f"  {key}: found {detail['input']!r}; {detail['msg']}")
    return "\n".join([f"{path} has {error.error_count()} error(s):", *lines])


def _allowed_keys(location: tuple[int | str, ...]) -> str:
    """Which keys may stand beside the one at `location`, and the nearest to it."""
    model = _model_at(Environment, location[:-1])
    if model is None:
        return "remove it"
    allowed = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{guess}allowed here: {', '.join(allowed)}"


@cache
def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that describes the table at `location`."""
    from typing import get_args

    def models(annotation: Any) -> list[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return [annotation]
        return [found for part in get_args(annotation) for found in models(part)]

    for part in location:
        if not isinstance(part, str):
            continue
        field = model.model_fields.get(part)
        if field is None:
            # A discriminated union puts the variant's tag into the location.
            variants = [m for f in model.model_fields.values() for m in models(f.annotation) if _tag(m) == part]
            if not variants and _tag(model) != part:
                return None
            model = variants[0] if variants else model
        else:
            candidates = models(field.annotation)
            if not candidates:
                return None
            model = candidates[0]
    return model


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    values: tuple[Any, ...] = getattr(field.annotation, "__args__", ()) if field else ()
    return values[0] if len(values) == 1 else None


def create(name: str, where: Home | None = None) -> Path:
    """Write a commented TOML for a new environment, from the kit's example of a production.

    Raises
    ------
    ConfigurationError
        The name is no plain word, or is taken: nothing is overwritten.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ConfigurationError(f"'{name}' cannot name an environment: use small letters, digits, - and _.")
    place = where or home()
    if name in names(place):
        raise ConfigurationError(f"{find(name, place)} exists already and is never overwritten.")
    example = Path(__file__).resolve().parent.parent / "notebooks" / "environments" / "production.toml"
    path = place.environments[0] / f"{name}.toml"
    text = example.read_text(encoding="utf-8").replace('name = "production"', f'name = "{name}"')
    with path.open("x", encoding="utf-8") as file:
        file.write(text.replace("--confirm production", f"--confirm {name}"))
    return path
