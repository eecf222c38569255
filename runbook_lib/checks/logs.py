"""What the services have logged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from runbook_lib import platforms
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Evidence, Finding, Table, check

SHOWN: Final = 10
ISO: Final = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?)\s?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?"
)
"""As most services write it, PostgreSQL among them; without a zone it is local time."""
EPOCH: Final = re.compile(r'"ts":\s?(\d{9,}(?:\.\d+)?)')
"""Caddy's JSON lines: seconds since 1970."""
REDIS: Final = re.compile(r"\b(\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d)")
"""Redis and Valkey, in local time."""
HEAD: Final = 200
"""Characters of a line within which its time stands."""


def moment(line: str) -> datetime | None:
    """When the line was written, None where it does not say."""
    head = line[:HEAD]
    if found := EPOCH.search(head):
        return datetime.fromtimestamp(float(found[1]), UTC)
    try:
        if found := ISO.search(head):
            zone = found["zone"] or ""
            offset = "+00:00" if zone in ("Z", "UTC", "GMT") else zone
            return datetime.fromisoformat(found["moment"].replace(",", ".") + offset).astimezone(UTC)
        if found := REDIS.search(head):
            return datetime.strptime(found[1], "%d %b %Y %H:%M:%S").astimezone(UTC)
    except ValueError:
        return None  # it only looked like a time
    return None


def since(text: str, start: datetime) -> Iterator[str]:
    """The lines written at `start` or later.

    A line without a time belongs to the one before it; those before the first time are given too, for what cannot
    be dated must not be missed.
    """
    recent = True
    for line in text.splitlines():
        written = moment(line)
        if written is not None:
            recent = written >= start.replace(microsecond=0)
        if recent:
            yield line


@check("No critical error in the logs since the deployment")
def no_critical(env: Environment, *, deployed_at: str | None) -> Finding:
    """S.8: no line of any service matches ``success.critical_patterns``.

    Parameters
    ----------
    deployed_at:
        When 8.1 began in this run, ISO 8601; where it is None, the newest start of a service counts.
    """
    platform = platforms.connect(env)
    services = platform.services()
    start, meaning = _start(deployed_at, [service.started for service in services])
    found: list[tuple[str, str]] = []
    read = 0
    for service in services:
        for line in since(platform.logs(service.name), start):
            read += 1
            if any(pattern in line for pattern in env.success.critical_patterns):
                found.append((service.name, line))
    if not read:
        raise Unanswerable(
            f"no service has logged anything since {start:%Y-%m-%d %H:%M:%S} UTC", remedy="see where the logs go"
        )
    return Finding(
        ok=not found,
        observed=f"{len(found)} critical lines among {read} since {meaning} ({start:%Y-%m-%d %H:%M:%S} UTC)",
        expected=f"0 lines with {', '.join(env.success.critical_patterns)}",
        remedy="read the lines below, and what the service logged around them",
        tables=(Table(("service", "line"), tuple((name, line[:300]) for name, line in found[:SHOWN])),)
        if found
        else (),
        evidence=(Evidence("critical.log", "".join(f"{name}: {line}\n" for name, line in found)),) if found else (),
    )


def _start(deployed_at: str | None, started: list[datetime | None]) -> tuple[datetime, str]:
    if deployed_at is not None:
        return datetime.fromisoformat(deployed_at).astimezone(UTC), "the deployment"
    known = [moment for moment in started if moment is not None]
    if not known:
        raise Unanswerable("it is not known when the release was deployed", remedy="run item 8.1 in this run first")
    return max(known).astimezone(UTC), "the newest start of a service"
