from __future__ import annotations

import json

import pytest

from runbook_lib import checklist
from runbook_lib.actions import deployment_record
from runbook_lib.errors import Unanswerable


@pytest.fixture
def where(env, named):
    return named(env)


@pytest.fixture
def write(where, release):
    def written(recording, **options):
        return deployment_record.write(where, recording.run, release, **options).run()

    return written


def pass_all(recording, *, but=()):
    recording.deployed()
    for phase in checklist.forward():
        if phase.number < 17 and phase.number not in but:
            recording.phase(phase.number, "passed")
    recording.phase(17)


def gone_back(recording, taken_back, outcome="passed"):
    recording.phase(90)
    facts = {"rolled_back": {"run": taken_back.run.id, "from": "v1.0.0", "to": "v0.9.0"}}
    recording.step(90, "R.1.2", "rollback.previous_release", kind="action", facts=facts)
    recording.run.events.append("phase ended", phase=90, outcome=outcome, reason="")


def test_every_gate_passed_is_successful(where, record, write, release):
    recording = record(where)
    pass_all(recording)
    finding = write(recording, notes="Quiet night. | <b>")
    assert finding.ok
    assert finding.observed == {"status": "successful"}
    kept = {evidence.name: evidence.content for evidence in finding.evidence}
    entries = json.loads(kept["deployment-record.json"])
    assert entries.pop("Deployment By")
    assert entries == {
        "Deployment Date": "2026-01-02T03:04:05+00:00",
        "Version": f"v1.0.0 (commit {release.commit})",
        "Status": "successful",
        "Notes": "Quiet night. | <b>",
    }
    assert "| Notes | Quiet night. \\| &lt;b&gt; |" in kept["deployment-record.md"]
    assert ("Status", "successful") in finding.tables[0].rows


@pytest.mark.parametrize(
    ("outcome", "said"), [("failed", "11 Performance verification: failed"), ("", "11 Performance verification: never")]
)
def test_a_gate_that_has_not_passed_is_partial(where, record, write, outcome, said):
    recording = record(where)
    pass_all(recording, but=(11,))
    if outcome:
        recording.phase(11, outcome)
    observed = write(recording).observed
    assert observed["status"] == "partial"
    assert [gate for gate in observed["gates not passed"] if gate.startswith(said)]


def test_a_finished_rollback_in_the_run_itself(where, record, write):
    recording = record(where)
    recording.deployed()
    gone_back(recording, recording)
    assert write(recording).observed["status"] == "rolled back"


def test_a_finished_rollback_by_a_run_of_its_own(where, record, write):
    recording, later = record(where), record(where)
    pass_all(recording)
    gone_back(later, recording)
    assert write(recording).observed["status"] == "rolled back"


def test_a_rollback_that_did_not_finish_or_was_of_another_run_is_none(where, record, write):
    recording, later = record(where), record(where)
    pass_all(recording)
    gone_back(later, recording, outcome="failed")
    gone_back(later, later)
    assert write(recording).observed["status"] == "successful"


def test_what_is_deployed_again_after_a_rollback_counts(where, record, write):
    recording = record(where)
    recording.deployed()
    gone_back(recording, recording)
    pass_all(recording)
    assert write(recording).observed["status"] == "successful"


@pytest.mark.parametrize("status", ["planned", ""])
def test_a_run_that_has_deployed_nothing_has_no_record(where, record, write, status):
    recording = record(where)
    if status:
        recording.deployed(status=status)
    with pytest.raises(Unanswerable, match="has deployed nothing"):
        write(recording)
