"""The environment TOML of each stack, written anew whenever its ports change."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from runbook_lib.sandbox import daemon, edge, postgres, settings, signing, tracker
from runbook_lib.sandbox.hosting import Hosting
from runbook_lib.sandbox.layout import EDGE, INNER, Ports, Stack, write

RELEASE = "v1.0.0"
"""The release that the sandbox's runbook deploys."""
_TEMPLATE = """\
# The sandbox's {kind} stack, written by 'runbook sandbox up'. Paths are relative to this file.
name = {name}
kind = {environment_kind}
release = {release}
{staging}domains = [{address}, {host}]

[application]
repository = "../application"
releases = "../releases"

[application.backend]
installer = "uv"

[application.frontend]
folder = "frontend"

[dotenv]
file = "../{folder}/.env"

[dotenv.values]  # what phase 1 writes and checks
ENVIRONMENT = {mode}
DEBUG = "false"
CORS_ORIGINS = {origin}
SENTRY_DSN = {dsn}
PROMETHEUS_ENABLED = "true"

[database]
url = {{ file = "../{folder}/.env", key = "DATABASE_URL" }}
programs = {programs}
{database_log}

[cache]
url = {{ file = "../{folder}/.env", key = "REDIS_URL" }}

[web]
url = {origin}
http_url = {http_url}
certificate_authority = "../authority/certificate.pem"
page_contains = "Twiga Scan"

[[web.health]]
path = "/health"
expect = {{ status = "healthy", service = "twiga-scan-api" }}

[edge]  # answers 503 while the file exists, but to requests that carry the secret
kind = "marker"
file = {edge_marker}
bypass = {{ file = {edge_bypass}, key = {bypass_key} }}

[api.accepted]
name = "BIP 21 payment request"
method = "POST"
path = "/api/scan/"
json = {{ content = {bip21} }}
expect = {{ type = "bip21" }}

[api.refused]
name = "not a payment request"
method = "POST"
path = "/api/scan/"
json = {{ content = "this is not a payment request" }}
status = [400, 422]

[api.providers]
name = "providers"
path = "/api/providers/"

[[features]]
name = "payment request (BIP 21)"
method = "POST"
path = "/api/scan/"
json = {{ content = {bip21} }}
expect = {{ type = "bip21" }}

[[features]]
name = "invoice (BOLT 11)"
method = "POST"
path = "/api/scan/"
json = {{ content = {bolt11} }}
expect = {{ type = "bolt11" }}

[[features]]
name = "LNURL"
method = "POST"
path = "/api/scan/"
json = {{ content = {lnurl} }}
expect = {{ type = "lnurl" }}

[[features]]
name = "Lightning address"
method = "POST"
path = "/api/scan/"
json = {{ content = "satoshi@example.com" }}
expect = {{ type = "lightning_address" }}

[[features]]
name = "address with a wrong checksum is refused"
method = "POST"
path = "/api/scan/"
json = {{ content = "bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb" }}
status = [422]

[[features]]
name = "providers"
path = "/api/providers/"

[[features]]
name = "metrics"
path = "/monitoring/metrics"

[platform]
{platform}

[backup]
folder = "../{folder}/backups"
retention_days = 30

[backup.schedule]
kind = "supervisor"
socket = {socket}
folder = "../{folder}/schedules"
at = "03:00"

[recovery]
rto_seconds = 300.0
rpo_seconds = 86400.0
operators = ["Database Admin", "DevOps Lead"]

[objectives]
requests_per_second = 500.0
p95_milliseconds = 200.0
error_rate = 0.01

[load]
duration_seconds = 12.0
ramp_seconds = 2.0
staging_duration_seconds = 4.0

[[load.requests]]
path = "/health"

[[load.requests]]
path = "/api/providers/"

[security]
public_address = {address}
open_ports = [{http}, {https}]
scanned_ports = [[{first}, {last}]]
private_ports = {{ PostgreSQL = {database}, Redis = {cache}, backend = {backend} }}
admin_paths = ["/admin", "/.env", "/.git/config", "/server-status"]

[security.rate_limit]
limit = {rate_limit}
window_seconds = {rate_window}
second_client = "127.0.0.3"

[security.rate_limit.request]
method = "POST"
path = "/api/scan/"
json = {{ content = {bip21} }}

[success]
window_seconds = 5.0
requests_per_second = 40.0

[monitoring.tracker]
kind = "bugsink"
url = {tracker}
project = {project}
token = {{ file = "../tracker/keys.env", key = "TOKEN" }}

[monitoring.logs]
request_services = ["backend", "edge"]
retention_bytes = {retention_bytes}  # rotation by size promises no number of days

[[monitoring.probes]]
kind = "json"
name = "health, seen by the sink"
url = {probe}
path = "monitor.status"
expected = "up"

[monitoring.alerting]
kind = "webhook"
url = {alerts}
confirmation_url = {alerts}
"""
_WAIVER = """
[[waivers]]
item = {item}
statuses = ["error"]
reason = {reason}
person = "runbook sandbox"
expires = {until}
"""
_CLOSED = "the sandbox must run in closed networks too, where nobody can be asked about vulnerabilities"
_BARE = "the sandbox must run on machines without a browser too"
_WAIVED = {"5.1.1": _CLOSED, "5.1.2": _CLOSED, "9.1.1": _BARE, "9.1.2": _BARE, "9.1.3": _BARE, "9.1.4": _BARE}
"""What a closed network or a bare machine makes unanswerable; a fault that is found is not waived."""
_PEOPLE = """
[[contacts]]
role = "DevOps Lead"
name = "Whoever started the sandbox"
email = "devops@{host_name}"
phone = "+1 555 0100"

[[contacts]]
role = "Backend Lead"
name = "Whoever started the sandbox"
email = "backend@{host_name}"
phone = "+1 555 0101"

[[contacts]]
role = "Frontend Lead"
name = "Whoever started the sandbox"
email = "frontend@{host_name}"
phone = "+1 555 0102"

[[contacts]]
role = "Database Admin"
name = "Whoever started the sandbox"
email = "database@{host_name}"
phone = "+1 555 0103"

[documentation]
folder = "../{folder}/handbook"
status_page = "{sink}/status"

[documentation.links]
"API Docs" = "{edge}/api/docs"
"Deployment Guide" = "{sink}/docs/deployment-guide"
"Optimization Report" = "{sink}/docs/optimization-report"

[documentation.dashboards]
Sentry = "{sink}/dashboards/errors"
Grafana = "{sink}/dashboards/metrics"

[documentation.support]
page = "{sink}/docs/support"
mail = "mailto:support@{host_name}"

[[documentation.escalation]]
role = "Backend Lead"

[[documentation.escalation]]
role = "DevOps Lead"
after_minutes = 30.0

[documentation.on_call]
roles = ["Backend Lead", "DevOps Lead", "Frontend Lead"]
first_day = 2024-01-01
days = 7
acknowledge_minutes = 15.0

[[announcement.channels]]
name = "sink"
file = "../{folder}/announcements.env"
key = {channel_key}
confirmation = "{sink}/hooks/announcements"
"""
"""Who is called, what is linked, and where a deployment is announced."""
_SIGN_OFF = """
[sign_off.keys]  # of the sandbox's own keys, in .sandbox/keys
{sign_off}
"""
_CHANNEL_KEY = "ANNOUNCEMENT_URL"
# The address of the first block's reward; the invoice and the LNURL are the examples of BOLT 11 and LUD-01.
_BIP21 = "bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa?amount=0.001&label=Sandbox"
_BOLT11 = (
    "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq"
    "5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfe"
    "gext0eh0ymjpf39tuven09sam30g4vgpfna3rh"
)
_LNURL = (
    "LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35XVUKXEFCV5MKVV34X5EKZD3EV56NYD3HXQURZEPEXEJXXEPNXSCRVWFNV9NXZ"
    "CN9XQ6XYEFHVGCXXCMYXYMNSERXFQ5FNS"
)


