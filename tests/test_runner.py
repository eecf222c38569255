"""Runs of small notebooks, whole and broken: what the archive says is what happened."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from runbook_lib import checklist, environment, kernels, release, runner
from runbook_lib.errors import ConfigurationError
from runbook_lib.home import Home
from runbook_lib.record import archive, manifest, seal
from runbook_lib.record.summary import summarize
from runbook_lib.runner import ExitCode

from .waiting import until

PROGRAMS = Path(sys.executable).parent
PARAMETERS = 'environment = "mini"\nrelease = "v1"\nrun_id = ""\ndry_run = False\nconfirm = ""'
SETUP = """\
from runbook_lib import attest, begin, not_built
from runbook_lib.step import Finding, action, check
phase = begin({number}, environment=environment, release=release, run_id=run_id, dry_run=dry_run, confirm=confirm)
sound = check("Is sound")(lambda: Finding(True, "sound", "sound"))
broken = check("Is broken")(lambda: Finding(False, "broken", "sound", remedy="mend it"))
before = {{"previous_release": "v0", "deployed_at": "2026-01-01T00:00:00+00:00"}}
act = action("Acts")(lambda: Finding(True, "done", "done", facts=before))"""
SOUND = {2: ['phase.item("2.1", sound())', 'phase.item("2.2", sound())', "phase.gate()"]}
NEXT = {3: ['phase.item("3.1", sound())', 'phase.item("3.2", sound())', "phase.gate()"]}


def write_notebooks(home: Home, phases: dict[int, list[str]]) -> None:
    for number, cells in phases.items():
        sources = [SETUP.format(number=number), *cells]
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
            + [nbformat.v4.new_code_cell(source) for source in sources],
            metadata={
                "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
                "runbook": {"phase": number},
            },
        )
        nbformat.write(notebook, home.notebooks / checklist.phase(number).notebook)


class Silent:
    def __init__(self):
        self.seen = []

    def phase_started(self, phase):
        self.seen.append(f"phase {phase.number}")

    def result(self, bundle):
        if bundle.get("status", "running") != "running":
            self.seen.append(bundle["id"])

    def phase_ended(self, summary):
        self.seen.append(summary.outcome)


def run(home: Home, phases: dict[int, list[str]], watcher=None, **options):
    write_notebooks(home, phases)
    env = environment.load("mini")
    tag = release.find(env, "v1")
    selected = runner.select(only=tuple(phases))
    opened = runner.open_run(env, tag, selected, runner.Options())
    return runner.run(opened, tag, selected, runner.Options(), watcher or Silent(), **options), opened


def statuses(opened, number: int) -> list[str]:
    """Of the cells after the parameters and the setup."""
    cells = nbformat.read(opened.notebook(checklist.phase(number)), as_version=4).cells
    return [cell.metadata.papermill.status for cell in cells if cell.cell_type == "code"][3:]


def test_a_sound_run_passes_and_is_shown_while_it_happens(mini):
    watcher = Silent()
    code, opened = run(mini, SOUND | NEXT, watcher)
    assert code is ExitCode.PASSED
    assert summarize(opened).outcome == "passed"
    assert watcher.seen == ["phase 2", "2.1", "2.2", "passed", "phase 3", "3.1", "3.2", "passed"]
    assert statuses(opened, 2) == ["completed"] * 3
    assert opened.events.read()[0].data["way"] == "headless"


def test_pending_items_end_with_3_and_let_later_phases_run(mini):
    code, opened = run(mini, {2: ['phase.item("2.1", not_built("later"))', *SOUND[2][1:]]} | NEXT)
    assert code is ExitCode.WAITING
    assert [phase.outcome for phase in summarize(opened).phases] == ["passed", "passed"]


def test_a_failed_gate_ends_the_run(mini):
    code, opened = run(mini, {2: ['phase.item("2.1", broken())', *SOUND[2][1:]]} | NEXT)
    assert code is ExitCode.GATE_FAILED
    assert [(phase.phase.number, phase.outcome) for phase in summarize(opened).phases] == [(2, "failed")]
    assert summarize(opened).items["2.1"]["steps"][0]["remedy"] == "mend it"
    assert not opened.notebook(checklist.phase(3)).exists()


@pytest.mark.parametrize(
    ("cell", "outcome", "unfinished"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel died", ()),
        (
            'import os\nphase.item("2.1", check("Kills its kernel")(lambda: os.kill(os.getpid(), 9))())',
            "kernel died",
            ("2.1: Kills its kernel",),
        ),
        ("1 / 0", "failed", ()),
        ("import sys; sys.exit(0)", "failed", ()),
    ],
)
def test_a_notebook_that_stops_says_exactly_what_ran(mini, cell, outcome, unfinished):
    code, opened = run(mini, {2: [SOUND[2][1], cell, *SOUND[2]]} | NEXT)
    summary = summarize(opened)
    assert code is (ExitCode.GATE_FAILED if outcome == "failed" else ExitCode.INTERRUPTED)
    assert statuses(opened, 2) == ["completed", "failed", "pending", "pending", "pending"]
    assert [(phase.phase.number, phase.outcome) for phase in summary.phases] == [(2, outcome)]
    assert set(summary.items) == {"2.2"}
    assert summary.unfinished == unfinished


def test_a_run_that_breaks_in_a_later_phase_is_broken_and_not_what_the_one_before_came_to(mini, monkeypatch):
    execute = runner._execute

    def full(opened, phase, *rest):
        if phase.number == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return execute(opened, phase, *rest)

    monkeypatch.setattr(runner, "_execute", full)
    with pytest.raises(OSError, match="No space left"):
        run(mini, SOUND | NEXT)
    (opened,) = archive.runs()
    assert summarize(opened).outcome == "broken"


def test_a_cell_over_its_time_limit_is_stopped_and_recorded(mini):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(toml.read_text() + "\n[limits]\ncell = 2\n")
    slow = 'import time\nphase.item("2.1", check("Sleeps")(lambda: time.sleep(600))())'
    code, opened = run(mini, {2: [slow, *SOUND[2][1:]]} | NEXT)
    summary = summarize(opened)
    assert code is ExitCode.INTERRUPTED
    assert statuses(opened, 2) == ["failed", "pending", "pending"]
    assert (summary.phases[0].outcome, summary.phases[0].reason) == (
        "timed out",
        "a cell took longer than 2 s and was stopped",
    )
    finished = [event for event in opened.events.read() if event.name == "step finished"]
    assert [event.data["reason"] for event in finished] == ["interrupted while it ran"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_runner_closes_the_record(mini, number):
    marker = mini.root / "started"
    slow = (
        "import pathlib, time\n"
        f"wait = lambda: (pathlib.Path({str(marker)!r}).touch(), time.sleep(600))\n"
        'phase.item("2.1", check("Sleeps")(wait)())'
    )
    write_notebooks(mini, {2: [SOUND[2][1], slow, "phase.gate()"]} | NEXT)
    command = [PROGRAMS / "runbook", "run", "mini", "--release", "v1", "--only", "2,3"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(marker.exists)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, output
    (opened,) = archive.runs()
    summary = summarize(opened)
    assert statuses(opened, 2) == ["completed", "failed", "pending"]
    assert (summary.outcome, summary.phases[0].outcome) == ("interrupted", "interrupted")
    assert [phase.phase.number for phase in summary.phases] == [2]
    assert "interrupted while it ran" in opened.events.path.read_text()
    assert "Traceback" not in output


def test_the_manifest_names_every_file(mini):
    _, opened = run(mini, SOUND)
    statement = json.loads((opened.folder / manifest.NAME).read_text())
    assert statement["predicate"]["results"] == {"2.1": "passed", "2.2": "passed"}
    named = {subject["name"] for subject in statement["subject"]}
    assert named == {"02_dependencies.ipynb", "environment.toml", "events.jsonl"}


def test_plain_papermill_writes_the_same_record_unsupervised(mini):
    write_notebooks(mini, SOUND)
    source = mini.notebooks / checklist.phase(2).notebook
    command = [PROGRAMS / "papermill", source, mini.root / "out.ipynb", "-p", "release", "v1", "--no-progress-bar"]
    subprocess.run(command, check=True, capture_output=True)
    (opened,) = archive.runs()
    summary = summarize(opened)
    assert summary.opened["way"] == "unsupervised"
    assert {id: item["status"] for id, item in summary.items.items()} == {"2.1": "passed", "2.2": "passed"}


def test_papermill_with_our_engine_is_supervised(mini):
    write_notebooks(mini, SOUND)
    source = mini.notebooks / checklist.phase(2).notebook
    command = [PROGRAMS / "papermill", source, mini.root / "out.ipynb", "--engine", "runbook", "--no-progress-bar"]
    subprocess.run(command, check=True, capture_output=True)
    (opened,) = archive.runs()
    assert summarize(opened).opened["way"] == "engine"
    assert (opened.folder / manifest.NAME).exists()


def test_a_sealed_run_is_not_run_again(mini):
    _, opened = run(mini, SOUND)
    opened.events.append("run sealed")
    before = opened.events.path.read_bytes()
    source = mini.notebooks / checklist.phase(2).notebook
    words = ["--engine", "runbook", "--no-progress-bar", "-p", "run_id", opened.id]
    command = [PROGRAMS / "papermill", source, mini.root / "out.ipynb", *words]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode != 0
    assert "is sealed: nothing can be added to it" in completed.stderr
    assert opened.events.path.read_bytes() == before


def test_a_parameter_that_is_a_secret_is_refused(mini):
    write_notebooks(mini, SOUND)
    source, output = mini.notebooks / checklist.phase(2).notebook, mini.root / "out.ipynb"
    secret = ["-p", "confirm", "mini-database-password"]
    command = [PROGRAMS / "papermill", source, output, "--engine", "runbook", "--no-progress-bar", *secret]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode != 0
    assert "The value given for 'confirm' is a secret" in completed.stderr
    assert not output.exists()
    assert archive.runs() == ()


def test_the_labs_notebooks_carry_their_parameters(mini):
    write_notebooks(mini, SOUND)
    env = environment.load("mini")
    tag = release.find(env, "v1")
    phases = runner.select(only=(2,))
    opened = runner.open_run(env, tag, phases, runner.Options(dry_run=True))
    first = runner.prepare_lab(opened, tag, phases, runner.Options(dry_run=True))
    injected = next(
        cell for cell in nbformat.read(first, as_version=4).cells if "injected-parameters" in cell.metadata.tags
    )
    assert f'run_id = "{opened.id}"' in injected.source
    assert "dry_run = True" in injected.source


DEPLOYED = {
    8: ['phase.item("8.1", act())', 'phase.item("8.2", sound())', 'phase.item("8.3", broken())', "phase.gate()"]
}


def back(status: str = "sound()", answers: str = "sound()") -> dict[int, list[str]]:
    """Notebook 90, each of its items alike but two; people's word is awaited for the last two."""
    items = [item.id for item in checklist.phase(90).items]
    steps = (
        dict.fromkeys(items, "sound()") | {"R.1.3": status, "R.2.2": answers} | dict.fromkeys(items[-2:], 'attest("w")')
    )
    return {90: [*(f'phase.item("{item}", {step})' for item, step in steps.items()), "phase.gate()"]}


