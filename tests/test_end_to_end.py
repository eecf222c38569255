"""The main job as its users do it: through the command line, on the sandbox."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from runbook_lib import checklist, environment, platforms, release
from runbook_lib.checks import http
from runbook_lib.checks.browser.chromium import PROGRAMS
from runbook_lib.environment import Environment
from runbook_lib.home import VARIABLE, Home, home
from runbook_lib.record import archive
from runbook_lib.record.archive import Run
from runbook_lib.record.result import MIME
from runbook_lib.record.summary import summarize
from runbook_lib.runner import ExitCode
from runbook_lib.sandbox.stack import Sandbox

from .production import gentler

pytestmark = pytest.mark.xdist_group("end to end")
RUNBOOK = Path(sys.executable).with_name("runbook")
NAME = "sandbox-end-to-end"
WAIVED = {"5.1.1", "5.1.2"}
"""What nobody can tell in a closed network, nor where there is no browser."""
if not any(shutil.which(name) for name in PROGRAMS):
    WAIVED |= {"9.1.1", "9.1.2", "9.1.3", "9.1.4"}
README = (Path(__file__).parent.parent / "README.md").read_text()


def runbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUNBOOK, *arguments], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(kit: Home) -> Iterator[Path]:
    """A home of its own, where PostgreSQL, which does not run as root, may enter."""
    made = Path(tempfile.mkdtemp(prefix="runbook-tests-")).resolve()
    (made / "notebooks").symlink_to(kit.notebooks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(made))
        yield made
        Sandbox(Home(made).sandbox).down()
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def where(folder: Path) -> Environment:
    """The production stack of its sandbox, by another name and with shorter waits."""
    sandbox = Sandbox(Home(folder).sandbox)
    sandbox.up()
    file = sandbox.stacks[0].environment.with_name(f"{NAME}.toml")
    file.write_text(gentler(sandbox.stacks[0].environment.read_text(), NAME))
    staging = sandbox.stacks[1].environment
    staging.write_text(gentler(staging.read_text(), staging.stem))
    return environment.read(file)


@pytest.fixture(scope="module")
def ended(where: Environment) -> tuple[Run, str]:
    """A whole run of v1.0.0, and what it printed."""
    completed = runbook("run", NAME, "--release", "v1.0.0")
    assert completed.returncode == ExitCode.WAITING, completed.stdout + completed.stderr
    (run,) = archive.runs(NAME)
    return run, completed.stdout


def test_an_interrupted_demo_closes_its_record_and_stops_the_sandbox_it_started(folder):
    with (folder / "printed").open("w+") as printed:
        demo = subprocess.Popen([RUNBOOK, "demo"], stdout=printed, stderr=printed)
        try:
            events = wait_for_first_step(folder, demo)
            demo.send_signal(signal.SIGINT)
            demo.wait(timeout=60)
        finally:
            demo.kill()
            demo.wait()
    assert demo.returncode == ExitCode.INTERRUPTED, (folder / "printed").read_text()
    last = json.loads(events.read_text().splitlines()[-1])
    assert (last["name"], last["data"]["outcome"]) == ("run closed", "interrupted")
    assert not Sandbox(Home(folder).sandbox).running()


def wait_for_first_step(folder: Path, demo: subprocess.Popen[bytes]) -> Path:
    """Until the demo's run has finished a step; its events."""
    deadline = time.monotonic() + 180
    while True:
        events = next((folder / "outputs").glob("sandbox/*/events.jsonl"), None)
        if events is not None and "step finished" in events.read_text():
            return events
        assert demo.poll() is None, (folder / "printed").read_text()
        assert time.monotonic() < deadline, (folder / "printed").read_text()
        time.sleep(0.05)


def test_nothing_failed_and_only_what_needs_a_person_waits(ended):
    run, printed = ended
    items = summarize(run).items
    assert set(items) == {item.id for phase in checklist.forward() for item in phase.items}
    waiting = {id for id, item in items.items() if item["status"] == "pending"}
    assert waiting == {"15.1.1", "15.1.2", "15.1.3", "O.1", "O.2", "O.3", "O.4"}
    assert {item["status"] for item in items.values()} <= {"passed", "pending", "skipped", "waived"}
    assert {id for id, item in items.items() if item["status"] == "waived"} <= WAIVED
    assert "The executed notebooks are in" in printed


def test_every_notebook_was_executed_and_shows_a_card_for_each_item(ended):
    run, _ = ended
    for phase in checklist.forward():
        file = run.notebook(phase)
        notebook = nbformat.read(file, as_version=4)
        bundles = [o.data[MIME] for c in notebook.cells for o in c.get("outputs", ()) if MIME in o.get("data", {})]
        assert [b["id"] for b in bundles if "id" in b] == [item.id for item in phase.items]
        assert bundles[-1]["gate"] == phase.title
        assert all(cell.metadata.papermill["status"] == "completed" for cell in notebook.cells)
        assert file.stat().st_size < 300_000


def test_no_secret_is_in_the_record(ended, where):
    run, printed = ended
    secrets = [value.encode() for value in where.secrets().values()]
    assert secrets
    for file in [path for path in run.folder.rglob("*") if path.is_file()]:
        content = file.read_bytes()
        assert not any(value in content for value in secrets), file
    assert not any(value in printed.encode() for value in secrets)


def test_the_run_is_listed_and_shown(ended):
    run, _ = ended
    assert f"{NAME}/{run.id}" in runbook("list", NAME).stdout
    shown = runbook("show", run.id)
    assert shown.returncode == 0
    assert "Team handoff" in shown.stdout


def test_plan_lists_every_item_and_touches_nothing(where):
    before = set(archive.runs(NAME))
    planned = runbook("plan", NAME)
    assert planned.returncode == 0
    assert all(f" {item.id} " in planned.stdout for phase in checklist.forward() for item in phase.items)
    assert set(archive.runs(NAME)) == before


def test_the_readmes_single_phase_by_papermill(ended, tmp_path):
    command = re.search(r"`papermill (notebooks/11\S+) out.ipynb -p environment sandbox`", README)
    assert command is not None
    papermill = RUNBOOK.with_name("papermill")
    output = tmp_path / "out.ipynb"
    completed = subprocess.run(
        [papermill, command[1], output, "-p", "environment", NAME],
        cwd=home().root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert completed.returncode == 0, completed.stderr
    images = {
        o["data"]["text/plain"]
        for c in nbformat.read(output, as_version=4).cells
        for o in c.get("outputs", ())
        if "image/png" in o.get("data", {})
    }
    # With a trend, where an earlier test of this session loaded the same environment.
    assert images - {"trend.png"} == {
        "throughput.png",
        "latency.png",
        "distribution.png",
        "errors.png",
        "processors.png",
        "waterfall.png",
        "connections.png",
    }


def test_a_deployment_is_rolled_back_by_hand(ended, where):
    assert platforms.connect(where).deployed() == "v1.0.0"
    rolled_back = runbook("rollback", NAME)
    assert rolled_back.returncode == ExitCode.WAITING, rolled_back.stdout + rolled_back.stderr
    assert platforms.connect(where).deployed() == "v0.9.0"
    assert http.version_is(where, release.find(where, "v0.9.0")).run().ok
