"""The requests that an edge has logged, with their status."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from runbook_lib import platforms
from runbook_lib.environment import Environment, WebBehindEdge
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import log_lines

COMMON: Final = re.compile(r'"[A-Z]+ [^"]*" ([1-5]\d\d)\b')
"""The request and its status in the Common Log Format, which nginx, Apache, Traefik and HAProxy write or can write."""
MEMBERS: Final = ("status", "DownstreamStatus", "response_code", "status_code")
"""Where lines of JSON say the status: Caddy and nginx, Traefik, Envoy."""


def declared(env: Environment) -> str:
    """Which log the TOML names; empty where it names none, or where the edge is closed to all but the runbook."""
    requests = env.monitoring.requests
    if isinstance(env.web, WebBehindEdge):
        return ""
    return f"{requests.log_service}'s log" if requests.log_service else str(requests.log_file or "")


def statuses(env: Environment, start: datetime) -> list[int]:
    """The status of each request that was logged at `start` or later. Raises Unanswerable where it cannot be read."""
    return list(filter(None, map(_status, _lines(env, start))))


def _lines(env: Environment, start: datetime) -> Iterator[str]:
    requests = env.monitoring.requests
    if requests.log_service:
        yield from platforms.connect(env).logs(requests.log_service, since=start).splitlines()
        return
    if requests.log_file is None:
        return
    try:
        text = requests.log_file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Unanswerable(
            f"the edge's log cannot be read: {error}",
            remedy="correct monitoring.requests.log_file, or let the runbook's user read it",
        ) from error
    yield from log_lines.since(text, start)


def _status(line: str) -> int | None:
    """The status that a line says a request was answered with, None of another line."""
    if found := COMMON.search(line):
        return int(found[1])
    try:
        members = json.loads(line)
    except ValueError:
        return None
    if not isinstance(members, dict):
        return None
    status = str(next((members[name] for name in MEMBERS if name in members), ""))
    return int(status) if status.isdigit() else None
