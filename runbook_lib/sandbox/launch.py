"""Start a program with the values of a .env file in its environment: ``launch.py FILE PROGRAM [ARGUMENT …]``.

Run by supervisord, and by its path, so that nothing of the kit is imported; no shell reads the values.
"""

from __future__ import annotations

import os
import shutil
import sys

import psutil
from dotenv import dotenv_values

# By these two the processes of one program of one stack are known; supervisord sets the second.
_MARKS = ("RUNBOOK_SANDBOX", "SUPERVISOR_PROCESS_NAME")


def launch(file: str, *command: str) -> None:
    """Become `command`."""
    _end_orphans()
    values = {name: value for name, value in dotenv_values(file, interpolate=False).items() if value is not None}
    environment = {**os.environ, **values}
    # The counters of workers that are gone; Prometheus' client wants them removed before each start.
    shutil.rmtree(environment.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
    os.execve(command[0], command, environment)  # noqa: S606


def _end_orphans() -> None:
    """End the workers of a killed predecessor: they would hold its port for ever."""
    ours = [os.environ.get(mark) for mark in _MARKS]
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if process.pid != os.getpid() and [environment.get(mark) for mark in _MARKS] == ours:
                process.kill()
        except (psutil.Error, OSError):
            continue  # another user's, or gone meanwhile


if __name__ == "__main__":
    launch(*sys.argv[1:])
