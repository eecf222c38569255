"""One environment: all of its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from runbook_lib.environment.application import Application, Cache, Database, Dotenv
from runbook_lib.environment.browser import Browser
from runbook_lib.environment.model import Model
from runbook_lib.environment.monitoring import Monitoring
from runbook_lib.environment.objectives import Limits, Load, Objectives, SuccessCriteria, Waiver
from runbook_lib.environment.platform import ComposePlatform, SupervisorPlatform
from runbook_lib.environment.recovery import Backup, Recovery
from runbook_lib.environment.secret import Secret, is_secret_name, secret_parts
from runbook_lib.environment.security import Security, SecurityAudit
from runbook_lib.environment.service import Api, CommandEdge, MarkerEdge, Request, Web
from runbook_lib.environment.signing import SignOff
from runbook_lib.environment.team import Announcement, Contact, Documentation
from runbook_lib.errors import ConfigurationError, Unanswerable

IN_A_CELL: Final = 4
"""How many parts, each of which may take as long as the longest limit, one cell holds at most."""


class Environment(Model):
    """One environment."""

    name: str
    kind: Literal["sandbox", "staging", "production"]
    release: str = Field(default="", description="the release meant where none is given")
    staging: str | None = Field(default=None, description="the environment that receives a release first")
    staging_run_hours: float | None = Field(
        default=None, gt=0, description="a sealed staging run no older than this counts for 7.1.1; never if absent"
    )
    domains: tuple[str, ...]
    application: Application
    dotenv: Dotenv
    database: Database
    cache: Cache | None = None
    web: Web
    edge: Annotated[MarkerEdge | CommandEdge, Field(discriminator="kind")] | None = None
    api: Api
    browser: Browser = Browser()
    features: tuple[Request, ...] = ()
    platform: Annotated[SupervisorPlatform | ComposePlatform, Field(discriminator="kind")]
    backup: Backup
    objectives: Objectives = Objectives()
    load: Load = Load()
    security: Security
    security_audit: SecurityAudit = SecurityAudit()
    monitoring: Monitoring = Monitoring()
    success: SuccessCriteria = SuccessCriteria()
    contacts: tuple[Contact, ...] = ()
    documentation: Documentation = Documentation()
    announcement: Announcement = Announcement()
    recovery: Recovery = Recovery()
    waivers: tuple[Waiver, ...] = ()
    sign_off: SignOff = SignOff()
    limits: Limits = Limits()

    @field_validator("staging")
    @classmethod
    def _is_another(cls, staging: str | None, info: ValidationInfo) -> str | None:
        if staging is not None and staging == info.data.get("name"):
            raise ValueError("staging is another environment than the one that it receives releases for")
        return staging

    def __str__(self) -> str:
        return self.name

    def cell_seconds(self) -> float:
        """How long one cell may take, in seconds: ``limits.cell``, else the longest that its steps may take in all.

        A step that restores a backup dumps, restores and counts twice, each within ``limits.backup``.
        """
        if self.limits.cell is not None:
            return self.limits.cell
        longest: float = max(value for name, value in self.limits if name != "cell")
        return IN_A_CELL * longest + self.load.ramp_seconds + self.load.duration_seconds

    def secrets(self) -> dict[str, str]:
        """Every secret value known now, by name; what cannot be resolved is left out.

        Raises ConfigurationError where the .env file is not UTF-8.
        """
        found = {name: value for name, value in self._dotenv().items() if value and self.is_secret(name)}
        # What phase 1 is about to write is secret before it stands in the file.
        declared = self.dotenv.values.items()
        found |= {f"dotenv.values.{name}": value for name, value in declared if value and self.is_secret(name)}
        for name, reference in self.references().items():
            try:
                found[name] = reference.resolve().get_secret_value()
            except Unanswerable:
                continue
        for number, channel in enumerate(self.announcement.channels):
            try:
                parts = secret_parts(channel.resolve().get_secret_value())
            except Unanswerable:
                continue
            found |= {f"announcement.channels.{number}.{part}": value for part, value in enumerate(parts)}
        return found

    def _dotenv(self) -> dict[str, str | None]:
        from dotenv import dotenv_values

        try:
            return dotenv_values(self.dotenv.file, interpolate=False)
        except UnicodeDecodeError as error:
            reason = f"{self.dotenv.file} is not UTF-8 ({error}); save it so, for its secrets could not be masked"
            raise ConfigurationError(f"{reason}.") from error

    def is_secret(self, name: str) -> bool:
        """Whether the value of this name in the .env file is held back from the record: by its name, or declared so."""
        return is_secret_name(name) or name in self.dotenv.secrets

    def secret_files(self) -> tuple[Path, ...]:
        """The files that secrets are read from: the service's .env file, and those that references name."""
        references = (*self.references().values(), *self.announcement.channels)
        named = (reference.file for reference in references if reference.file is not None)
        return tuple(dict.fromkeys(path.resolve() for path in (self.dotenv.file, *named)))

    def references(self) -> dict[str, Secret]:
        """Every secret that is referred to, by its setting's name; an announcement's channels are looked at by part."""
        found = {
            "database.url": self.database.url,
            "cache.url": self.cache and self.cache.url,
            "backup.scratch": self.backup.scratch,
            "edge.bypass": self.edge and self.edge.bypass,
            **self.monitoring.secrets(),
        }
        return {name: reference for name, reference in found.items() if reference}