def ended(opened) -> list[tuple[int, str]]:
    return [(phase.phase.number, phase.outcome) for phase in summarize(opened).phases]


def test_a_failed_deployment_is_rolled_back_in_the_same_run(mini):
    write_notebooks(mini, back())
    code, opened = run(mini, DEPLOYED, rollback_on_failure=True)
    assert code is ExitCode.GATE_FAILED
    assert ended(opened) == [(8, "failed"), (90, "passed")]
    assert summarize(opened).outcome == "rolled back"
    assert opened.notebook(checklist.phase(90)).exists()
    assert runner.advice(opened).startswith("Rolled back.")


def test_a_rollback_that_fails_says_so_and_what_to_do(mini):
    write_notebooks(mini, back("broken()"))
    code, opened = run(mini, DEPLOYED, rollback_on_failure=True)
    assert code is ExitCode.GATE_FAILED
    assert summarize(opened).outcome == "rollback failed"
    assert "The rollback did not finish" in runner.advice(opened)
    assert f"runbook rollback mini --run {opened.id}" in runner.advice(opened)


def test_a_rollback_whose_kernel_dies_is_broken(mini):
    write_notebooks(
        mini, back('check("Kills its kernel")(lambda: __import__("os").kill(__import__("os").getpid(), 9))()')
    )
    code, opened = run(mini, DEPLOYED, rollback_on_failure=True)
    assert code is ExitCode.INTERRUPTED
    assert summarize(opened).outcome == "broken"
    assert "the edge may still turn users away" in runner.advice(opened)


