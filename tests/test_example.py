"""The run that lies in outputs/example to be looked at: it is whole, small, signed, and says what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib import checklist
from runbook_lib.home import VARIABLE, Home
from runbook_lib.record import archive, keys, verify
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import summarize
from runbook_lib.record.verify import State

RUNBOOK = Path(sys.executable).with_name("runbook")
LARGEST = 3_000_000
"""Bytes."""


@pytest.fixture
def example(kit: Home, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(VARIABLE, str(kit.root))
    (run,) = archive.runs("example")
    return run


def test_it_verifies_by_the_keys_that_the_kit_names_for_it(example):
    found = verify.verify(example, keys.trust_of("example"))
    assert (found.state, found.faults) == (State.SIGNED, ())
    done = subprocess.run([RUNBOOK, "verify", str(example)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_a_whole_run_in_which_nothing_failed(example):
    items = summarize(example).items
    assert set(items) == {item.id for phase in checklist.forward() for item in phase.items}
    assert {item["status"] for item in items.values()} <= {"passed", "skipped", "waived", "pending"}
    assert all(example.notebook(phase).is_file() for phase in checklist.forward())


def test_it_is_small(example):
    assert sum(path.stat().st_size for path in example.folder.rglob("*") if path.is_file()) < LARGEST


def test_the_readme_names_it(example, kit):
    named = re.search(r"`(outputs/example/[^/`]+)/review.html`", (kit.root / "README.md").read_text())
    assert named is not None
    assert kit.root / named[1] == example.folder
