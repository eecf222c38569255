"""What every way of scheduling does."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.home import VARIABLE, account, home

_PATHS: Final = {"cron": "/usr/bin:/bin", "systemd": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}


class Schedule(Protocol):
    """A daily backup as one scheduler wants it written."""

    def files(self) -> Mapping[Path, str]:
        """What must stand where."""
        ...

    def activate(self) -> None:
        """Have the scheduler follow what was written. Raises Unanswerable where it does not."""
        ...

    def faults(self) -> list[str]:
        """What the scheduler itself says against it; empty where it will run, or where it cannot be asked."""
        ...

    def describe(self) -> str:
        """When, and by what, in a few words."""
        ...


def name(env: Environment) -> str:
    """What the schedule is called: letters, digits and dashes, which every scheduler takes."""
    return f"runbook-backup-{re.sub(r'[^A-Za-z0-9]', '-', env.name)}"


def command(env: Environment) -> list[str]:
    """The command that takes one backup. Raises Unanswerable where the kit's own program is not beside Python."""
    program = Path(sys.executable).with_name("runbook")
    if not program.is_file():
        raise Unanswerable(f"{program} does not exist", remedy="install the kit: pip install .")
    return [str(program), "backup", env.name]


def as_scheduled(env: Environment) -> list[str]:
    """The same command as the scheduler starts it: with nothing of this session's environment but what it gives.

    Sources: crontab(5), and systemd.exec(5) for its PATH.
    """
    schedule = env.backup.schedule
    path = _PATHS.get(schedule.kind if schedule is not None else "", os.environ.get("PATH", os.defpath))
    given = {"PATH": path, "HOME": str(Path.home()), "LOGNAME": account(), VARIABLE: str(folder())}
    return ["env", "-i", *(f"{name}={value}" for name, value in given.items()), *command(env)]


def folder() -> Path:
    """The kit's folder, in which the command runs."""
    return home().root
