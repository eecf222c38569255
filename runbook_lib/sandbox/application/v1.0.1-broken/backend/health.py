"""What the service depends on, and whether it answers."""

import os
from collections.abc import Callable, Mapping

import psycopg
from sqlalchemy.exc import SQLAlchemyError

import limiter
from models import database
from settings import settings

Probe = Callable[[], None]
OK = "ok"
REPLICA = "REPORTING_DATABASE_URL"


def required() -> Mapping[str, Probe]:
    """Without these the service is unhealthy."""
    if settings().environment == "production":
        return {"database": database.ping, "reporting": replica}
    return {"database": database.ping}


def optional() -> Mapping[str, Probe]:
    """Without these the service is degraded."""
    return {"redis": limiter.ping} if settings().redis_url else {}


def replica() -> None:
    """New in 1.0.1: production's reports are read from a replica. Raises LookupError where none is configured."""
    psycopg.connect(os.environ[REPLICA], connect_timeout=3).close()


def observe(probes: Mapping[str, Probe]) -> dict[str, str]:
    """For each dependency ``ok``, or what kind of error it gave."""
    return {name: _state(probe) for name, probe in probes.items()}


def sound(states: Mapping[str, str]) -> bool:
    """Whether every dependency answered."""
    return all(state == OK for state in states.values())


def _state(probe: Probe) -> str:
    try:
        probe()
    except (SQLAlchemyError, OSError, LookupError, psycopg.Error) as error:
        return type(error).__name__
    return OK
