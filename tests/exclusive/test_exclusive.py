"""Two runs against one environment: exactly one of them runs, whatever begins them and however they end."""

from __future__ import annotations

import re
import signal
import subprocess

import psycopg
import pytest

import runbook_lib
from runbook_lib import exclusive, release
from runbook_lib.actions import deployment
from runbook_lib.errors import Occupied, Unanswerable
from runbook_lib.exclusive import EVENT
from runbook_lib.exclusive.database import key
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import summarize
from runbook_lib.runner import ExitCode

from ..waiting import until
from .conftest import PROGRAMS, Kit

pytestmark = pytest.mark.xdist_group("exclusive")


def locks(run: Run) -> list[tuple[str, str]]:
    """What the record says was held, one after the other."""
    return [(e.data["machine"], e.data["database"]) for e in run.events.read() if e.name == EVENT]


def ended(process: subprocess.Popen[str], timeout: float = 60.0) -> tuple[int, str]:
    output, errors = process.communicate(timeout=timeout)
    return process.returncode, output + errors


def started(kit: Kit) -> subprocess.Popen[str]:
    """A run in whose notebook the waiting step has begun."""
    process = kit.run()
    until(lambda: kit.has_started() or process.poll() is not None)
    assert kit.has_started(), ended(process)
    return process


@pytest.mark.parametrize("kit", ["mine", "without_database"])
def test_of_two_runners_that_begin_at_once_one_runs(kit, request, me):
    kit = request.getfixturevalue(kit)
    both = [kit.run(), kit.run()]
    refused = until(lambda: next((process for process in both if process.poll() is not None), None))
    winner = next(process for process in both if process is not refused)
    code, said = ended(refused)
    assert code == ExitCode.USAGE, said
    (run,) = kit.runs
    assert re.fullmatch(
        rf"Environment mini is held by run {run.name} {me} \(pid {winner.pid}\) since 20\S+\+00:00; "
        r"wait for it, or end it\.\n",
        said,
    ), said
    kit.go()
    code, said = ended(winner)
    assert code == ExitCode.PASSED, said
    assert kit.runs == [run]
    code, said = ended(kit.run())
    assert code == ExitCode.PASSED, said


def test_the_record_says_what_is_held(mine):
    mine.go()
    assert ended(mine.run())[0] == ExitCode.PASSED
    (folder,) = mine.runs
    assert locks(Run(folder)) == [("held", "held")]


def test_a_database_that_is_down_is_no_obstacle_and_the_record_says_so(without_database):
    without_database.go()
    assert ended(without_database.run())[0] == ExitCode.PASSED
    (folder,) = without_database.runs
    ((machine, database),) = locks(Run(folder))
    assert machine == "held"
    assert database.startswith("not held: the environment's database does not answer: ")
    assert "mini-database-password" not in database


def test_a_killed_holders_locks_are_free_at_once(mine):
    process = started(mine)
    process.send_signal(signal.SIGKILL)
    process.wait()
    mine.go()
    code, said = ended(mine.run())
    assert code == ExitCode.PASSED, said
    assert len(mine.runs) == 2


def test_a_lost_connection_is_taken_again_by_the_runs_next_item(mine, server, sessions):
    process = started(mine)
    before = sessions()
    with server.connect() as connection:
        for pid in before:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    until(lambda: not sessions())
    mine.go()
    code, said = ended(process)
    assert code == ExitCode.PASSED, said
    (folder,) = mine.runs
    assert locks(Run(folder)) == [("held", "held"), ("held by another process of this run", "held")]


def test_a_run_whose_lock_was_lost_to_another_stops_before_its_next_item(mine, server, sessions):
    process = started(mine)
    before, name = sessions(), "runbook/abc123 ada@elsewhere 20260101T000000Z-v2"
    with server.connect(dbname="postgres", application_name=name) as rival:
        for pid in before:
            rival.execute("SELECT pg_terminate_backend(%s)", (pid,))
        until(lambda: sessions() == [rival.info.backend_pid])
        assert rival.execute("SELECT pg_try_advisory_lock(%s)", (key("twiga_scan"),)).fetchone() == (True,)
        mine.go()
        code, said = ended(process)
    assert code == ExitCode.INTERRUPTED, said
    (folder,) = mine.runs
    summary = summarize(Run(folder))
    assert set(summary.items) == {"2.1"}
    assert (summary.outcome, summary.phases[0].outcome) == ("interrupted", "interrupted")
    sentence = "held by run 20260101T000000Z-v2 of operator ada on host elsewhere, connected to the environment's"
    assert sentence in summary.phases[0].reason
    assert "Environment mini is held by run 20260101T000000Z-v2" in said


