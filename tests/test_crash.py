"""Runs killed at random instants on the sandbox: the record stays true, and the run is brought to its end.

One crash of each kind; ``CRASHES=50`` in the environment asks for more (tests/benchmarks/crash.py).
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook_lib import platforms
from runbook_lib.actions import rollback
from runbook_lib.environment import Environment
from runbook_lib.record import archive, keys, verify
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import summarize
from runbook_lib.record.verify import State
from runbook_lib.sandbox.stack import Sandbox

from .production import FIRST, by_another_name, data
from .waiting import until

RUNBOOK = Path(sys.executable).with_name("runbook")
NAME = "sandbox-crashed"
RELEASE = "v1.0.0"
CRASHES = int(os.environ.get("CRASHES", "3"))
VICTIMS = ("runner", "kernels", "both")


@dataclass(frozen=True)
class Ended:
    """What an unbroken run comes to: statuses by item, the release, the data, and seconds from first step to last."""

    items: dict[str, str]
    deployed: str | None
    data: dict[str, Any]
    seconds: float


@pytest.fixture(scope="module")
def where(sandbox: Sandbox) -> Iterator[Environment]:
    with by_another_name(sandbox, NAME, RELEASE) as env:
        yield env


@pytest.fixture(scope="module")
def unbroken(where: Environment) -> Ended:
    """The plan carried out at one go, on a release that is installed and built; then taken back."""
    runbook("run", NAME, "--release", RELEASE, "--only", "2,6")
    runbook("run", NAME, "--release", RELEASE, "--only", "3,8")
    run = archive.runs(NAME)[-1]
    ended = state(where, run)
    take_back(where, run)
    assert platforms.connect(where).deployed() == FIRST
    return ended


def runbook(*arguments: str) -> str:
    completed = subprocess.run([RUNBOOK, *arguments], capture_output=True, text=True, timeout=300)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def state(env: Environment, run: Run) -> Ended:
    items = {id: str(item["status"]) for id, item in summarize(run).items.items()}
    times = [datetime.fromisoformat(event.time) for event in run.events.read() if event.name.startswith("step ")]
    return Ended(items, platforms.connect(env).deployed(), data(env), (times[-1] - times[0]).total_seconds())


def take_back(env: Environment, run: Run) -> None:
    """The release and the data as they were before `run`."""
    for step in (rollback.previous_release(env, run), rollback.restore_database(env, run)):
        finding = step.run()
        assert finding.ok, finding.observed


def crash(instant: float, victim: str) -> Run | None:
    """Begin the plan and kill its processes `instant` seconds after its first step; None where it was done before."""
    known = {run.id for run in archive.runs(NAME)}
    words = [RUNBOOK, "run", NAME, "--release", RELEASE, "--only", "3,8"]
    runner = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run = until(lambda: next((run for run in archive.runs(NAME) if run.id not in known), None))
        until(lambda: b'"step started"' in run.events.path.read_bytes())
        # The instant is what is tested here: nothing that could be waited for.
        time.sleep(instant)
        kernels = [child for child in psutil.Process(runner.pid).children() if "ipykernel" in " ".join(child.cmdline())]
        if runner.poll() is not None or not kernels:
            return None
        for process in {"runner": [runner], "kernels": kernels, "both": [runner, *kernels]}[victim]:
            process.kill()
        runner.wait(60)
        psutil.wait_procs(kernels, timeout=30)
    except psutil.NoSuchProcess:
        runner.wait(60)
        return None
    finally:
        runner.kill()
        runner.wait(60)
    return run


@pytest.mark.parametrize("number", range(CRASHES))
def test_a_crash_costs_neither_the_record_nor_the_run(where, unbroken, number, capsys):
    seed = random.randrange(2**32) if "SEED" not in os.environ else int(os.environ["SEED"]) + number
    chance = random.Random(seed)
    victim = VICTIMS[number % len(VICTIMS)]
    instant, run = unbroken.seconds, None
    while run is None:
        # Earlier each time: this run may be quicker than the unbroken one was.
        instant = chance.uniform(0.0, instant)
        run = crash(instant, victim)
        if run is None:
            take_back(where, archive.runs(NAME)[-1])
    before = run.events.path.read_bytes()
    found = verify.verify(run, keys.trust(where.sign_off, NAME))
    with capsys.disabled():
        doing = "; ".join(found.remarks)
        print(f"\nseed {seed}: {victim} killed {instant:.2f} s after the first step: {doing}")
    assert (found.state, found.faults) == (State.INTERRUPTED, ())
    assert "Traceback" not in runbook("run", NAME, "--resume", run.id)
    ended = state(where, run)
    assert (ended.items, ended.deployed, ended.data) == (unbroken.items, unbroken.deployed, unbroken.data)
    assert run.events.path.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert verify.verify(run, keys.trust(where.sign_off, NAME)).faults == ()
    assert_nothing_was_done_twice(run)
    take_back(where, run)


def assert_nothing_was_done_twice(run: Run) -> None:
    """No action that the record calls done was carried out once more."""
    done: set[tuple[str, int]] = set()
    for event in run.events.read():
        step = (event.data.get("item"), event.data.get("step"))
        if event.name == "step started" and event.data["kind"] == "action":
            assert step not in done, f"{step} was done already"
        if event.name == "step finished" and event.data["kind"] == "action" and event.data["status"] == "passed":
            done.add(step)


def test_nothing_is_left_of_a_run_that_was_killed():
    """Neither kernels nor what they had started."""
    left = [process for process in psutil.process_iter(["cmdline"]) if NAME in " ".join(process.info["cmdline"] or [])]
    assert not [process for process in left if re.search("ipykernel|alembic|pg_dump|pg_restore", str(process.info))]
