"""The daily backup: its schedule, written for what runs it."""

from __future__ import annotations

from runbook_lib import command, schedules
from runbook_lib.checks import backups
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.record.archive import write_atomically
from runbook_lib.schedules import interface
from runbook_lib.step import Evidence, Finding, Table, action, progress


@action("Take the first daily backup of {env}, unless there is one")
def first_backup(env: Environment) -> Finding:
    """14.1.1: where no daily backup is kept yet, run the command that the schedule is to run; else do nothing.

    A schedule that has taken none for days is not made up for here: that is for the check after it to say.

    Raises
    ------
    Unanswerable
        No schedule is declared, or a dump that may be the newest daily backup does not say what it is.
    """
    schedules.connect(env)
    expected = "a daily backup, to begin with"
    earlier = backups.newest_daily(env)
    if earlier is not None:
        return Finding(ok=True, observed=f"there is one: {earlier.file}", expected=expected)
    progress("taking the first daily backup")
    completed = command.run(interface.as_scheduled(env), timeout=env.limits.backup * 2)
    taken = backups.newest_daily(env) if completed.ok else None
    return Finding(
        ok=taken is not None,
        observed=taken.file
        if taken
        else f"'runbook backup {env.name}' ended with {completed.returncode}: {completed.tail(3)}",
        expected=expected,
        remedy=f"see what the command says: runbook backup {env.name}; the schedule would run the same",
        evidence=(Evidence("backup.log", completed.output),),
    )


@action("Schedule a daily backup of {env}")
def install(env: Environment) -> Finding:
    """14.1.1: the files of ``backup.schedule`` are written where they differ, and the scheduler follows them.

    Raises
    ------
    Unanswerable
        No schedule is declared, its folder may not be written to, or the scheduler does not answer.
    """
    schedule = schedules.connect(env)
    if env.database.url.env is not None and env.backup.schedule is not None:
        return Finding(
            ok=False,
            observed=f"the database's address is ${env.database.url.env} of this session's environment",
            expected=f"an address that {env.backup.schedule.kind} has too, when it starts the backup",
            remedy="refer to it by file and key, or by a command, in [database] url",
        )
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