def papermill(kit: Kit, *options: str) -> subprocess.Popen[str]:
    source = next(kit.home.notebooks.glob("02*.ipynb"))
    return kit.start(PROGRAMS / "papermill", source, kit.home.root / "out.ipynb", "--no-progress-bar", *options)


@pytest.mark.parametrize("engine", [(), ("--engine", "runbook")], ids=["papermill's engine", "ours"])
def test_papermill_is_refused_and_refuses_too(mine, engine, me):
    holder = mine.hold()
    code, said = ended(papermill(mine, *engine))
    assert code != 0
    assert f"Environment mini is held by run theirs {me} (pid {holder.pid}) since" in said
    assert mine.runs == []
    ended(holder)
    mine.go()
    code, said = ended(papermill(mine, *engine))
    assert code == 0, said
    (folder,) = mine.runs
    assert locks(Run(folder)) == [("held", "held")]


def test_papermill_holds_what_a_runner_is_refused(mine):
    process = papermill(mine)
    until(mine.has_started)
    code, said = ended(mine.run())
    assert (code, len(mine.runs)) == (ExitCode.USAGE, 1), said
    assert f"held by run {mine.runs[0].name}" in said
    mine.go()
    assert ended(process)[0] == 0


def test_another_kernel_of_the_run_goes_on_and_takes_the_locks_when_the_holder_ends(mine):
    first = runbook_lib.begin(2, environment="mini", release="v1")
    run = first.run
    exclusive.release_all()
    holder = mine.hold(run.id)
    phase = runbook_lib.begin(3, environment="mini", release="v1", run_id=run.id)
    phase.item("3.1", runbook_lib.not_built("later"))
    assert locks(run) == [("held", "held")]
    holder.kill()
    holder.wait()
    phase.item("3.2", runbook_lib.not_built("later"))
    assert locks(run) == [("held", "held")] * 2
    phase.gate()
    assert ended(mine.hold())[0] == 0


def test_a_run_of_which_a_kernel_is_at_work_is_not_begun_again(mine):
    holder = mine.hold("again")
    with pytest.raises(Occupied, match=rf"held by run again .*pid {holder.pid}"):
        exclusive.alone(mine.env, "again")


def test_a_kernel_that_begins_anew_gives_back_what_it_held(mine):
    first = runbook_lib.begin(2, environment="mini", release="v1")
    first.item("2.1", runbook_lib.not_built("later"))
    exclusive.alone(mine.env, "another")
    assert len(mine.runs) == 1
    assert exclusive.alone(mine.env, "another").holder.run == "another"


def test_a_deployment_to_staging_waits_for_nobody_and_keeps_others_out(mine, me):
    toml = mine.home.environments[0] / "mini.toml"
    toml.with_name("stage.toml").write_text(toml.read_text().replace('name = "mini"', 'name = "stage"'))
    toml.write_text(toml.read_text().replace("domains", 'staging = "stage"\ndomains', 1))
    dotenv = mine.home.root / ".env"
    dotenv.with_name(".env.stage").write_text(dotenv.read_text().replace("/twiga_scan\n", "/postgres\n"))
    stage = toml.with_name("stage.toml")
    stage.write_text(stage.read_text().replace("../../.env", "../../.env.stage"))
    env = mine.env
    target = release.find(env, "v1")
    holder = mine.hold("theirs", "stage")
    with pytest.raises(Unanswerable, match=rf"Environment stage is held by run theirs {me} \(pid {holder.pid}\)"):
        deployment.to_staging(env, target).run()
    ended(holder)
    exclusive.alone(env, "ours")
    with pytest.raises(Unanswerable, match="has no images"):
        deployment.to_staging(env, target).run()
    script = mine.start(
        PROGRAMS / "python",
        "-c",
        "from runbook_lib import environment, exclusive\nexclusive.alone(environment.load('stage'), 'theirs')",
    )
    assert "Environment stage is held by run mini/ours" in ended(script)[1]
    exclusive.release_all()
    assert ended(mine.hold("theirs", "stage"))[0] == 0


def test_a_lock_file_that_cannot_be_written_is_said_in_a_sentence(without_database):
    (without_database.home.outputs / "mini").write_text("in the way")
    code, said = ended(without_database.run())
    assert code == ExitCode.INTERRUPTED
    assert "cannot be taken" in said
    assert "Traceback" not in said


def test_secrets_in_a_servers_refusal_are_masked(mine, server):
    with psycopg.connect(
        server.url, dbname="postgres", autocommit=True, application_name="the-locks-own-password"
    ) as rival:
        rival.execute("SELECT pg_advisory_lock(%s)", (key("twiga_scan"),))
        with pytest.raises(Occupied) as raised:
            exclusive.alone(mine.env, "ours")
    assert "the database session '" in str(raised.value)
    assert "the-locks-own-password" not in str(raised.value)