def create(stack: Stack, ports: Ports, hosting: Hosting) -> None:
    """Write the TOML where there is none yet, or its ports are no longer the stack's."""
    text = _text(stack, ports, hosting)
    if not stack.environment.is_file() or stack.environment.read_text(encoding="utf-8") != text:
        write(stack.environment, text, mode=0o644)
    # Under the scheme json: apprise posts to the address as it is.
    write(stack.folder / "announcements.env", f"{_CHANNEL_KEY}=json://{INNER}:{ports.sink}/hooks/announcements\n")


def _text(stack: Stack, ports: Ports, hosting: Hosting) -> str:
    staging = stack.kind == "staging"
    return (_TEMPLATE + _waivers({**_WAIVED, **hosting.waived}) + _PEOPLE + _SIGN_OFF).format(
        kind="staging" if staging else "production",
        name=_string(stack.name),
        environment_kind=_string(stack.kind),
        release=_string(RELEASE),
        staging="" if staging else f"staging = {_string(f'{stack.name}-staging')}\n",
        address=_string(EDGE),
        host=_string(stack.host),
        platform=hosting.platform(stack),
        database_log=hosting.database_log(stack),
        folder=stack.name,
        mode=_string("staging" if staging else "production"),
        origin=_string(settings.origin(ports)),
        dsn=_string(tracker.dsn(stack, ports)),
        programs=_string(postgres.programs()),
        http_url=_string(f"http://{EDGE}:{ports.http}"),
        edge_marker=_string(f"../{stack.name}/caddy/{stack.edge_marker.name}"),
        edge_bypass=_string(f"../{stack.name}/caddy/{stack.edge_bypass.name}"),
        bypass_key=_string(edge.BYPASS_KEY),
        socket=_string(stack.socket),
        http=ports.http,
        https=ports.https,
        database=ports.database,
        cache=ports.cache,
        backend=ports.backend,
        first=ports.base,
        last=ports.last,
        rate_limit=settings.RATE_LIMIT,
        rate_window=float(settings.RATE_WINDOW_SECONDS),
        tracker=_string(tracker.url(stack, ports)),
        project=tracker.project(stack),
        retention_bytes=daemon.LOG_BYTES * daemon.LOG_BACKUPS,
        probe=_string(f"http://{INNER}:{ports.sink}/probe.json"),
        alerts=_string(f"http://{INNER}:{ports.sink}/hooks/alerts"),
        bip21=_string(_BIP21),
        bolt11=_string(_BOLT11),
        lnurl=_string(_LNURL),
        host_name=stack.host,
        edge=settings.origin(ports),
        sink=f"http://{INNER}:{ports.sink}",
        sign_off="\n".join(f"{role} = {_string(line)}" for role, line in signing.create(stack.root).items()),
        channel_key=_string(_CHANNEL_KEY),
    )


def _waivers(waived: Mapping[str, str]) -> str:
    until = date(datetime.now(UTC).year + 1, 12, 31).isoformat()
    return "".join(
        _WAIVER.format(item=_string(item), reason=_string(reason), until=until) for item, reason in waived.items()
    )


def _string(value: str | Path) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(os.fspath(value), ensure_ascii=False)