@pytest.mark.parametrize("outcome", ["interrupted", "broken", "rollback failed"])
def test_a_rollback_of_its_own_run_that_did_not_finish_says_so(mini, outcome):
    env = environment.load("mini")
    opened = runner.open_run(env, release.find(env, "v1"), (checklist.phase(90),), runner.Options())
    opened.events.append("phase started", phase=90, notebook="90_rollback.ipynb")
    opened.events.append("run closed", outcome=outcome)
    said = runner.advice(opened)
    assert "the edge may still turn users away" in said
    assert said.endswith("When that is mended: runbook rollback mini")


def test_what_broke_or_was_interrupted_is_not_rolled_back_by_itself(mini):
    write_notebooks(mini, back())
    dying = {8: [DEPLOYED[8][0], "import os; os.kill(os.getpid(), 9)", "phase.gate()"]}
    code, opened = run(mini, dying, rollback_on_failure=True)
    assert code is ExitCode.INTERRUPTED
    assert ended(opened) == [(8, "kernel died")]
    assert "has begun and is not rolled back" in runner.advice(opened)


def test_a_kernel_that_dies_before_its_phase_has_begun_is_told(mini, monkeypatch):
    monkeypatch.setitem(globals(), "SETUP", "import os; os.kill(os.getpid(), 9)")
    code, opened = run(mini, SOUND)
    assert code is ExitCode.INTERRUPTED
    assert ended(opened) == [(2, "kernel died")]


