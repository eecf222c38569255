"""What the services have logged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from runbook_lib import platforms
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Evidence, Finding, Table, check

SHOWN: Final = 10


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
        for line in platform.logs(service.name, since=start).splitlines():
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
