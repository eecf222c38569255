"""Whether the services run, and stay up; and what one of them sees from inside."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from runbook_lib import platforms
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import Service
from runbook_lib.step import Finding, Table, check, progress

POLL_SECONDS: Final = 0.25


@check("Every service of {env} is up and stays up")
def running(env: Environment) -> Finding:
    """8.2: each declared service is up, healthy where it has a health check, and none restarts while we watch.

    Watched for ``platform.settle_seconds``.
    """
    platform = platforms.connect(env)
    settle = env.platform.settle_seconds
    first = platform.services()
    if not first:
        raise Unanswerable(f"{env.name}.toml declares no services", remedy="name them in platform.services")
    deadline = time.monotonic() + settle
    latest = first
    while not (problems := _problems(first, latest)) and time.monotonic() < deadline:
        progress(f"all up; watching for {deadline - time.monotonic():.0f} s more")
        time.sleep(POLL_SECONDS)
        latest = platform.services()
    return Finding(
        ok=not problems,
        observed=problems or f"{len(latest)} services up for {settle:g} s, none restarted",
        expected=f"{len(first)} services up for {settle:g} s, none restarted",
        remedy="read the log of the service named",
        tables=(_table(latest),),
    )


def _problems(first: Sequence[Service], latest: Sequence[Service]) -> list[str]:
    before = {service.name: service for service in first}
    problems = []
    for service in latest:
        earlier = before.get(service.name, service)
        if not service.up:
            problems.append(f"{service.name} is {service.state}{_why(service)}")
        elif service.healthy is False:
            problems.append(f"{service.name} is up, but not healthy{_why(service)}")
        elif service.restarts > earlier.restarts or service.started != earlier.started:
            problems.append(f"{service.name} restarted while it was watched")
    return problems


def _why(service: Service) -> str:
    return f": {service.detail}" if service.detail else ""


def _table(services: Sequence[Service]) -> Table:
    health = {None: "no health check", True: "healthy", False: "unhealthy"}
    return Table(
        ("service", "state", "health", "up since", "restarts"),
        tuple(
            (service.name, service.state, health[service.healthy], str(service.started or ""), service.restarts)
            for service in services
        ),
    )


@check("The back end reaches its database from inside")
def database_inside(env: Environment) -> Finding:
    """9.3: the checklist's own one-liner, run where the back end runs, prints ``DB OK``."""
    found = _probed(env, env.application.backend.connection_probe, "DB OK", "database-probe.txt")
    return replace(found, remedy="compare DATABASE_URL in the service's environment with the database's state (3.2)")


@check("The back end reaches its cache from inside")
def cache_inside(env: Environment) -> Finding:
    """9.4: a line of Python, run where the back end runs, prints ``CACHE OK``."""
    found = _probed(env, env.application.backend.cache_probe, "CACHE OK", "cache-probe.txt")
    return replace(found, remedy="compare REDIS_URL in the service's environment with the cache's state")


def _probed(env: Environment, probe: str, wanted: str, file: str) -> Finding:
    """Whether `probe`, run by the back end's own Python, ends well and prints the line that is `wanted`."""
    completed = platforms.connect(env).execute("backend", ["python", "-c", probe], timeout=env.limits.request * 3)
    said = completed.tail(1)
    return Finding(
        ok=completed.ok and wanted in completed.output.splitlines(),
        observed=f"exit code {completed.returncode}; {said or 'no output'}",
        expected=f"exit code 0; {wanted}",
        evidence=(completed.evidence(file),),
    )