def test_a_pass_that_never_began_is_not_judged_by_the_one_before_it(mini, monkeypatch):
    write_notebooks(mini, back())
    _, opened = run(mini, DEPLOYED)
    assert summarize(opened).outcome == "failed"
    monkeypatch.setitem(globals(), "SETUP", "import os; os.kill(os.getpid(), 9)")
    write_notebooks(mini, DEPLOYED)
    options, phases = runner.Options(), runner.select(only=(8,))
    again = runner.run(
        opened, release.find(environment.load("mini"), "v1"), phases, options, Silent(), rollback_on_failure=True
    )
    assert again is ExitCode.INTERRUPTED
    assert ended(opened) == [(8, "kernel died")]
    assert summarize(opened).outcome == "broken"


def test_an_interrupt_after_a_notebooks_last_cell_is_heeded(mini, monkeypatch):
    end = kernels.Kernel.end

    async def interrupted(self):
        monkeypatch.setattr(kernels.Kernel, "end", end)
        os.kill(os.getpid(), signal.SIGINT)
        await end(self)

    monkeypatch.setattr(kernels.Kernel, "end", interrupted)
    code, opened = run(mini, SOUND | NEXT)
    assert code is ExitCode.INTERRUPTED
    assert ended(opened) == [(2, "passed")]
    assert summarize(opened).outcome == "interrupted"


def test_a_kernel_that_does_not_start_is_told(mini, monkeypatch):
    monkeypatch.setattr(kernels, "EXTRA_ARGUMENTS", ["--help"])
    code, opened = run(mini, SOUND)
    assert code is ExitCode.INTERRUPTED
    assert ended(opened) == [(2, "kernel died")]
    assert "could not be started" in summarize(opened).phases[0].reason
    assert statuses(opened, 2) == ["pending"] * 3


@pytest.mark.parametrize("asked", [True, False])
def test_where_nothing_was_deployed_nothing_is_rolled_back(mini, asked):
    failing = {2: ['phase.item("2.1", broken())', *SOUND[2][1:]]}
    write_notebooks(mini, back())
    code, opened = run(mini, failing, rollback_on_failure=asked)
    assert code is ExitCode.GATE_FAILED
    assert ended(opened) == [(2, "failed")]
    assert runner.advice(opened) == "This run has deployed nothing, so there is nothing to roll back."


def test_a_failed_deployment_is_rolled_back_later_in_its_own_run_or_in_another(mini):
    write_notebooks(mini, back())
    code, opened = run(mini, DEPLOYED)
    assert (code, ended(opened)) == (ExitCode.GATE_FAILED, [(8, "failed")])
    assert f"runbook rollback mini --run {opened.id}" in runner.advice(opened)
    env = environment.load("mini")
    phases, options = (checklist.phase(90),), runner.Options()
    own, target = runner.open_rollback(env, "", options)
    assert own != opened
    assert runner.run(own, target, phases, options, Silent()) is ExitCode.WAITING
    assert (ended(own), summarize(own).outcome) == ([(90, "passed")], "rolled back")
    same, target = runner.open_rollback(env, opened.id, options)
    assert same == opened
    assert summarize(same).outcome == "open"
    assert runner.run(same, target, phases, options, Silent()) is ExitCode.WAITING
    assert (ended(same), summarize(same).outcome) == ([(8, "failed"), (90, "passed")], "rolled back")


