from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

import runbook_lib
from runbook_lib import attest, not_built, signature
from runbook_lib.errors import ConfigurationError
from runbook_lib.record import attestation
from runbook_lib.record.summary import summarize
from runbook_lib.step import Status

from .conftest import broken

TODAY = datetime.now(UTC).date()


def item(run, id):
    return summarize(run).items[id]


def test_a_persons_word_passes_what_waited_for_it(roles, tmp_path):
    run = roles.ran(number=15, steps={"15.1.1": attest("The team is trained")})
    assert item(run, "15.1.1")["status"] == Status.PENDING
    note = tmp_path / "list.txt"
    note.write_text("Ada, Grace; mini-database-password\n")
    attestation.attest(run, "15.1.1", roles.mask, person="Ada", note="all twelve were there", files=[note])
    attested = item(run, "15.1.1")
    assert (attested["status"], attested["original"]) == (Status.PASSED, Status.PENDING)
    assert (attested["attested"]["person"], attested["attested"]["note"]) == ("Ada", "all twelve were there")
    (kept,) = attested["attested"]["files"]
    content = (run.folder / kept["path"]).read_bytes()
    assert kept["sha256"] == hashlib.sha256(content).hexdigest()
    assert b"mini-database-password" not in content


def test_a_word_given_before_the_notebook_ran_counts_when_it_runs(roles):
    run = roles.open(15)
    attestation.attest(run, "15.1.1", roles.mask, person="Ada", note="trained last week")
    phase = runbook_lib.begin(15, environment="mini", release="v1", run_id=run.id)
    phase.item("15.1.1", attest("The team is trained"))
    assert item(run, "15.1.1")["status"] == Status.PASSED
    assert item(run, "15.1.1")["steps"][0]["observed"]["person"] == "Ada"


def test_whatever_is_pending_can_be_attested(roles):
    run = roles.ran(number=9, steps={"9.1.2": not_built("QR scanning")})
    attestation.attest(run, "9.1.2", roles.mask, person="Ada", note="scanned by hand")
    assert item(run, "9.1.2")["status"] == Status.PASSED


@pytest.mark.parametrize(
    ("id", "words", "said"),
    [
        ("15.2.1", {}, "does not wait for a person: it is passed"),
        ("3.1", {}, r"3\.1 belongs to phase 3 \(Database setup\), and the run mini/run-001 has phases 15 alone"),
        ("O.1", {}, "signed, not attested: runbook sign RUN --role technical-lead"),
        ("99.9", {}, "The checklist has no item '99.9'"),
        ("15.1.1", {"note": "  "}, "the note is empty"),
        ("15.1.1", {"person": ""}, "say it with --by"),
    ],
)
def test_a_word_that_nobody_waits_for_is_refused(roles, id, words, said):
    run = roles.ran(number=15, steps={"15.1.1": attest("The team is trained")})
    before = run.events.path.read_bytes()
    with pytest.raises(ConfigurationError, match=said):
        attestation.attest(run, id, roles.mask, **{"person": "Ada", "note": "so it is", **words})
    assert run.events.path.read_bytes() == before


def test_what_has_not_run_yet_waits_for_nobody_unless_it_is_a_persons_word(roles):
    run = roles.open(15)
    with pytest.raises(ConfigurationError, match="it has not run yet"):
        attestation.attest(run, "15.2.1", roles.mask, person="Ada", note="so it is")


def test_a_rollback_that_was_begun_in_the_run_is_attested_there(roles):
    run = roles.open(8)
    with pytest.raises(ConfigurationError, match="belongs to phase 90"):
        attestation.attest(run, "R.3.3", roles.mask, person="Ada", note="told everybody")
    run.events.append("run resumed", phases=[90])
    with pytest.raises(ConfigurationError, match="it has not run yet"):
        attestation.attest(run, "R.1.1", roles.mask, person="Ada", note="told everybody")


def test_a_file_that_is_not_there_is_refused_before_anything_is_kept(roles, tmp_path):
    run = roles.ran(number=15, steps={"15.1.1": attest("The team is trained")})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        attestation.attest(run, "15.1.1", roles.mask, person="Ada", note="x", files=[tmp_path / "gone"])
    assert not (run.folder / "evidence" / "15.1.1").exists()


def test_a_waiver_tolerates_and_keeps_what_it_was(roles):
    run = roles.ran(steps={"3.2": broken()})
    attestation.waive(run, "3.2", roles.mask, person="Grace", reason="TICKET-1", expires=TODAY)
    waived = item(run, "3.2")
    assert (waived["status"], waived["original"]) == (Status.WAIVED, Status.FAILED)
    assert (waived["waiver"]["person"], waived["waiver"]["in_force"]) == ("Grace", True)


def test_a_waiver_of_the_run_counts_when_the_item_runs_again(roles):
    run = roles.ran(steps={"3.2": broken()})
    attestation.waive(run, "3.2", roles.mask, person="Grace", reason="TICKET-1", expires=TODAY)
    phase = runbook_lib.begin(3, environment="mini", release="v1", run_id=run.id)
    phase.item("3.1", runbook_lib.not_built("later"))
    phase.item("3.2", broken())
    phase.gate()
    assert item(run, "3.2")["status"] == Status.WAIVED


@pytest.mark.parametrize(
    ("id", "options", "said"),
    [
        ("3.1", {}, "There is nothing to waive: 3.1"),
        ("3.2", {"expires": TODAY - timedelta(days=1)}, "has passed"),
        ("3.2", {"reason": ""}, "the reason is empty"),
        ("O.2", {}, "signed, not attested"),
        ("15.1.1", {}, "it has not run"),
    ],
)
def test_what_cannot_be_waived_is_refused(roles, id, options, said):
    run = roles.ran(steps={"3.2": broken()})
    with pytest.raises(ConfigurationError, match=said):
        attestation.waive(run, id, roles.mask, **{"person": "G", "reason": "R", "expires": TODAY, **options})
    assert item(run, "3.2")["status"] == Status.FAILED


def test_sign_off_waits_for_its_key(roles):
    run = roles.ran(number=17, steps={"O.1": signature("technical-lead")})
    step = item(run, "O.1")["steps"][0]
    assert (step["status"], "runbook sign RUN --role technical-lead" in step["remedy"]) == (Status.PENDING, True)
