"""What the service depends on, and whether it answers."""

from collections.abc import Callable, Mapping

from sqlalchemy.exc import SQLAlchemyError

import limiter
from models import database
from settings import settings

Probe = Callable[[], None]
OK = "ok"


def required() -> Mapping[str, Probe]:
    """Without these the service is unhealthy."""
    return {"database": database.ping}


def optional() -> Mapping[str, Probe]:
    """Without these the service is degraded."""
    return {"redis": limiter.ping} if settings().redis_url else {}


def observe(probes: Mapping[str, Probe]) -> dict[str, str]:
    """For each dependency ``ok``, or what kind of error it gave."""
    return {name: _state(probe) for name, probe in probes.items()}


def sound(states: Mapping[str, str]) -> bool:
    """Whether every dependency answered."""
    return all(state == OK for state in states.values())


def _state(probe: Probe) -> str:
    try:
        probe()
    except (SQLAlchemyError, OSError) as error:
        return type(error).__name__
    return OK
