"""Going on with runs that were broken off: nothing is done twice, nothing that changed is overlooked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from runbook_lib import checklist, environment, release, resumption, runner
from runbook_lib.actions import backup
from runbook_lib.errors import ConfigurationError
from runbook_lib.record import archive, keys, verify
from runbook_lib.record.summary import summarize
from runbook_lib.record.verify import State
from runbook_lib.runner import ExitCode, Options
from runbook_lib.step import Finding, action

from .test_runner import NEXT, SOUND, Silent, run, write_notebooks
from .waiting import until

RUNBOOK = Path(sys.executable).with_name("runbook")
COUNTING = """\
import os, pathlib
from runbook_lib.step import Kind, Step
count = pathlib.Path({count!r})
def counted(): return count.read_text().count("done") if count.exists() else 0
def act(name, text="done\\n"):
    def change():
        with count.open("a") as file: file.write(text)
        {then}
        return Finding(True, "changed", "changed", facts={{name: "left"}})
    looks = lambda: Finding(counted() > 0, f"{{counted()}} times", "done", facts={{name: "left"}})
    return Step(Kind.ACTION, f"test.{{name}}", f"Acts {{name}}", {{}}, change, {done})
"""


def notebooks(mini, *, then: str = "pass", done: str = "None", cells: list[str]) -> dict[int, list[str]]:
    """Phase 2 sound, and phase 3 with an action that counts how often it was carried out."""
    setup = COUNTING.format(count=str(mini.root / "count"), then=then, done=done)
    return SOUND | {3: [setup, *cells, "phase.gate()"]}


def times(mini) -> int:
    return (mini.root / "count").read_text().count("done")


def resume(name: str, **options):
    env = environment.load("mini")
    tag = release.find(env, "v1")
    opened, phases = resumption.resume(env, name, tag, Options(**options))
    return runner.run(opened, tag, phases, Options(**options), Silent()), opened, phases


def once(mini) -> str:
    """Kills its kernel the first time, and the first time alone."""
    marker = str(mini.root / "killed")
    return f"if not os.path.exists({marker!r}): open({marker!r}, 'w').close(); os.kill(os.getpid(), 9)"


ITEMS = ['phase.item("3.1", act("a"), sound())', 'phase.item("3.2", sound())']


def test_it_goes_on_after_the_last_phase_whose_gate_passed(mini):
    _, opened = run(mini, notebooks(mini, cells=[*ITEMS[:1], once(mini), ITEMS[1]]) | {4: NEXT[3][-1:]})
    assert [phase.outcome for phase in summarize(opened).phases] == ["passed", "kernel died"]
    _, _, phases = resume(opened.id)
    assert [phase.number for phase in phases] == [3, 4]


POINT = """\
import os
from runbook_lib.step import Kind, Step
def act(name):
    return Step(Kind.ACTION, f"test.{name}", f"Acts {name}", {}, lambda: Finding(True, "", "", facts={name: "left"}))
