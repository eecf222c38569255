"""Error tracking: an interface beside its variants, and the checks that ask it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runbook_lib import platforms
from runbook_lib.checks import monitors
from runbook_lib.checks.dotenv import dsn_faults, read, shown
from runbook_lib.checks.errors.interface import TrackedEvent, Tracker
from runbook_lib.environment import BugsinkTracker, Environment
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.step import Finding, Table, check

__all__ = ["FACT", "TrackedEvent", "Tracker", "appears", "connect", "dsn_in_service", "running_dsn"]

FACT: Final = "test_error"
"""What this run has sent: its event id, and the digest of the DSN it was sent to."""
NAME: Final = "SENTRY_DSN"


def connect(env: Environment) -> Tracker | None:
    """The tracker that the environment declares, None where it declares none."""
    declared = env.monitoring.tracker
    if declared is None:
        return None
    if isinstance(declared, BugsinkTracker):
        from runbook_lib.checks.errors.bugsink import Bugsink

        return Bugsink(env, declared)
    from runbook_lib.checks.errors.sentry import Sentry

    return Sentry(env, declared)


def running_dsn(env: Environment) -> str | None:
    """The DSN that the first of ``monitoring.tracked_services`` runs with, None where it has none."""
    if not env.monitoring.tracked_services:
        raise Unanswerable("monitoring.tracked_services names no service", remedy="name those whose errors are tracked")
    return platforms.connect(env).environment(env.monitoring.tracked_services[0]).get(NAME)


@check("The running service has the declared SENTRY_DSN")
def dsn_in_service(env: Environment) -> Finding:
    """10.1.1: in the environment of each of ``monitoring.tracked_services``, as it runs, not only in the .env file.

    It must be the one that ``dotenv.values`` declares, or the .env file holds where none is declared.
    """
    running_dsn(env)
    platform = platforms.connect(env)
    declared = env.dotenv.values.get(NAME)
    wanted = declared if declared is not None else read(env.dotenv.file).get(NAME)
    source = f"{env.name}.toml" if declared is not None else env.dotenv.file.name
    problems, rows = [], []
    for service in env.monitoring.tracked_services:
        found = platform.environment(service).get(NAME)
        faults = dsn_faults(found)
        if not faults and found != wanted:
            faults = [f"it is not the one in {source}"]
        problems += [f"{service}: {fault}" for fault in faults]
        rows.append((service, shown(env, NAME, found), "; ".join(faults) or "as declared"))
    return Finding(
        ok=not problems,
        observed=problems or {service: value for service, value, _ in rows},
        expected=f"{shown(env, NAME, wanted)}, as in {source}",
        remedy=f"set {NAME} (1.2.8) and start the service anew (8.1): it reads its settings when it starts",
        tables=(Table(("service", NAME, "verdict"), tuple(rows)),),
    )


@check("The test error is found in the tracker")
def appears(env: Environment, facts: Mapping[str, Any]) -> Finding:
    """10.1.3: by its event id, through the tracker's API, within ``monitoring.arrival_seconds``.

    Raises
    ------
    Waiting
        No tracker is declared that could be asked: a person looks for the event.
    Unanswerable
        This run has sent no test error; or the tracker does not answer, refuses the token, or has no such project.
    """
    sent = facts.get(FACT)
    if not sent:
        raise Unanswerable("this run has sent no test error", remedy="run item 10.1.2 in this run first")
    tracker, event_id = connect(env), str(sent["event_id"])
    if tracker is None:
        raise Waiting(
            f"monitoring.tracker is not declared: nobody can be asked for event {event_id}",
            remedy=f"look for event {event_id} in the tracker's pages, or declare monitoring.tracker with a token",
        )
    limit = env.monitoring.arrival_seconds
    found, seconds = monitors.wait_for(lambda: tracker.find(event_id), limit, f"looking for event {event_id}")
    expected = f"event {event_id} within {limit:g} s"
    if found is None:
        remedy = "see the tracker's log and its limits on events; does the service's DSN belong to this project?"
        return Finding(False, f"{tracker.name} does not show event {event_id} after {seconds:.1f} s", expected, remedy)
    return Finding(
        ok=True,
        observed=f"{tracker.name} shows event {event_id} after {seconds:.1f} s",
        expected=expected,
        tables=(Table(("event", "title", "received", "page"), ((found.id, found.title, found.received, found.page),)),),
    )
