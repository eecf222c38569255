from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.record import attestation
from runbook_lib.record.masking import Mask
from runbook_lib.review.difference import Kind, compare

from ..conftest import edit_events

RUNBOOK = Path(sys.executable).with_name("runbook")


def say_no(stage) -> None:
    stage.told |= {"ok": False, "said": "broken"}


def say_else(stage) -> None:
    stage.told["said"] = "another"


def expect_else(stage) -> None:
    stage.told["expected"] = "below 50 ms"


def set_else(stage) -> None:
    toml = stage.home.environments[0] / "mini.toml"
    toml.write_text(toml.read_text() + "\n# in a hurry\n[objectives]\np95_milliseconds = 150.0\n")


def write_else(stage) -> None:
    stage.cells[1] = 'phase.item("3.2", sound())  # as before'


def take_out(stage) -> None:
    del stage.cells[1]


@pytest.mark.parametrize(
    ("plant", "kind", "place", "before", "after"),
    [
        (say_no, Kind.VERDICT, "3.1", "passed", "failed"),
        (say_else, Kind.OBSERVED, "3.1 Says", '"said": "sound"', '"said": "another"'),
        (expect_else, Kind.EXPECTED, "3.1 Says", "below 100 ms", "below 50 ms"),
        (set_else, Kind.SETTING, "objectives.p95_milliseconds", "", "150.0"),
        (write_else, Kind.CELL, "03_database_setup.ipynb, cell 5", "sound())", "# as before"),
    ],
    ids=["verdict", "observation", "threshold", "setting", "cell"],
)
def test_of_two_real_runs_one_planted_change_is_named_and_that_alone(stage, plant, kind, place, before, after):
    one = stage.run()
    plant(stage)
    difference = compare(one, stage.run())
    (found,), remarks = difference.changes, difference.remarks
    assert (found.kind, found.place, remarks) == (kind, place, ())
    assert before in found.before and after in found.after


def test_two_real_runs_that_say_the_same_do_not_differ(stage):
    one, other = stage.run(), stage.run()
    same = subprocess.run([RUNBOOK, "diff", one.id, other.id], capture_output=True, text=True)
    assert (same.returncode, same.stdout) == (0, "")
    as_json = subprocess.run([RUNBOOK, "diff", one.id, other.id, "--json"], capture_output=True, text=True)
    assert (as_json.returncode, json.loads(as_json.stdout)) == (0, {"changes": [], "remarks": []})


def test_an_item_taken_out_is_gone_and_so_is_its_cell(stage):
    one = stage.run()
    take_out(stage)
    found = compare(one, stage.run()).changes
    assert [(change.kind, change.before[:6], change.after) for change in found] == [
        (Kind.VERDICT, "passed", ""),
        (Kind.CELL, "phase.", ""),
    ]


def test_versions_and_commits_are_compared(stage):
    one, other = stage.run(), stage.run()
    edit_events(other, lambda event: event["data"].get("versions", {}).update(httpx="0.0.1"))
    (found,) = compare(one, other).changes
    assert (found.kind, found.place, found.after) == (Kind.VERSION, "httpx", "0.0.1")
    edit_events(one, lambda event: event["data"].get("versions", {}).update(httpx="0.0.1"))
    edit_events(other, lambda event: "commit" in event["data"] and event["data"].update(commit="f" * 40))
    (found,) = compare(one, other).changes
    assert (found.kind, found.place, found.after) == (Kind.RUN, "commit", "f" * 40)


def test_the_command_says_what_differs_and_so_does_its_exit_code(stage):
    one = stage.run()
    say_no(stage)
    other = stage.run()
    differs = subprocess.run([RUNBOOK, "diff", one.id, other.id], capture_output=True, text=True)
    first, second = differs.stdout.splitlines()
    assert (differs.returncode, first) == (1, "verdict  3.1: passed → failed")
    assert second.startswith("    Says: {") and '"said": "broken"' in second
    as_json = subprocess.run([RUNBOOK, "diff", one.id, other.id, "--json"], capture_output=True, text=True)
    (found,) = json.loads(as_json.stdout)["changes"]
    assert (found["kind"], found["place"], found["before"], found["after"]) == ("verdict", "3.1", "passed", "failed")


def test_what_a_target_sent_does_not_steer_the_terminal(stage):
    one = stage.run()
    stage.told["said"] = "\x1b[2Jgone"
    shown = subprocess.run([RUNBOOK, "diff", one.id, stage.run().id], capture_output=True, text=True)
    assert shown.returncode == 1 and "\x1b" not in shown.stdout


def test_a_step_put_before_the_others_is_named_alone(stage):
    one = stage.run()
    fresh = 'def fresh():\n    return Finding(True, "", "")\n'
    stage.cells[1] = f'{fresh}phase.item("3.2", check("Is new")(fresh)(), sound())'
    found = [change for change in compare(one, stage.run()).changes if change.kind is not Kind.CELL]
    assert [(change.kind, change.place, change.before, change.after) for change in found] == [
        (Kind.VERDICT, "3.2 Is new", "", "passed")
    ]


def test_an_item_that_the_checklist_does_not_know_is_compared(stage):
    one, other = stage.run(), stage.run()
    for run, status in ((one, "passed"), (other, "failed")):
        edit_events(run, lambda event: event["data"].get("id") == "3.2" and event["data"].update(id="3.9.9"))
        edit_events(
            run, lambda event, to=status: event["data"].get("id") == "3.9.9" and event["data"].update(status=to)
        )
    found = compare(one, other).changes
    assert ("3.9.9", "passed", "failed") in [(change.place, change.before, change.after) for change in found]


def test_who_vouched_is_compared_and_when_is_not(stage):
    stage.cells[1] = 'phase.item("3.2", attest("Is trained"))'
    one, same, other = stage.run(), stage.run(), stage.run()
    for run, person in ((one, "Ada"), (same, "Ada"), (other, "Mallory")):
        attestation.attest(run, "3.2", Mask(), person=person, note="seen")
    assert compare(one, same).changes == ()
    (found,) = compare(one, other).changes
    assert (found.kind, found.place) == (Kind.WORD, "3.2 attested")
    assert "Ada" in found.before and "Mallory" in found.after
