from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from runbook_lib import checklist
from runbook_lib.record.archive import Run
from runbook_lib.record.events import GENESIS, digest_of
from runbook_lib.review.difference import Kind, compare

from ..test_runner import NEXT, SOUND, run

RUNBOOK = Path(sys.executable).with_name("runbook")


@pytest.fixture
def two(mini) -> tuple[Run, Run]:
    """A run of two phases, and an exact copy of it."""
    _, one = run(mini, SOUND | NEXT)
    folder = one.folder.with_name("the-other")
    shutil.copytree(one.folder, folder)
    return one, Run(folder)


def test_two_identical_runs_do_not_differ(two):
    assert compare(*two) == ()


def edit_events(run: Run, change) -> None:
    """Every event changed by `change`, and the chain made anew."""
    previous, lines = GENESIS, []
    for line in run.events.path.read_bytes().splitlines():
        event = json.loads(line)
        change(event)
        event["previous"] = previous
        lines.append(json.dumps(event, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        previous = digest_of(lines[-1])
    run.events.path.write_bytes(b"".join(lines))


def in_the_item(id: str, **values):
    def change(event) -> None:
        if event["name"] == "item finished" and event["data"]["id"] == id:
            for name, value in values.items():
                target = event["data"] if name == "status" else event["data"]["steps"][0]
                target[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "kind", "place", "after"),
    [
        (in_the_item("3.2", status="failed"), Kind.VERDICT, "3.2", "failed"),
        (in_the_item("3.2", observed="another"), Kind.OBSERVED, "3.2 Is sound", "another"),
        (in_the_item("3.2", expected={"p95": 100}), Kind.EXPECTED, "3.2 Is sound", '{"p95": 100}'),
        (
            lambda event: event["data"].get("versions", {}).update(httpx="0.0.1"),
            Kind.VERSION,
            "httpx",
            "0.0.1",
        ),
        (
            lambda event: event["data"].update(commit="f" * 40) if event["name"] == "run opened" else None,
            Kind.RUN,
            "commit",
            "f" * 40,
        ),
    ],
    ids=["verdict", "observation", "threshold", "version", "commit"],
)
def test_one_planted_change_is_named_and_that_alone(two, change, kind, place, after):
    edit_events(two[1], change)
    (found,) = compare(*two)
    assert (found.kind, found.place, found.after) == (kind, place, after)


def test_a_changed_setting_is_named_by_its_line(two):
    toml = two[1].folder / "environment.toml"
    toml.write_text(toml.read_text().replace('kind = "sandbox"', 'kind = "staging"'))
    (found,) = compare(*two)
    assert (found.kind, found.before, found.after) == (Kind.SETTING, 'kind = "sandbox"', 'kind = "staging"')


@pytest.mark.parametrize("how", ["edited", "added", "removed"])
def test_a_changed_cell_is_named(two, how):
    path = two[1].notebook(checklist.phase(3))
    notebook = nbformat.read(path, as_version=4)
    if how == "edited":
        notebook.cells[3].source = "phase.item('3.1', broken())"
    elif how == "added":
        notebook.cells.insert(4, nbformat.v4.new_code_cell("print(1)"))
    else:
        del notebook.cells[3]
    nbformat.write(notebook, path)
    found = compare(*two)
    assert {change.kind for change in found} == {Kind.CELL}
    assert found[0].place.startswith("03_database_setup.ipynb, cell ")


def test_an_item_that_one_run_alone_has_is_named(two):
    edit_events(two[1], lambda event: event.update(name="left out") if event["data"].get("id") == "3.2" else None)
    (found,) = compare(*two)
    assert (found.kind, found.place, found.before, found.after) == (Kind.VERDICT, "3.2", "passed", "")


def test_the_command_says_by_its_exit_code_whether_anything_differs(two):
    one, other = two
    same = subprocess.run([RUNBOOK, "diff", one.id, other.id], capture_output=True, text=True)
    assert (same.returncode, same.stdout) == (0, "")
    edit_events(other, in_the_item("3.2", status="failed"))
    differs = subprocess.run([RUNBOOK, "diff", one.id, other.id], capture_output=True, text=True)
    assert (differs.returncode, differs.stdout) == (1, "verdict  3.2: passed → failed\n")
    as_json = subprocess.run([RUNBOOK, "diff", one.id, other.id, "--json"], capture_output=True, text=True)
    assert json.loads(as_json.stdout) == [{"kind": "verdict", "place": "3.2", "before": "passed", "after": "failed"}]
