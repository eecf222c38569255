from __future__ import annotations

import pytest

from runbook_lib.record import earlier
from runbook_lib.record.earlier import Done, Unknown
from runbook_lib.record.events import EventLog

ACTION = {"phase": 8, "item": "8.1", "step": 1, "name": "deployment.deploy", "kind": "action"}
STARTED = ("step started", ACTION)
PASSED = ("step finished", {**ACTION, "status": "passed"})
ERROR = ("step finished", {**ACTION, "status": "error"})
PLANNED = ("step finished", {**ACTION, "status": "planned"})
FAILED = ("step finished", {**ACTION, "status": "failed"})
RESUMED = ("run resumed", {"phases": [8, 9]})
ENDED = ("phase ended", {"phase": 8, "outcome": "passed"})
BEGAN = ("phase started", {"phase": 8})


@pytest.mark.parametrize(
    ("happened", "left"),
    [
        ([BEGAN, STARTED, RESUMED], Unknown),
        ([BEGAN, STARTED, PASSED, RESUMED], Done),
        ([BEGAN, STARTED, FAILED, RESUMED], None),
        ([BEGAN, STARTED, PASSED], None),
        ([BEGAN, STARTED, PASSED, ("phase ended", {"phase": 8, "outcome": "passed"}), RESUMED], None),
        ([BEGAN, STARTED, PASSED, ("phase ended", {"phase": 8, "outcome": "failed"}), RESUMED], Done),
        ([BEGAN, STARTED, PASSED, ("run resumed", {"phases": [9]})], None),
        ([BEGAN, STARTED, RESUMED, BEGAN, STARTED, PASSED], None),
        ([BEGAN, STARTED, PASSED, RESUMED, BEGAN, STARTED, RESUMED], Unknown),
        ([BEGAN, STARTED, PASSED, RESUMED, BEGAN, RESUMED], Done),
        ([("phase started", {"phase": 7}), ("step started", {**ACTION, "phase": 7}), RESUMED], None),
        ([BEGAN, ("step started", {**ACTION, "kind": "check"}), RESUMED], None),
        ([BEGAN, STARTED, ERROR, RESUMED], Unknown),
        ([BEGAN, STARTED, PASSED, RESUMED, BEGAN, STARTED, PLANNED, ENDED, RESUMED], Done),
        ([BEGAN, STARTED, PLANNED, ENDED, RESUMED], None),
    ],
    ids=[
        "cut off",
        "done",
        "failed",
        "simply run again",
        "of a phase that passed",
        "of a phase whose gate failed",
        "resumed behind it",
        "already gone on with",
        "cut off the second time",
        "cut off twice, the second time before it",
        "of another phase",
        "a check",
        "interrupted",
        "done, then planned",
        "planned alone",
    ],
)
def test_what_a_broken_off_pass_leaves(tmp_path, happened, left):
    log = EventLog(tmp_path / "events.jsonl")
    for name, data in happened:
        log.append(name, **data)
    found = earlier.of_phase(log.read(), 8).take("8.1", 1, "deployment.deploy")
    assert (type(found) if found else None) is left


def test_each_action_is_taken_once(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    for name, data in (BEGAN, STARTED, RESUMED):
        log.append(name, **data)
    left = earlier.of_phase(log.read(), 8)
    assert left.take("8.1", 1, "deployment.deploy") is not None
    assert left.take("8.1", 1, "deployment.deploy") is None


def test_a_rollback_does_all_of_it_anew(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    for name, data in (BEGAN, STARTED, PASSED, RESUMED):
        log.append(name, **{**data, **({"phases": [90]} if "phases" in data else {"phase": 90})})
    assert earlier.of_phase(log.read(), 90).actions == {}
