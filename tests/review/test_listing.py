from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from runbook_lib.record import envelope
from runbook_lib.record.seal import ENVELOPE
from runbook_lib.review import listing

from ..many_runs import multiply
from ..test_runner import NEXT, SOUND, run
from .test_index import RUNBOOK

KIT = Path(__file__).parents[2]
EXAMPLE = next(KIT.glob("outputs/example/2*"))


@pytest.fixture
def example(mini) -> Path:
    """The archived example in an archive of its own, with the keys that its signatures are checked by."""
    shutil.copy(KIT / "notebooks" / "environments" / "example.trust", mini.environments[0])
    folder = mini.outputs / "example" / EXAMPLE.name
    shutil.copytree(EXAMPLE, folder)
    return folder


def test_a_sealed_run_is_listed_as_far_as_it_is_signed_by_now(example, mini):
    (row,) = listing.newest(limit=5).rows
    assert (row.run, row.state, row.release) == (f"example/{EXAMPLE.name}", "signed off", "v1.0.0")
    assert "pending" not in row.counts
    assert row.way == "headless"
    assert row.operator
    assert len(row.commit) == 40
    (mini.environments[0] / "example.trust").unlink()
    (row,) = listing.newest(limit=5).rows
    assert (row.state, row.counts["pending"]) == ("sealed", 4)


def test_a_signature_is_asked_for_at_every_list(example):
    envelope = example / ENVELOPE
    envelope.chmod(0o644)
    envelope.write_text(envelope.read_text().replace('"payload": "', '"payload": "A'))
    assert [row.state for row in listing.newest(limit=5).rows] == ["sealed, its envelope damaged"]
    envelope.unlink()
    assert len(listing.newest(limit=5).rows) == 1


def test_a_sealed_run_that_nobody_can_sign_is_not_signed_off(example, mini):
    (mini.environments[0] / "example.trust").unlink()
    unsigned = envelope.enclose((example / "manifest.json").read_bytes())
    (example / ENVELOPE).unlink()
    envelope.write(example / ENVELOPE, unsigned, by=example.parent)
    assert [row.state for row in listing.newest(limit=5).rows] == ["sealed"]


def test_an_environment_that_cannot_be_read_hides_no_other_run(example, mini):
    (mini.environments[0] / "example.trust").write_text("no TOML")
    (row,) = listing.newest(limit=5).rows
    assert row.state.startswith("sealed, and who may sign cannot be read: ")


def test_a_run_that_cannot_be_read_is_named_with_what_tells_more(mini):
    folder = mini.outputs / "mini" / "zz-other"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("not an event\n")
    (row,) = listing.newest(limit=5).rows
    assert (row.state, row.counts) == ("damaged: runbook verify mini/zz-other", {})


def test_the_newest_runs_are_listed_and_the_others_counted(mini):
    _, one = run(mini, SOUND | NEXT)
    made = multiply(one, 3, lambda number, overview: None, "mini")
    every = sorted([one.id, *made])
    listed = subprocess.run([RUNBOOK, "list", "--limit", "2"], capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0, listed.stderr
    assert "2 earlier runs are not shown: --limit 4" in listed.stdout
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == [f"mini/{run}" for run in every[-2:]]


def test_other_programs_get_the_newest_runs_as_json(mini):
    _, one = run(mini, SOUND | NEXT)
    said = subprocess.run([RUNBOOK, "list", "mini", "--json"], capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(said.stdout)
    assert told["environments"] == ["mini"]
    (row,) = told["runs"]
    assert (row["run"], row["counts"], row["way"]) == (f"mini/{one.id}", {"passed": 4}, "headless")
