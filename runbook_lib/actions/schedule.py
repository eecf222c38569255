"""The daily backup: its schedule, written for what runs it."""

from __future__ import annotations

from runbook_lib import schedules
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.record.archive import write_atomically
from runbook_lib.step import Finding, Table, action


@action("Schedule a daily backup of {env}")
def install(env: Environment) -> Finding:
    """14.1.1: the files of ``backup.schedule`` are written where they differ, and the scheduler follows them.

    Raises
    ------
    Unanswerable
        No schedule is declared, its folder may not be written to, or the scheduler does not answer.
    """
    schedule = schedules.connect(env)
    written = {}
    for path, text in schedule.files().items():
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        written[path] = "as it was" if same else "written"
        if not same:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text.encode())
            except OSError as error:
                raise Unanswerable(
                    f"{path} could not be written: {error.strerror}",
                    remedy="run as a user who may, or name another backup.schedule.folder",
                ) from error
    schedule.activate()
    return Finding(
        ok=True,
        observed=schedule.describe(),
        expected="the schedule's files written, and the scheduler told",
        tables=(Table(("file", "state"), tuple((str(path), state) for path, state in written.items())),),
    )
