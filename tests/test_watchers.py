"""A run told quietly and as JSON."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from runbook_lib import card, checklist
from runbook_lib.record.result import MIME
from runbook_lib.record.summary import PhaseSummary
from runbook_lib.step import Status
from runbook_lib.terminal import TerminalWatcher
from runbook_lib.watchers import UNREMARKABLE, JsonWatcher, QuietWatcher

from .test_terminal import bundle, step

RUNBOOK = Path(sys.executable).with_name("runbook")


def ended(outcome):
    return PhaseSummary(checklist.phase(4), outcome, "not passed: 4.1", Counter({Status.FAILED: 1}), 2.0)


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def quiet(stream):
    return QuietWatcher(TerminalWatcher(Console(file=stream, width=100, _environ={})))


@pytest.mark.parametrize("status", list(Status))
def test_quietly_only_what_wants_attention_is_printed(quiet, stream, status):
    quiet.phase_started(checklist.phase(4))
    quiet.result(bundle(step(status)))
    assert ("9.4" in stream.getvalue()) == (status not in UNREMARKABLE)


def test_quietly_the_live_bar_counts_every_item(stream):
    console = Console(file=stream, width=100, force_terminal=True, _environ={})
    with TerminalWatcher(console).live() as watcher:
        quiet = QuietWatcher(watcher)
        quiet.phase_started(checklist.phase(9))
        for status in (Status.PASSED, Status.FAILED, Status.SKIPPED):
            quiet.result(bundle(step(status)))
        (task,) = watcher._bar.tasks
    assert (task.completed, task.total) == (3, len(checklist.phase(9).items))


def test_quietly_a_phase_that_failed_says_why(quiet, stream):
    quiet.phase_ended(ended("failed"))
    assert "not passed: 4.1" in stream.getvalue()


def test_as_json_every_line_is_an_object(stream):
    watcher = JsonWatcher(stream)
    watcher.phase_started(checklist.phase(4))
    watcher.result(card.running("9.4", "Redis connectivity", "asking")[MIME])
    watcher.result(bundle(step(Status.FAILED, observed="\x1b[2J\u2028two\nlines")))
    watcher.result(card.gate("Testing", False, "not passed: 4.1")[MIME])
    watcher.phase_ended(ended("failed"))
    assert "\x1b" not in stream.getvalue()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["phase started", "item finished", "phase ended"]
    assert lines[1]["steps"][0]["observed"] == "\x1b[2J\u2028two\nlines"
    assert (lines[2]["outcome"], lines[2]["counts"]) == ("failed", {"failed": 1})


def test_a_run_as_json_prints_nothing_else(mini, kit):
    (mini.notebooks / "15_team_handoff.ipynb").symlink_to(kit.notebooks / "15_team_handoff.ipynb")
    command = [RUNBOOK, "run", "mini", "--release", "v1", "--only", "15", "--json"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    items = [line["id"] for line in lines if line["event"] == "item finished"]
    assert items == [item.id for item in checklist.phase(15).items]
    assert lines[-1]["event"] == "run ended"
    assert lines[-1]["code"] == told.returncode


def test_quiet_and_json_exclude_each_other(mini):
    told = subprocess.run([RUNBOOK, "run", "mini", "--quiet", "--json"], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout, told.stderr) == (2, "", "Give either --quiet or --json.\n")
