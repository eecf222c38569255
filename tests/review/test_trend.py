from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.review import lookup, trend
from runbook_lib.review.lookup import Detail, Load, Recent

from ..many_runs import multiply
from ..record.conftest import roles  # noqa: F401

RUNBOOK = Path(sys.executable).with_name("runbook")


def load(number: int, p95: float, throughput: float = 500.0, errors: float = 0.0, item: str = "11.1.1") -> Load:
    return Load("mini", f"run-{number:03}", "v1", item, throughput, p95, errors)


def test_a_load_test_is_held_against_the_median_of_those_before_it():
    points = list(trend.points([load(1, 10.0), load(2, 30.0), load(3, 20.0), load(4, 30.0, 250.0, 0.02)]))
    assert [point.p95 for point in points] == [None, 2.0, 0.0, 0.5]
    assert (points[-1].throughput, points[-1].errors) == (-0.5, 0.02)


def test_only_the_last_tests_of_the_same_item_count():
    old = [load(number, 1.0) for number in range(5)]
    recent = [load(number + 5, 10.0) for number in range(trend.BEFORE)]
    (*_, last) = trend.points([*old, *recent, load(98, 1.0, item="11.2.1"), load(99, 10.0)])
    assert last.p95 == 0.0


def test_the_tests_of_one_run_stand_as_in_the_checklist(monkeypatch):
    loads = tuple(load(number, 1.0, item=item) for number in (1, 2) for item in ("11.1", "7.1.4"))
    monkeypatch.setattr(lookup, "recent", lambda *_, **__: Recent(loads, ()))
    assert [point.load.item for point in trend.of("mini").points] == ["7.1.4", "11.1"] * 2


def test_a_test_after_none_that_sustained_anything_has_no_share():
    (_, last) = trend.points([load(1, 10.0, throughput=0.0), load(2, 10.0)])
    assert last.throughput is None


def seen(*statuses: str) -> list[Detail]:
    return [Detail("mini", f"run-{number:03}", {}, {"3.1": status}) for number, status in enumerate(statuses)]


@pytest.mark.parametrize(
    ("statuses", "changes"),
    [
        (("passed", "failed", "passed"), [2]),
        (("failed", "passed", "error", "failed", "passed"), [3]),
        (("passed", "skipped", "failed", "pending", "passed"), [2]),
        (("passed", "passed", "failed", "failed"), []),
        (("failed", "error", "failed"), []),
        (("passed", "waived", "passed"), []),
        ((), []),
    ],
)
def test_an_item_wavers_where_its_verdict_goes_back_and_forth(statuses, changes):
    assert [each.changes for each in trend.wavering(seen(*statuses))] == changes


def test_a_phases_mean_time_is_that_of_the_runs_in_which_it_ended():
    found = list(trend.paces([Detail("mini", "1", {3: 1.0}, {}), Detail("mini", "2", {3: 3.0, 4: 5.0}, {})]))
    assert [(pace.phase, pace.seconds, pace.runs) for pace in found] == [(3, 2.0, 2), (4, 5.0, 1)]


def vary(number, overview):
    """Every second run fails 3.1; the last is half as fast."""
    overview["release"] = "v1.1" if number > 3 else "v1.0"
    overview["items"]["3.1"]["status"] = "failed" if number % 2 else "passed"
    overview["loads"] = {"3.2": {"throughput": 250.0 if number == 5 else 500.0, "p95": 20.0, "errors": 0.0}}


def test_the_command_tells_of_loads_items_and_times(roles):  # noqa: F811
    made = multiply(roles.ran(), 6, vary)
    said = subprocess.run([RUNBOOK, "trend", "mini"], capture_output=True, text=True, check=True).stdout
    assert f"  {made[-1]}  v1.1  3.2  250.0/s (-50.0%)  p95 20.0 ms (+0.0%)  errors 0.00% (+0.00%)" in said
    assert "  3.1  changed 6 times: passed failed passed failed passed failed passed" in said
    assert "of 7 runs" in said
    told = json.loads(subprocess.run([RUNBOOK, "trend", "mini", "--json"], capture_output=True, check=True).stdout)
    assert [point["throughput"] for point in told["points"]] == [None, 0.0, 0.0, 0.0, 0.0, -0.5]


def test_an_environment_without_runs_gets_one_sentence(mini):
    completed = subprocess.run([RUNBOOK, "trend", "mini"], capture_output=True, text=True)
    assert completed.returncode == 2
    assert "No run of 'mini' can be read" in completed.stderr
