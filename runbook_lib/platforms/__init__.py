"""Platforms: an interface beside its variants."""

from __future__ import annotations

from runbook_lib.environment import Environment, SupervisorPlatform
from runbook_lib.platforms.interface import HalfDeployed, Image, LogKeeping, Platform, Service

__all__ = ["HalfDeployed", "Image", "LogKeeping", "Platform", "Service", "connect"]


def connect(env: Environment) -> Platform:
    """The platform that the environment declares."""
    if isinstance(env.platform, SupervisorPlatform):
        from runbook_lib.platforms.supervisor import Supervisor

        return Supervisor(env)
    from runbook_lib.platforms.compose import Compose

    return Compose(env)
