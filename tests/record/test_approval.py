from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import runbook_lib
from runbook_lib import attest, environment, release
from runbook_lib.errors import ConfigurationError
from runbook_lib.record import approval, keys
from runbook_lib.record.masking import Mask
from runbook_lib.record.summary import summarize

TODAY = datetime.now(UTC).date()


def v1():
    return release.find(environment.load("mini"), "v1")


def write(roles, path, *, key=None, **options):
    arguments = {"phases": (15,), "person": "Ada", "note": "trained", "expires": TODAY, **options}
    signer = keys.signer(key or roles.private["operations"])
    return approval.write(path, "mini", v1(), signer=signer, trust=roles.trust, mask=roles.mask, **arguments)


def test_an_approval_stands_for_the_attestations_of_its_phases(roles, tmp_path):
    assert write(roles, tmp_path / "a.json") == "operations"
    run = roles.open(15)
    approval.accept(run, approval.read(tmp_path / "a.json", "mini", v1(), roles.trust, roles.mask))
    phase = runbook_lib.begin(15, environment="mini", release="v1", run_id=run.id)
    phase.item("15.1.1", attest("The team is trained"))
    step = summarize(run).items["15.1.1"]["steps"][0]
    assert (step["status"], step["observed"]["approved in advance"]["role"]) == ("passed", "operations")
    assert (run.folder / "evidence/approvals/operations.dsse.json").read_bytes() == (tmp_path / "a.json").read_bytes()


def test_it_stands_for_no_other_phase(roles, tmp_path):
    write(roles, tmp_path / "a.json")
    run = roles.open(90)
    approval.accept(run, approval.read(tmp_path / "a.json", "mini", v1(), roles.trust, roles.mask))
    phase = runbook_lib.begin(90, environment="mini", release="v1", run_id=run.id)
    phase.item("R.3.3", attest("A post-mortem is planned"))
    assert summarize(run).items["R.3.3"]["status"] == "pending"


@pytest.mark.parametrize(
    ("environment_name", "commit", "said"),
    [("other", None, "is for the environment mini, not for other"), ("mini", "f" * 40, "is for the commit")],
)
def test_it_is_bound_to_environment_and_commit(roles, tmp_path, environment_name, commit, said):
    write(roles, tmp_path / "a.json")
    target = v1() if commit is None else replace(v1(), commit=commit)
    with pytest.raises(ConfigurationError, match=said):
        approval.read(tmp_path / "a.json", environment_name, target, roles.trust, roles.mask)


def changed(path, **said):
    envelope = json.loads(path.read_text())
    statement = json.loads(b64decode(envelope["payload"]))
    statement["predicate"] |= said
    envelope["payload"] = b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(envelope, indent=1) + "\n")


@pytest.mark.parametrize(
    ("said", "why"),
    [({"phases": [15, 90]}, "does not hold"), ({"expires": str(TODAY - timedelta(days=9))}, "does not hold")],
)
def test_a_word_changed_after_signing_is_refused(roles, tmp_path, said, why):
    write(roles, tmp_path / "a.json")
    changed(tmp_path / "a.json", **said)
    with pytest.raises(ConfigurationError, match=why):
        approval.read(tmp_path / "a.json", "mini", v1(), roles.trust, roles.mask)


def test_an_approval_that_expired_is_refused(roles, tmp_path, monkeypatch):
    write(roles, tmp_path / "a.json", expires=TODAY)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=2)

    monkeypatch.setattr(approval, "datetime", Later)
    with pytest.raises(ConfigurationError, match="has expired"):
        approval.read(tmp_path / "a.json", "mini", v1(), roles.trust, roles.mask)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"payload": "x", "payloadType": "y", "signatures": []}', "\0"])
def test_what_is_no_approval_is_refused(roles, tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ConfigurationError, match="is no approval"):
        approval.read(tmp_path / "a.json", "mini", v1(), roles.trust, roles.mask)


def test_a_key_that_nobody_trusts_cannot_approve(roles, tmp_path):
    keys.generate(tmp_path / "stranger")
    with pytest.raises(ConfigurationError, match="trusts this key for no role"):
        write(roles, tmp_path / "a.json", key=tmp_path / "stranger")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"phases": (3,)}, "Phase 3 has nothing that could be approved"),
        ({"phases": (17,)}, "Phase 17 has nothing that could be approved"),
        ({"expires": TODAY - timedelta(days=1)}, "has passed"),
    ],
)
def test_an_approval_of_nothing_is_refused(roles, tmp_path, options, said):
    with pytest.raises(ConfigurationError, match=said):
        write(roles, tmp_path / "a.json", **options)
    assert not (tmp_path / "a.json").exists()


def test_a_secret_in_its_words_is_refused(roles, tmp_path):
    with pytest.raises(ConfigurationError, match="holds the secret"):
        write(roles, tmp_path / "a.json", note="by mini-database-password")
    write(roles, tmp_path / "a.json", note="agreed on")
    with pytest.raises(ConfigurationError, match="holds the secret"):
        approval.read(tmp_path / "a.json", "mini", v1(), roles.trust, Mask().learn({"WORD": "agreed on"}))


def test_a_folder_that_is_not_there_is_said(roles, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(roles, tmp_path / "no" / "a.json")
