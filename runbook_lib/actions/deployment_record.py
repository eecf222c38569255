"""The deployment record that closes the checklist: date, by, version, status, notes."""

from __future__ import annotations

import json
from typing import Final

from runbook_lib import checklist, pages
from runbook_lib.actions import deployment
from runbook_lib.actions.predecessor import ROLLED_BACK
from runbook_lib.checklist import ROLLBACK, SIGN_OFF
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.pages import Page, Section
from runbook_lib.record import archive
from runbook_lib.record.archive import Facts, Run
from runbook_lib.record.summary import summarize
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, action

SUCCESSFUL: Final = "successful"
ROLLED_BACK_STATUS: Final = "rolled back"
PARTIAL: Final = "partial"


@action("Write the deployment record of {release}")
def write(env: Environment, run: Run, release: Release, *, notes: str = "") -> Finding:
    """O.5: filled from the run; the notes are the operator's words.

    The status is *successful* where every gate before sign-off passed, *rolled back* where a rollback of this
    deployment finished, and *partial* for a deployment of which neither can be said.

    Raises
    ------
    Unanswerable
        This run has deployed nothing.
    """
    if not deployment.has_begun(run):
        raise Unanswerable("this run has deployed nothing", remedy="run phase 8 in this run first")
    summary = summarize(run)
    missing = _gates_not_passed(run)
    status = ROLLED_BACK_STATUS if is_rolled_back(run) else PARTIAL if missing else SUCCESSFUL
    record = {
        "Deployment Date": Facts(run).get(deployment.DEPLOYED_AT, summary.started),
        "Deployment By": summary.opened["operator"],
        "Version": f"{release.tag} (commit {release.commit})",
        "Status": status,
        "Notes": notes,
    }
    table = Table(("entry", "value"), tuple(record.items()), f"Deployment record of {env.name}")
    page = Page("deployment-record", table.title, (), (Section("Entries", table=table),))
    return Finding(
        ok=True,
        observed={"status": status} | ({"gates not passed": missing} if missing else {}),
        expected=f"{SUCCESSFUL} (every gate passed), {ROLLED_BACK_STATUS}, or {PARTIAL}",
        tables=(table,),
        evidence=(
            Evidence("deployment-record.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n"),
            Evidence("deployment-record.md", pages.markdown(page)),
        ),
    )


def _gates_not_passed(run: Run) -> list[str]:
    """The phases before sign-off whose gate has not passed in this run, each with what it came to."""
    outcomes = {each.phase.number: each.outcome for each in summarize(run).phases}
    return [
        f"{phase.number} {phase.title}: {outcomes.get(phase.number, 'never ran')}"
        for phase in checklist.forward()
        if phase.number < SIGN_OFF and outcomes.get(phase.number) != "passed"
    ]


def is_rolled_back(run: Run) -> bool:
    """Whether a rollback of this run's deployment finished, in this run or in a later one."""
    for each in (run, *archive.runs(run.environment)):
        done = Facts(each).get(ROLLED_BACK)
        if done and done["run"] == run.id and _finished(each):
            return True
    return False


def _finished(run: Run) -> bool:
    """Whether notebook 90's gate passed, and nothing was deployed in this run after it."""
    outcomes = {each.phase.number: each.outcome for each in summarize(run).phases}
    if ROLLBACK not in outcomes:
        return False
    order = list(outcomes)
    deployed_again = deployment.PHASE in order and order.index(deployment.PHASE) > order.index(ROLLBACK)
    return outcomes[ROLLBACK] == "passed" and not deployed_again
