"""Whether the daily backup is scheduled."""

from __future__ import annotations

from runbook_lib import schedules
from runbook_lib.environment import Environment
from runbook_lib.step import Evidence, Finding, check


@check("The daily backup of {env} is scheduled")
def installed(env: Environment) -> Finding:
    """14.1.1: each file is read back from where the scheduler looks, and the scheduler says nothing against it.

    Raises
    ------
    Unanswerable
        No schedule is declared, or the scheduler does not answer.
    """
    schedule = schedules.connect(env)
    problems, found = [], []
    for path, text in schedule.files().items():
        if not path.is_file():
            problems.append(f"{path} is missing")
            continue
        there = path.read_text(encoding="utf-8", errors="replace")
        found.append(Evidence(f"{path.name}.txt", there))
        if there != text:
            problems.append(f"{path} is not as it was written")
    problems = problems or schedule.faults()
    return Finding(
        ok=not problems,
        observed=problems or schedule.describe(),
        expected="the files as the runbook writes them, and a scheduler that follows them",
        remedy="run the action of this item, and keep its files from being changed by hand",
        evidence=tuple(found),
    )
