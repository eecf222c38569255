"""How a daily backup is scheduled, whatever runs it: ``schedules.connect(env)``."""

from __future__ import annotations

from runbook_lib.environment import CronSchedule, Environment, SupervisorSchedule, SystemdSchedule
from runbook_lib.errors import Unanswerable
from runbook_lib.schedules.cron import Cron
from runbook_lib.schedules.interface import Schedule
from runbook_lib.schedules.supervisor import SupervisorProgram
from runbook_lib.schedules.systemd import SystemdTimer

__all__ = ["Schedule", "connect"]


def connect(env: Environment) -> Schedule:
    """The schedule that `env` declares. Raises Unanswerable where it declares none."""
    match env.backup.schedule:
        case SupervisorSchedule() as settings:
            return SupervisorProgram(env, settings)
        case SystemdSchedule() as settings:
            return SystemdTimer(env, settings)
        case CronSchedule() as settings:
            return Cron(env, settings)
    raise Unanswerable(
        f"{env.name}.toml declares no backup.schedule", remedy="declare it: supervisor, systemd or cron, and when"
    )
