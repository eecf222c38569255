"""A file in the folder that cron reads (crontab(5)): one line, run as the declared user."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.environment import CronSchedule, Environment
from runbook_lib.home import VARIABLE
from runbook_lib.schedules import interface

_TEXT = """\
# A backup of {environment} each day, written by the runbook; do not edit, the next run writes it anew.
{variable}={home}
{minute} {hour} * * * {user} {command}
"""


@dataclass(frozen=True)
class Cron:
    """The file; cron notices it by itself."""

    env: Environment
    settings: CronSchedule

    def files(self) -> Mapping[Path, str]:
        """One file, whose name has no dot: cron would skip it."""
        text = _TEXT.format(
            environment=self.env.name,
            variable=VARIABLE,
            home=interface.folder(),
            minute=self.settings.at.minute,
            hour=self.settings.at.hour,
            user=self.settings.user,
            # Cron makes a line's end of a per cent sign.
            command=shlex.join(interface.command(self.env)).replace("%", r"\%"),
        )
        return {self.settings.folder / interface.name(self.env): text}

    def activate(self) -> None:
        """Nothing: cron looks at its folder each minute."""

    def faults(self) -> list[str]:
        """Cron skips files that others than their owner may write."""
        return [
            f"{path} may be written by others (mode {path.stat().st_mode & 0o777:04o}): cron skips it"
            for path in self.files()
            if path.is_file() and path.stat().st_mode & 0o022
        ]

    def describe(self) -> str:
        """When, and by what."""
        return f"cron, daily at {self.settings.at:%H:%M}, as {self.settings.user}"