def test_a_redeployment_that_fails_is_not_rolled_back_to_an_older_deployments_data(mini):
    write_notebooks(mini, back())
    run(mini, {8: [DEPLOYED[8][0], *(f'phase.item("8.{n}", sound())' for n in (2, 3)), "phase.gate()"]})
    again = {8: ['before.pop("previous_release")', *DEPLOYED[8]]}
    code, opened = run(mini, again, rollback_on_failure=True)
    assert (code, ended(opened)) == (ExitCode.GATE_FAILED, [(8, "failed")])
    assert "nothing can be rolled back" in runner.advice(opened)
    for name in (opened.id, ""):
        with pytest.raises(ConfigurationError, match="Nothing can be rolled back"):
            runner.open_rollback(environment.load("mini"), name, runner.Options())
    assert summarize(opened).outcome == "failed"


def test_a_planned_rollback_is_none(mini):
    write_notebooks(mini, back("act()"))
    _, opened = run(mini, DEPLOYED)
    options = runner.Options(dry_run=True)
    own, target = runner.open_rollback(environment.load("mini"), opened.id, options)
    assert runner.run(own, target, (checklist.phase(90),), options, Silent()) is ExitCode.WAITING
    assert summarize(own).outcome == "pending"
    assert runner.advice(own).startswith("Nothing was carried out")


def test_a_planned_rollback_stands_in_nobodys_way(mini):
    write_notebooks(mini, back("act()"))
    passing = {8: [DEPLOYED[8][0], DEPLOYED[8][1], 'phase.item("8.3", sound())', "phase.gate()"]}
    _, opened = run(mini, passing)
    assert seal.obstacles(summarize(opened)) == ()
    options = runner.Options(dry_run=True)
    own, target = runner.open_rollback(environment.load("mini"), opened.id, options)
    runner.run(own, target, (checklist.phase(90),), options, Silent())
    assert seal.obstacles(summarize(opened)) == ()
    own, target = runner.open_rollback(environment.load("mini"), opened.id, runner.Options())
    runner.run(own, target, (checklist.phase(90),), runner.Options(), Silent())
    assert seal.obstacles(summarize(opened)) != ()


def test_a_rollback_that_failed_before_it_acted_is_no_planned_one(mini):
    passing = {8: [DEPLOYED[8][0], DEPLOYED[8][1], 'phase.item("8.3", sound())', "phase.gate()"]}
    _, opened = run(mini, passing)
    write_notebooks(mini, back("broken()"))
    own, target = runner.open_rollback(environment.load("mini"), opened.id, runner.Options())
    runner.run(own, target, (checklist.phase(90),), runner.Options(), Silent())
    assert any(each.startswith("R.1.3 is failed") for each in seal.obstacles(summarize(opened)))


@pytest.mark.parametrize("deployed", [True, False])
def test_a_rollback_that_lacks_its_confirmation_says_so_and_how_to_give_it(mini, deployed):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(toml.read_text().replace('kind = "sandbox"', 'kind = "production"'))
    write_notebooks(mini, back("act()", "broken()"))
    env, phases = environment.load("mini"), (checklist.phase(90),)
    tag = release.find(env, "v1")
    opened = runner.open_run(env, tag, phases, runner.Options())
    if deployed:
        for name in ("step started", "step finished"):
            about = {"phase": 8, "item": "8.1", "step": 1, "kind": "action", "title": "Deploy"}
            opened.events.append(name, **about, status="passed", facts={})
    assert runner.run(opened, tag, phases, runner.Options(), Silent()) is ExitCode.GATE_FAILED
    said = runner.advice(opened)
    assert said.startswith("Nothing was carried out")
    which = f" --run {opened.id}" if deployed else ""
    assert said.endswith(f"To carry it out: runbook rollback mini{which} --confirm mini")


def test_the_steps_of_every_notebook_bind(mini, kit):
    for phase in checklist.phases():
        (mini.notebooks / phase.notebook).symlink_to(kit.notebooks / phase.notebook)
    env = environment.load("mini")
    planned = runner.plan(env, release.find(env, "v1"), checklist.phases())
    assert [entry.item.id for entry in planned] == [item.id for phase in checklist.phases() for item in phase.items]
