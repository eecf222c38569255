from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

from runbook_lib.review.difference import Kind, compare

from ..conftest import edit_events
from .test_difference import RUNBOOK


def usual(random: np.random.Generator, due: np.ndarray) -> np.ndarray:
    return random.lognormal(np.log(20.0), 0.4, len(due))


def slower(random: np.random.Generator, due: np.ndarray) -> np.ndarray:
    return 1.5 * usual(random, due)


def other_samples(stage, *how) -> tuple:
    stage.load(*how[0])
    one = stage.run()
    stage.load(*how[1])
    return one, stage.run()


def test_a_slower_service_is_named_beyond_noise_with_the_interval_of_the_difference(stage):
    difference = compare(*other_samples(stage, (usual, 1), (slower, 2)))
    assert [(each.kind, each.place) for each in difference.changes] == [
        (Kind.LOAD, "3.1 under load, p95"),
        (Kind.LOAD, "3.1 under load, p99"),
    ]
    assert difference.remarks == ()
    p95 = difference.changes[0]
    # 20 ms · exp(0.4 · 1.645) = 38.6 ms; the ramp, in which all took a second, is not judged.
    assert float(p95.before.split()[0]) == pytest.approx(38.6, rel=0.05)
    assert float(p95.after.split()[0]) == pytest.approx(57.9, rel=0.05)
    assert p95.detail.startswith("slower beyond noise: difference +") and "bootstrap (Efron & Tibshirani" in p95.detail


def test_chance_is_within_noise_and_no_difference(stage):
    one, other = other_samples(stage, (usual, 1), (usual, 2))
    difference = compare(one, other)
    assert difference.changes == ()
    assert [each.detail.split(":")[0] for each in difference.remarks] == ["within noise", "within noise"]
    said = subprocess.run([RUNBOOK, "diff", one.id, other.id], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout.count("within noise") == 2


def test_the_same_samples_are_not_remarked_on(stage):
    difference = compare(*other_samples(stage, (usual, 1), (usual, 1)))
    assert (difference.changes, difference.remarks) == ((), ())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "samples.parquet is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "samples.parquet is not what was kept"),
    ],
    ids=["missing", "changed"],
)
@pytest.mark.parametrize("both", [False, True], ids=["of one", "of both"])
def test_samples_that_cannot_be_had_are_said(stage, damage, said, both):
    one, other = other_samples(stage, (usual, 1), (usual, 2))
    for run in (one, other) if both else (other,):
        damage(run.folder / "evidence/3.1/samples.parquet")
    (found,) = compare(one, other).changes
    said = f"evidence/3.1/{said}"
    assert (found.kind, found.after, found.detail) == (Kind.LOAD, said, "the percentiles were not compared")
    assert found.before == (said if both else "load samples on record")


def test_samples_that_were_the_same_when_they_were_kept_need_not_be_there(stage):
    one, other = other_samples(stage, (usual, 1), (usual, 1))
    for run in (one, other):
        (run.folder / "evidence/3.1/samples.parquet").unlink()
    assert compare(one, other).changes == ()


def test_a_run_that_kept_no_samples_is_said(stage):
    stage.load(usual, 1)
    one = stage.run()
    (stage.home.root / "samples.parquet").unlink()
    (found,) = compare(one, stage.run()).changes
    assert (found.kind, found.after) == (Kind.LOAD, "no load samples on record")


def test_percentiles_of_different_loads_are_not_compared(stage):
    stage.load(usual, 1)
    one = stage.run()
    stage.load(slower, 2, rate=200.0)
    (found,) = compare(one, stage.run()).changes
    assert found.before.startswith("100 requests/s by the clock") and found.after.startswith("200 requests/s")
    assert found.detail == "another load: the percentiles were not compared"


def test_an_inconclusive_test_proves_nothing(stage):
    stage.cells[0] = (
        "from runbook_lib.errors import Unanswerable\n"
        "def unsure():\n"
        '    raise Unanswerable("inconclusive: fell behind", seen=says().run())\n'
        'phase.item("3.1", check("Is unsure")(unsure)())'
    )
    difference = compare(*other_samples(stage, (usual, 1), (slower, 2)))
    assert difference.changes == ()
    (remark,) = difference.remarks
    assert (remark.before, remark.after) == ("inconclusive", "inconclusive")


def test_a_path_that_leads_out_of_the_record_is_not_followed(stage):
    one, other = other_samples(stage, (usual, 1), (usual, 2))
    shutil.copy(one.folder / "evidence/3.1/samples.parquet", stage.home.root / "elsewhere-samples.parquet")

    def lead_out(event) -> None:
        text = json.dumps(event["data"]).replace("evidence/3.1/", "../../../elsewhere-")
        event["data"] = json.loads(text)

    edit_events(other, lead_out)
    (found,) = compare(one, other).changes
    assert found.after.startswith("../../../elsewhere-samples.parquet lies outside of")
