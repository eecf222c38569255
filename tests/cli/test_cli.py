from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import typer

from runbook_lib import cli, home
from runbook_lib.cli import app

from ..jupyterlab import end
from ..waiting import until

README = (Path(__file__).parents[2] / "README.md").read_text()
RUNBOOK = Path(sys.executable).with_name("runbook")


def runbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUNBOOK, *arguments], capture_output=True, text=True, timeout=60)


def test_lab_opens_jupyterlab_on_the_runs_own_copies(mini, kit, tmp_path):
    import httpx

    for notebook in kit.notebooks.glob("*.ipynb"):
        shutil.copy(notebook, mini.notebooks)
    browser, visited = tmp_path / "browser", tmp_path / "visited"
    # It keeps the page that it is sent to, which sends it on.
    browser.write_text(f'#!/bin/sh\ncp "${{1#file://}}" {visited}.part && mv {visited}.part {visited}\n')
    browser.chmod(0o700)
    (tmp_path / "config").mkdir()
    # As a user's own settings would be; the tests may run as root.
    settings = f"c.ServerApp.browser = '{browser} %s'\nc.ServerApp.allow_root = True\nc.ServerApp.port = 0\n"
    (tmp_path / "config" / "jupyter_server_config.py").write_text(settings)
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "RUNTIME", "DATA")}
    command = [RUNBOOK, "lab", "mini", "--release", "v1"]
    with subprocess.Popen(command, env={**os.environ, **folders}) as lab:
        try:
            page = until(lambda: visited.read_text() if visited.exists() else None)
            found = re.search(r"(http://\S+)/lab/tree/01_environment_configuration.ipynb\?token=(\w+)", page)
            assert found is not None, page
            listed = httpx.get(f"{found[1]}/api/contents", params={"token": found[2]}).json()["content"]
        finally:
            end(lab)
    assert {"01_environment_configuration.ipynb", "90_rollback.ipynb", "events.jsonl"} <= {e["path"] for e in listed}


def test_the_readme_shows_the_help_as_it_is():
    shown = re.search(r"<!-- help -->\n```\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == runbook("--help").stdout.strip("\n")


def test_the_version_is_said():
    assert runbook("--version").stdout == f"runbook-kit {metadata.version('runbook-kit')}\n"


def test_every_command_is_named_in_the_help_and_has_its_own():
    names = set(typer.main.get_command(app).commands) - {"sandbox"}
    of_the_record = {
        "attest",
        "waive",
        "approve",
        "keygen",
        "seal",
        "sign",
        "verify",
        "diff",
        "search",
        "trend",
        "index",
        "review",
    }
    assert {"run", "rollback", "plan", "backup", "load", "list", "show", "init", "lab", "demo"} | of_the_record == names
    of_the_sandbox = (["sandbox", name] for name in ("up", "down", "status", "destroy"))
    for arguments in [*([name] for name in names), *of_the_sandbox]:
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
        (
            ["run", "mini", "--release", "v1", "--dry-run", "--confirm", "mini"],
            "Give --confirm or --dry-run, not both: what is confirmed is carried out.",
        ),
        (["show", "gone"], "There is no run 'gone'. The newest that exist: none."),
        (["rollback", "mini"], "Nothing can be rolled back: no run of mini has recorded a deployment"),
        (["rollback", "mini", "--run", "gone"], "There is no run 'gone'."),
        (["init", "mini"], "mini.toml exists already and is never overwritten."),
        (["init", "Not A Name"], "'Not A Name' cannot name an environment"),
        (["run"], "Missing argument 'ENV'"),
        (["load", "mimi"], "There is no environment 'mimi'."),
        (
            ["load", "mini", "--rate", "2000"],
            "2000 requests/s are more than the 1000 that load.ceiling allows",
        ),
        (["load", "mini", "--rate", "-1"], "Invalid value for '--rate'"),
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


def test_a_plan_tells_what_is_missing(mini, kit):
    for notebook in kit.notebooks.glob("03*.ipynb"):
        shutil.copy(notebook, mini.notebooks)
    completed = runbook("plan", "mini", "--release", "v1", "--only", "3")
    assert completed.returncode == 0
    assert "to be mended: sign_off.keys: names nobody" in completed.stdout


def test_a_backup_that_cannot_be_taken_says_why(mini):
    completed = runbook("backup", "mini")
    assert completed.returncode == 4
    assert "PostgreSQL refused the connection" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert "mini-database-password" not in completed.stderr
    assert list((mini.root / "backups").iterdir()) == []


@pytest.fixture
def in_this_process(monkeypatch):
    """The command may be called here; what it does to signals is undone."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["runbook"])
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("error", "said"), [(KeyboardInterrupt(), "Interrupted.\n"), (BrokenPipeError(errno.EPIPE, "Broken pipe"), "")]
)
def test_what_typer_hears_of_first_is_no_failed_gate(monkeypatch, capsys, error, said):
    interrupted = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

    @interrupted.command()
    def ends() -> None:
        raise error

    monkeypatch.setattr(cli, "app", interrupted)
    monkeypatch.setattr("sys.stdout", sys.stdout)
    monkeypatch.setattr("sys.stderr", sys.stderr)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    assert capsys.readouterr().err == said


@pytest.mark.usefixtures("in_this_process")
def test_a_fault_of_the_kit_is_no_failed_gate(monkeypatch, capsys):
    monkeypatch.setattr(cli, "app", lambda: {}["missing"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    assert "The kit itself broke (KeyError)" in capsys.readouterr().err


def test_an_account_without_a_name_is_known_by_its_number(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: {}["uid"])
    assert home.account() == f"uid {os.getuid()}"
