"""Wait for the hour and take a backup, day after day: ``python -m runbook_lib.actions.daily ENV``.

For supervisors that run nothing by the clock. What was missed while the machine was down is made up for at the start.
"""

from __future__ import annotations

import sys
import time as clock
from datetime import datetime, time, timedelta
from typing import Final

from runbook_lib import command, environment, schedules
from runbook_lib.checks import backups
from runbook_lib.errors import RunbookError, Unanswerable
from runbook_lib.schedules import interface

LOOK_SECONDS: Final = 60.0
"""How often the clock is read while waiting: a suspended machine or a clock that was set delays by no more."""


def due(newest: datetime | None, at: time) -> datetime | None:
    """When the next backup is to be taken: at the first `at`, in local time, after `newest`; None is at once."""
    if newest is None:
        return None
    local = newest.astimezone()
    days = (datetime.combine(local.date() + timedelta(days=ahead), at).astimezone() for ahead in range(3))
    return next(day for day in days if day > newest)


def step(name: str) -> float:
    """Take a backup if one is due; how many seconds to wait before looking again."""
    env = environment.load(name)
    schedules.connect(env)
    assert env.backup.schedule is not None
    try:
        newest = backups.newest_daily(env)
    except Unanswerable as error:
        # What lies there may be anything; a backup of today is the best answer to it.
        print(error, flush=True)
        newest = None
    when = due(newest.taken_at if newest else None, env.backup.schedule.at)
    now = datetime.now().astimezone()
    if when is not None and when > now:
        return min(LOOK_SECONDS, (when - now).total_seconds())
    try:
        completed = command.run(interface.command(env), timeout=env.limits.backup * 2)
        print(completed.output.strip(), flush=True)
    except Unanswerable as error:
        print(error, flush=True)
    return LOOK_SECONDS


def main(name: str) -> None:
    """Go on until we are stopped. A RunbookError, such as an environment that is gone, ends it."""
    while True:
        clock.sleep(step(name))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RunbookError as error:
        sys.exit(str(error))