"""


@pytest.mark.parametrize(
    ("age", "begun", "phases"),
    [(timedelta(hours=1), False, [8]), (timedelta(0), False, [7, 8]), (timedelta(0), True, [8])],
    ids=["fresh", "old", "old, but the deployment has begun"],
)
def test_a_deployment_begins_on_a_fresh_rollback_point(mini, monkeypatch, age, begun, phases):
    monkeypatch.setattr(backup, "FRESH", age)
    deploy = ['phase.item("8.1", act("deployed"))'] if begun else []
    verified = [f'phase.item("7.1.{number}", sound())' for number in range(1, 5)]
    cells = {
        7: [POINT, *verified, 'phase.item("7.2", act("rollback_point"))', "phase.gate()"],
        8: [POINT, *deploy, once(mini), *deploy],
    }
    _, opened = run(mini, cells)
    assert [phase.outcome for phase in summarize(opened).phases] == ["passed", "kernel died"]
    assert [phase.number for phase in resumption.remaining(summarize(opened))] == phases


def test_an_action_that_was_done_is_not_done_again(mini):
    _, opened = run(mini, notebooks(mini, cells=[*ITEMS[:1], once(mini), ITEMS[1]]))
    code, resumed, _ = resume(opened.id)
    assert (code, times(mini)) == (ExitCode.PASSED, 1)
    step = summarize(resumed).items["3.1"]["steps"][0]
    assert (step["status"], step["observed"], step["facts"]) == ("passed", "changed", {"a": "left"})
    assert "by an earlier pass of this run; not done again" in step["note"]
    assert archive.Facts(resumed)["a"] == "left"


@pytest.mark.parametrize(
    ("done", "carried_out", "repeated"),
    [("looks", 1, False), ("None", 2, True)],
    ids=["that can be looked at", "that bears to be repeated"],
)
def test_an_action_cut_off_is_unknown_and_looked_at_before_anything_is_repeated(mini, done, carried_out, repeated):
    phases = notebooks(mini, then=once(mini), done=done, cells=ITEMS)
    _, opened = run(mini, phases)
    assert "began, and whether it was done is unknown" in str(verify.verify(opened, trust()).remarks)
    code, resumed, _ = resume(opened.id)
    assert (code, times(mini)) == (ExitCode.PASSED, carried_out)
    (checked,) = [event.data for event in resumed.events.read() if event.name == "step re-checked"]
    assert (checked["item"], checked["repeated"]) == ("3.1", repeated)
    assert checked["found"].startswith("unknown: an earlier pass of this run began it at ")
    assert "unknown" in summarize(resumed).items["3.1"]["steps"][0]["note"]
    assert summarize(resumed).unfinished == ()


def test_what_the_record_calls_done_and_is_undone_since_is_done_again(mini):
    _, opened = run(mini, notebooks(mini, done="looks", cells=[*ITEMS[:1], once(mini), ITEMS[1]]))
    (mini.root / "count").unlink()
    code, _, _ = resume(opened.id)
    assert (code, times(mini)) == (ExitCode.PASSED, 1)


def test_an_action_that_nobody_can_look_at_is_left_to_a_person(mini):
    looks = "lambda: (_ for _ in ()).throw(RuntimeError('no answer'))"
    _, opened = run(mini, notebooks(mini, then=once(mini), done=looks, cells=ITEMS))
    code, resumed, _ = resume(opened.id)
    assert (code, times(mini)) == (ExitCode.GATE_FAILED, 1)
    step = summarize(resumed).items["3.1"]["steps"][0]
    assert "it could not be found out whether it was done: no answer" in step["reason"]
    assert "runbook attest" in step["remedy"]


def test_what_the_record_calls_done_stays_done_where_nobody_can_look(mini):
    looks = "lambda: (_ for _ in ()).throw(RuntimeError('no answer'))"
    _, opened = run(mini, notebooks(mini, done=looks, cells=[*ITEMS[:1], once(mini), ITEMS[1]]))
    code, _, _ = resume(opened.id)
    assert (code, times(mini)) == (ExitCode.PASSED, 1)


def test_a_dry_resume_in_between_changes_nothing(mini):
    _, opened = run(mini, notebooks(mini, cells=[*ITEMS[:1], once(mini), ITEMS[1]]))
    resume(opened.id, dry_run=True)
    code, resumed, phases = resume(opened.id)
    assert ([phase.number for phase in phases], times(mini)) == ([3], 1)
    assert code is ExitCode.PASSED
    assert summarize(resumed).items["3.1"]["status"] == "passed"


def test_a_secret_among_the_operators_words_is_refused(mini):
    env = environment.load("mini")
    secret = Options(notes="by mini-database-password")
    with pytest.raises(ConfigurationError, match="notes"):
        runner.open_run(env, release.find(env, "v1"), runner.select(only=(3,)), secret)
    assert archive.runs() == ()


def test_a_notebook_run_again_without_resuming_does_everything_anew(mini):
    phases = notebooks(mini, cells=ITEMS)
    _, opened = run(mini, phases)
    runner.run(opened, release.find(environment.load("mini"), "v1"), runner.select(only=(3,)), Options(), Silent())
    assert times(mini) == 2


def test_the_notebook_of_the_broken_off_pass_is_kept(mini):
    _, opened = run(mini, notebooks(mini, cells=[*ITEMS[:1], once(mini), ITEMS[1]]))
    before = opened.notebook(checklist.phase(3)).read_bytes()
    _, resumed, _ = resume(opened.id)
    assert (resumed.folder / "superseded/03_database_setup.1.ipynb").read_bytes() == before


def trust():
    return keys.read_trust(environment.find("mini"))


def broken_off(mini):
    return run(mini, notebooks(mini, cells=[*ITEMS[:1], once(mini), ITEMS[1]]))[1]


def refused(mini, opened, said: str, tag: str = "") -> None:
    before = opened.events.path.read_bytes()
    with pytest.raises(ConfigurationError, match=said):
        env = environment.load("mini")
        resumption.resume(env, opened.id, release.find(env, tag or resumption.release_of("mini", opened.id)), Options())
    assert opened.events.path.read_bytes() == before


def git(mini, *words: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(mini.root / "application")]
    subprocess.run([*command, *words], check=True, capture_output=True)


def test_a_release_that_moved_is_refused(mini):
    opened = broken_off(mini)
    git(mini, "commit", "-q", "--allow-empty", "-m", "second")
    git(mini, "tag", "-f", "v1")
    refused(mini, opened, r"is for v1 \(commit \w{12}\), and v1 is commit \w{12} now")


def test_another_release_is_refused(mini):
    opened = broken_off(mini)
    git(mini, "commit", "-q", "--allow-empty", "-m", "second")
    git(mini, "tag", "v2")
    refused(mini, opened, "and v2 is commit", tag="v2")


def test_an_environment_that_changed_is_refused_and_the_change_shown_without_secrets(mini):
    opened = broken_off(mini)
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(toml.read_text() + "\n[limits]\ncell = 77\n# mini-database-password\n")
    refused(mini, opened, r"mini\.toml has changed: .*\+ cell = 77; \+ # \[masked")


def edit_secrets(mini) -> None:
    file = mini.root / ".env"
    file.write_text(file.read_text().replace("mini-database-password", "another-password"))


def test_secrets_that_somebody_else_has_written_are_refused_and_not_told(mini):
    opened = broken_off(mini)
    assert "mini-database-password" not in opened.events.path.read_text()
    edit_secrets(mini)
    refused(mini, opened, r"\.env, which holds secrets, was written at 20\d\d-\S+, and not by this run$")


def test_secrets_that_are_gone_are_refused(mini):
    opened = broken_off(mini)
    (mini.root / ".env").unlink()
    refused(mini, opened, r"\.env, which holds secrets, is gone, and not by this run")


WRITES = """\
from runbook_lib.actions import settings
from runbook_lib import environment as environments
phase.item("3.1", settings.apply(environments.load("mini"), "LEVEL"), sound())"""


@pytest.mark.parametrize("cut_off", [False, True], ids=["after", "within"])
def test_secrets_that_the_run_itself_has_written_are_not(mini, monkeypatch, cut_off):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(
        toml.read_text().replace('file = "../../.env"\n', 'file = "../../.env"\nvalues = {LEVEL = "7"}\n', 1)
    )
    within = f"from runbook_lib.actions import dotenv_file as d\nw = d.write\ndef cut(*a):\n    w(*a)\n    {once(mini)}"
    cells = [f"{within}\nd.write = cut", WRITES] if cut_off else [WRITES, once(mini)]
    _, opened = run(mini, notebooks(mini, cells=[*cells, ITEMS[1]]))
    assert "LEVEL=7" in (mini.root / ".env").read_text()
    code, resumed, _ = resume(opened.id)
    assert code is ExitCode.PASSED
    assert summarize(resumed).items["3.1"]["status"] == "passed"


def test_secrets_that_were_written_after_the_run_had_are_refused(mini):
    _, opened = run(mini, notebooks(mini, cells=[WRITES, once(mini), ITEMS[1]]))
    edit_secrets(mini)
    refused(mini, opened, r"\.env, which holds secrets, was written")


def test_the_actions_that_write_secrets_are_known_by_their_names(mini):
    from runbook_lib.actions import secrets, settings

    env = environment.load("mini")
    assert (secrets.generate(env).name, settings.apply(env, "LEVEL").name) == resumption.WRITERS


def test_notebooks_that_changed_are_named(mini):
    opened = broken_off(mini)
    write_notebooks(mini, {3: [*NEXT[3][:1], *NEXT[3]]})
    (mini.notebooks / checklist.phase(2).notebook).unlink()
    refused(mini, opened, r"03_database_setup\.ipynb has changed\n  02_dependencies\.ipynb is gone")


def test_a_run_with_nothing_left_is_refused(mini):
    _, opened = run(mini, SOUND)
    refused(mini, opened, "nothing left to do: every one of its gates passed")


def test_a_run_beside_which_another_has_acted_is_refused(mini):
    opened = broken_off(mini)
    env = environment.load("mini")
    other = runner.open_run(env, release.find(env, "v1"), runner.select(only=(3,)), Options())

    @action("Acts")
    def acts() -> Finding:
        return Finding(True, "done", "done")

    import runbook_lib

    runbook_lib.begin(3, environment="mini", release="v1", run_id=other.id).item("3.1", acts())
    refused(mini, opened, f"the run {other.id} has acted")


def test_a_last_line_that_a_power_cut_left_unfinished_costs_that_line_alone(mini):
    opened = broken_off(mini)
    content = opened.events.path.read_bytes()
    opened.events.path.write_bytes(content[:-9])
    assert verify.verify(opened, trust()).state is State.INTERRUPTED
    code, resumed, _ = resume(opened.id)
    assert (code, times(mini)) == (ExitCode.PASSED, 1)
    assert verify.verify(resumed, trust()).faults == ()


def test_a_runner_killed_outright_leaves_no_kernel_behind_and_is_resumed(mini):
    mark, waits = str(mini.root / "mark"), str(mini.root / "waits")
    (mini.root / "waits").touch()
    slow = f"""\
