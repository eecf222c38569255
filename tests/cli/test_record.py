"""The record's commands as a person types them, on runs of real notebooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest

from runbook_lib import checklist
from runbook_lib.environment import ROLES
from runbook_lib.record import archive
from runbook_lib.record.summary import summarize

from ..test_runner import write_notebooks

RUNBOOK = Path(sys.executable).with_name("runbook")
TODAY = datetime.now(UTC).date()


def runbook(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    words = [str(argument) for argument in arguments]
    return subprocess.run([RUNBOOK, *words], capture_output=True, text=True, timeout=120, **options)


def said(code: int, *arguments: object) -> str:
    """What a command prints, which must end with `code`."""
    completed = runbook(*arguments)
    assert completed.returncode == code, completed.stdout + completed.stderr
    assert "Traceback" not in completed.stderr
    return completed.stdout + completed.stderr


def cells(number: int, **others: str) -> list[str]:
    items = checklist.phase(number).items
    return [*(f'phase.item("{item.id}", {others.get(item.id, "sound()")})' for item in items), "phase.gate()"]


def readmes_command() -> str:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    return re.search(r"<!-- verify -->\n```sh\n(.*?)\n```", readme, re.DOTALL)[1]


@pytest.fixture
def kit(mini, tmp_path):
    """Notebooks 15 and 17, an item of which is in error, and a key for each role."""
    fifteen = cells(15, **{"15.1.1": 'attest("The team is trained")', "15.2.2": "broken()"})
    seventeen = [
        "from runbook_lib import signature",
        *cells(17, **{f"O.{number}": f'signature("{role}")' for number, role in enumerate(ROLES, start=1)}),
    ]
    write_notebooks(mini, {15: fifteen, 17: seventeen})
    path = mini.notebooks / checklist.phase(17).notebook
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += '\nnotes = ""'
    nbformat.write(notebook, path)
    printed = {role: said(0, "keygen", tmp_path / role) for role in ROLES}
    lines = {role: re.search(r'^"ssh-ed25519 \S+"$', text, re.MULTILINE)[0] for role, text in printed.items()}
    toml = mini.environments[0] / "mini.toml"
    table = [f"{role} = {line}" for role, line in lines.items()]
    toml.write_text("\n".join([toml.read_text(), "[sign_off.keys]", *table, ""]))
    return tmp_path


def test_from_the_first_failure_to_the_signed_record(kit):
    out = said(1, "run", "mini", "--release", "v1", "--only", "15,17", "--notes", "as agreed")
    assert "15.2.2" in out
    (run,) = archive.runs()
    assert "15.1.1 is pending" in said(2, "seal", run.id)
    assert "15.2.2 is failed" in said(2, "seal", run.id)
    said(0, "waive", run.id, "15.2.2", "--reason", "TICKET-1", "--expires", TODAY, "--by", "Grace")
    vouched = ["--note", "all twelve", "--by", "Ada", "--file", __file__]
    said(0, "attest", run.id, "15.1.1", *vouched)
    out = said(3, "run", "mini", "--resume", run.id)
    assert "waived by Grace" in out
    digest = re.search(r"tag: (\w{64})", said(0, "seal", run.id))[1]
    assert "is sealed: nothing can be added" in said(2, "run", "mini", "--resume", run.id)
    assert "is sealed: nothing can be added" in said(2, "attest", run.id, "15.1.1", *vouched)
    assert "4 more of 4 roles have to sign" in said(3, "verify", run.id)
    for number, role in enumerate(ROLES, start=1):
        more = "the run is signed off" if number == 4 else f"{4 - number} more of 4 have to sign"
        assert more in said(0, "sign", run.id, "--role", role, "--key", kit / role)
    assert "✔ mini/" in said(0, "verify", "--all", "--expect", digest)
    assert said(0, "verify", run.folder).count("✔") == 1
    path = {**os.environ, "PATH": f"{RUNBOOK.parent}:{os.environ['PATH']}"}
    assert subprocess.run(["bash", "-c", readmes_command()], env=path, capture_output=True).returncode == 0
    shown = said(0, "show", run.id)
    assert "; signed off\nWhether it holds: runbook verify" in shown
    assert "15.2.2" in shown and "O.1" not in shown
    assert "signed off" in said(0, "list")
    opened = summarize(run).opened
    assert opened["parameters"]["notes"] == "as agreed"
    (run.folder / "new.txt").write_text("x")
    assert "✘ new.txt was added" in said(1, "verify", run.id)
    assert "does not hold, and is not signed" in said(
        2, "sign", run.id, "--role", "security", "--key", kit / "security"
    )
    assert "no manifest has the SHA-256" in said(1, "verify", "--all", "--expect", "0" * 64)


def test_an_approval_in_advance_lets_a_headless_run_pass(kit, mini):
    write_notebooks(mini, {15: cells(15, **{"15.1.1": 'attest("The team is trained")'})})
    approval = kit / "approval.json"
    words = [
        "--key",
        kit / "operations",
        "--expires",
        TODAY + timedelta(days=1),
        "--note",
        "trained",
        "--out",
        approval,
    ]
    assert "operations approves phases 15 of v1 in mini" in said(0, "approve", "mini", "--release", "v1", *words)
    assert "never overwritten" in said(2, "approve", "mini", "--release", "v1", *words)
    said(3, "run", "mini", "--release", "v1", "--only", "15")
    said(0, "run", "mini", "--release", "v1", "--only", "15", "--approval", approval)
    assert "is no approval" in said(2, "run", "mini", "--release", "v1", "--only", "15", "--approval", __file__)
    assert len(archive.runs()) == 2


def test_trust_may_come_from_a_file_of_its_own(kit, mini):
    said(1, "run", "mini", "--release", "v1", "--only", "15")
    (run,) = archive.runs()
    trusted = kit / "trusted.toml"
    toml = mini.environments[0] / "mini.toml"
    trusted.write_text("[sign_off.keys]" + toml.read_text().partition("[sign_off.keys]")[2])
    toml.unlink()
    assert "holds" in said(3, "verify", run.id, "--trust", trusted)
    assert "holds" in said(3, "verify", run.id)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["attest", "gone", "15.1.1", "--note", "x"], "There is no run 'gone'"),
        (["attest", "gone", "15.1.1"], "Missing option '--note'"),
        (["waive", "gone", "5.1.1", "--reason", "x", "--expires", "tomorrow"], "does not match the format"),
        (["verify"], "Name a run to verify, or give --all; not both."),
        (["verify", "gone"], "There is no run 'gone'"),
        (["verify", "--all"], "so nothing was verified; see RUNBOOK_HOME"),
        (["list", "gone"], "There is no environment 'gone'; there are: mini."),
        (["plan", "mini", "--release", "v1", "--from", "90"], "to take a deployment back: runbook rollback ENV"),
        (["sign", "gone", "--role", "security", "--key", "gone.pem"], "There is no run 'gone'"),
        (["seal", "gone"], "There is no run 'gone'"),
        (["run", "mini", "--resume", "gone"], "There is no run 'gone'"),
        (["run", "mini", "--resume", "gone", "--only", "3"], "Give --resume alone"),
        (["keygen", "/no/such/folder/key"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_a_sentence(mini, arguments, sentence):
    completed = runbook(*arguments)
    assert completed.returncode == 2
    assert sentence in completed.stderr
    assert "Traceback" not in completed.stderr


def test_a_key_that_is_encrypted_opens_by_the_environment_variable(tmp_path):
    from runbook_lib.record import keys

    keys.generate(tmp_path / "key", "correct horse")
    assert "PRIVATE" in (tmp_path / "key").read_text()
    with pytest.raises(keys.PassphraseNeeded):
        keys.signer(tmp_path / "key")
