"""A program of supervisord, which runs nothing by the clock: one that waits for the hour itself."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runbook_lib.environment import Environment, SupervisorPlatform, SupervisorSchedule
from runbook_lib.errors import Unanswerable
from runbook_lib.home import VARIABLE
from runbook_lib.platforms.supervisor import calling, start
from runbook_lib.schedules import interface

_SECONDS: Final = 30.0
_TEXT = """\
; Written by the runbook; do not edit, the next run writes it anew.
[program:{name}]
command={command}
directory={home}
environment={variable}="{home}"
autostart=true
autorestart=true
startsecs=1
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1
"""


@dataclass(frozen=True)
class SupervisorProgram:
    """A file that supervisord's ``[include]`` reads."""

    env: Environment
    settings: SupervisorSchedule

    def files(self) -> Mapping[Path, str]:
        """The program's section; at what time is read from the environment, by the program itself."""
        path = self.settings.folder / f"{interface.name(self.env)}.conf"
        text = _TEXT.format(
            name=interface.name(self.env),
            command=_escaped(shlex.join([sys.executable, "-m", "runbook_lib.actions.daily", self.env.name])),
            home=_escaped(str(interface.folder())),
            variable=VARIABLE,
            log=_escaped(str(path.with_suffix(".log"))),
        )
        return {path: text}

    def activate(self) -> None:
        """Have supervisord read its configuration anew, and run the program as it is written now."""
        name = interface.name(self.env)
        with calling(self._socket()) as supervisord:
            added, changed, _ = supervisord.reloadConfig()[0]
            if name in changed:
                supervisord.stopProcessGroup(name)
                supervisord.removeProcessGroup(name)
            if name in (*added, *changed):
                supervisord.addProcessGroup(name)
            start(supervisord, (name,), _SECONDS)

    def faults(self) -> list[str]:
        """That supervisord does not run the program."""
        name = interface.name(self.env)
        with calling(self._socket()) as supervisord:
            known: list[dict[str, Any]] = supervisord.getAllProcessInfo()
        states = [program["statename"] for program in known if program["name"] == name]
        if not states:
            return [f"supervisord has no program {name}: does its [include] read {self.settings.folder}/*.conf?"]
        return [] if states == ["RUNNING"] else [f"{name} is {states[0]}: read {self.settings.folder / name}.log"]

    def _socket(self) -> Path:
        if self.settings.socket is not None:
            return self.settings.socket
        if not isinstance(self.env.platform, SupervisorPlatform):
            raise Unanswerable(
                f"{self.env.name}.toml declares backup.schedule by supervisor on the platform {self.env.platform.kind}",
                remedy="declare backup.schedule.socket, or systemd or cron as its kind",
            )
        return self.env.platform.socket

    def describe(self) -> str:
        """When, and by what."""
        return f"supervisord's program {interface.name(self.env)}, daily at {self.settings.at:%H:%M}"


def _escaped(value: str) -> str:
    """Supervisord expands what follows a per cent sign."""
    return value.replace("%", "%%")