import time
def wait():
    open({mark!r}, "w").write(str(os.getpid()))
    while os.path.exists({waits!r}): time.sleep(0.05)
    return Finding(True, "waited", "waited")
phase.item("3.2", check("Waits")(wait)())"""
    write_notebooks(mini, notebooks(mini, cells=[ITEMS[0], slow]))
    process = subprocess.Popen([RUNBOOK, "run", "mini", "--release", "v1", "--only", "2,3"], stdout=subprocess.DEVNULL)
    kernel = int(until(lambda: Path(mark).read_text() if Path(mark).exists() else ""))
    process.kill()
    process.wait()
    until(lambda: not alive(kernel))
    (opened,) = archive.runs()
    found = verify.verify(opened, trust())
    assert (found.state, found.faults) == (State.INTERRUPTED, ())
    assert any("phase 3 is running" in remark for remark in found.remarks)
    (mini.root / "waits").unlink()
    command = [RUNBOOK, "run", "mini", "--resume", opened.id]
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert times(mini) == 1
    assert [(phase.phase.number, phase.outcome) for phase in summarize(opened).phases] == [(2, "passed"), (3, "passed")]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_does_not_outlive_the_kernel_that_was_killed(tmp_path):
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not on this machine")
    mark = tmp_path / "pid"
    script = f"from runbook_lib import command; command.run(['sh', '-c', 'echo $$ > {mark}; exec sleep 600'])"
    process = subprocess.Popen([sys.executable, "-c", script])
    child = int(until(lambda: mark.read_text().strip() if mark.exists() else ""))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not alive(child))


def test_a_full_disk_is_said_in_one_sentence_and_the_run_resumed(mini):
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a small file system of its own can be mounted by root alone")
    fill = f"""\
import shutil
def fill():
    free = shutil.disk_usage(phase.run.folder).free
    if os.path.exists({str(mini.root / "fill")!r}):
        with open(phase.run.folder.parent / "filler", "wb") as file:
            try:
                while True: file.write(bytes(4096)); file.flush()
            except OSError: pass
    return Finding(True, "filled", "filled")
phase.item("3.2", check("Fills the disk")(fill)())"""
    write_notebooks(mini, notebooks(mini, cells=[ITEMS[0], fill]))
    (mini.root / "fill").touch()
    outputs = mini.outputs
    script = f"""\
mount -t tmpfs -o size=2m none {outputs}
{RUNBOOK} run mini --release v1 --only 2,3; echo "code $?"
rm {outputs}/mini/filler {mini.root}/fill
{RUNBOOK} run mini --resume $(ls {outputs}/mini | grep v1); echo "code $?"
{RUNBOOK} verify --all
"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=180, env=os.environ
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert "code 4" in done.stdout and "code 0" in done.stdout, said
    assert "No space left on device" in done.stderr
    assert "does not hold" not in done.stdout, said
    assert times(mini) == 1
