"""A systemd service and the timer that starts it each day (systemd.timer(5))."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runbook_lib import command
from runbook_lib.environment import Environment, SystemdSchedule
from runbook_lib.errors import Unanswerable
from runbook_lib.home import VARIABLE
from runbook_lib.schedules import interface

SYSTEM: Final = Path("/etc/systemd/system")
"""The folder that systemd reads; units elsewhere are somebody else's to install, and are verified only."""
_SECONDS: Final = 30.0
_SERVICE = """\
# Written by the runbook; do not edit, the next run writes it anew.
[Unit]
Description=Backup of {environment}

[Service]
Type=oneshot
User={user}
WorkingDirectory={home}
Environment="{variable}={home}"
ExecStart={command}
"""
_TIMER = """\
# Written by the runbook; do not edit, the next run writes it anew.
[Unit]
Description=Daily backup of {environment}

[Timer]
OnCalendar=*-*-* {at:%H:%M}:00
Persistent=true

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class SystemdTimer:
    """The two units."""

    env: Environment
    settings: SystemdSchedule

    def files(self) -> Mapping[Path, str]:
        """The service and its timer."""
        base = self.settings.folder / interface.name(self.env)
        service = _SERVICE.format(
            environment=_escaped(self.env.name),
            user=self.settings.user,
            home=_escaped(str(interface.folder())),
            variable=VARIABLE,
            command=" ".join(f'"{_escaped(word)}"' for word in interface.command(self.env)),
        )
        timer = _TIMER.format(environment=_escaped(self.env.name), at=self.settings.at)
        return {base.with_suffix(".service"): service, base.with_suffix(".timer"): timer}

    def activate(self) -> None:
        """Enable and start the timer, where the units lie in systemd's own folder."""
        if self.settings.folder == SYSTEM:
            for words in (("daemon-reload",), ("enable", "--now", self._timer)):
                completed = command.run(["systemctl", *words], timeout=_SECONDS)
                if not completed.ok:
                    raise Unanswerable(
                        f"systemctl {' '.join(words)} ended with {completed.returncode}: {completed.tail(2)}",
                        remedy="is systemd what runs this machine, and are you allowed to?",
                    )

    def faults(self) -> list[str]:
        """What ``systemd-analyze`` says of the units, and whether the timer is enabled and active."""
        found = []
        if shutil.which("systemd-analyze"):
            verified = command.run(["systemd-analyze", "verify", *self.files()], timeout=_SECONDS)
            found += [] if verified.ok else [f"systemd-analyze verify: {verified.tail(3)}"]
        if self.settings.folder == SYSTEM:
            for state in ("is-enabled", "is-active"):
                asked = command.run(["systemctl", state, self._timer], timeout=_SECONDS)
                found += [] if asked.ok else [f"systemctl {state} {self._timer}: {asked.tail(1) or asked.returncode}"]
        return found

    @property
    def _timer(self) -> str:
        return f"{interface.name(self.env)}.timer"

    def describe(self) -> str:
        """When, and by what."""
        by = "enabled and active" if self.settings.folder == SYSTEM else f"units written to {self.settings.folder}"
        return f"systemd timer, daily at {self.settings.at:%H:%M}, {by}"


def _escaped(value: str) -> str:
    """For a quoted word of a unit: systemd expands per cent and dollar signs (systemd.service(5))."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
