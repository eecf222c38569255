from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.cli import app

README = (Path(__file__).parent.parent / "README.md").read_text()
RUNBOOK = Path(sys.executable).with_name("runbook")


def runbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUNBOOK, *arguments], capture_output=True, text=True, timeout=60)


def test_the_readme_shows_the_help_as_it_is():
    shown = re.search(r"<!-- help -->\n```\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == runbook("--help").stdout.strip("\n")


def test_every_command_is_named_in_the_help_and_has_its_own():
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert {"run", "plan", "backup", "list", "show", "init", "lab", "demo"} == set(names)
    for arguments in [*([name] for name in names), *(["sandbox", name] for name in ("up", "down", "status"))]:
        completed = runbook(*arguments, "--help")
        assert completed.returncode == 0
        assert completed.stdout.startswith(f"Usage: runbook {' '.join(arguments)}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "mimi"], "There is no environment 'mimi'. Did you mean mini? Those that exist: mini."),
        (["plan", "mini", "--release", "v2"], "'v2' is no tag of"),
        (["run", "mini", "--release", "v2"], "Its tags: v1."),
        (["run", "mini"], "No release given, and mini.toml declares none"),
        (["run", "mini", "--release", "v1", "--from", "18"], "There is no phase 18; the phases are 1, 2,"),
        (
            ["run", "mini", "--release", "v1", "--only", "one"],
            "--only takes phase numbers such as 9,11; 'one' is none.",
        ),
        (["run", "mini", "--release", "v1", "--only", "1", "--from", "2"], "Give --from or --only, not both."),
        (["show", "gone"], "There is no run 'gone'. The newest that exist: none."),
        (["init", "mini"], "mini.toml exists already and is never overwritten."),
        (["init", "Not A Name"], "'Not A Name' cannot name an environment"),
        (["run"], "Missing argument 'ENV'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_a_sentence_and_exit_code_2(mini, arguments, sentence):
    completed = runbook(*arguments)
    assert completed.returncode == 2
    assert sentence in completed.stderr
    assert "Traceback" not in completed.stderr
    assert list(mini.outputs.iterdir()) == []


def test_init_writes_an_environment_that_reads(mini):
    assert runbook("init", "acme").returncode == 0
    listed = runbook("list").stdout
    assert "environments: acme, mini" in listed
    completed = runbook("plan", "acme", "--release", "v1")
    assert completed.returncode == 2
    assert "is no usable git repository" in completed.stderr


def test_a_backup_that_cannot_be_taken_says_why(mini):
    completed = runbook("backup", "mini")
    assert completed.returncode == 4
    assert "PostgreSQL refused the connection" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert "mini-database-password" not in completed.stderr
    assert list((mini.root / "backups").iterdir()) == []
