from __future__ import annotations

import math
from dataclasses import replace

import pytest

from runbook_lib.load import history
from runbook_lib.load.history import Summary
from runbook_lib.record import archive
from runbook_lib.record.archive import Way
from runbook_lib.release import Release

NOW = Summary("builtin", True, 510.0, ("GET /health",), 510.0, 5.0, 20.0, 19.0, 21.0, 30.0, 0.0)


def at(p95):
    return replace(NOW, p95=p95, p95_low=p95 * 0.95, p95_high=p95 * 1.05)


@pytest.fixture
def kept(mini):
    """Keep a finished step in a run of its own."""
    from runbook_lib import environment, release

    env = environment.load("mini")
    tagged: Release = release.find(env, "v1")

    def keep(number, facts, status="passed", item="11.1"):
        run = archive.create(env, tagged, Way.UNSUPERVISED, run_id=f"20261101T10300{number}Z-v1")
        run.events.append("step finished", item=item, status=status, facts=facts)
        return run

    return keep


def test_earlier_tests_are_read_from_the_archive_oldest_first(kept):
    kept(2, at(22.0).fact(), status="failed")
    kept(1, at(21.0).fact())
    found = history.earlier("mini", "11.1", NOW)
    assert [(run, one.p95) for run, one in found] == [("20261101T103001Z-v1", 21.0), ("20261101T103002Z-v1", 22.0)]
    assert history.earlier("other", "11.1", NOW) == ()


@pytest.mark.parametrize(
    ("facts", "status", "item"),
    [
        (replace(NOW, rate=300.0).fact(), "passed", "11.1"),
        (replace(NOW, calls=("GET /other",)).fact(), "passed", "11.1"),
        (replace(NOW, open_loop=False).fact(), "passed", "11.1"),
        (NOW.fact(), "error", "11.1"),
        (NOW.fact(), "passed", "7.1.4"),
        ({"load": {"of": "another version"}}, "passed", "11.1"),
        ({}, "passed", "11.1"),
    ],
    ids=["another rate", "other requests", "closed loop", "inconclusive", "another item", "another version", "none"],
)
def test_only_like_is_compared_with_like(kept, facts, status, item):
    kept(1, facts, status, item)
    assert history.earlier("mini", "11.1", NOW) == ()


def test_a_damaged_record_does_not_stop_a_load_test(kept):
    run = kept(1, NOW.fact())
    kept(2, NOW.fact())
    (run.folder / "events.jsonl").write_text("no event\n")
    assert len(history.earlier("mini", "11.1", NOW)) == 1


def test_slower_beyond_noise_is_named():
    before = [at(20.0), at(21.0), at(19.0)]
    assert history.regression(at(40.0), before) == (
        "slower than the last 3 tests beyond noise: p95 40.0 ms, before 20.0 ms"
    )


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (at(21.0), [at(20.0), at(20.0)]),
        (at(40.0), [at(20.0), at(45.0)]),
        (replace(at(40.0), p95_low=19.0), [at(20.0), at(20.0)]),
        (at(40.0), [at(20.0)]),
        (at(15.0), [at(20.0), at(20.0)]),
    ],
    ids=["by a tenth", "as one of the last", "not sure", "nothing to go by", "faster"],
)
def test_what_may_be_noise_is_not(now, before):
    assert history.regression(now, before) == ""


def test_only_the_last_five_count():
    assert history.regression(at(40.0), [at(50.0), *([at(20.0)] * 5)])


UNMEASURED = replace(NOW, p95=math.nan, p95_low=math.nan, p95_high=math.nan)


def test_a_test_that_was_stopped_in_its_ramp_has_nothing_to_compare(kept):
    assert UNMEASURED.fact() == {}
    for number, told in enumerate(("nan", None, "20.0")):
        kept(number, {"load": NOW.fact()["load"] | {"p95": told}}, status="failed")
    assert history.earlier("mini", "11.1", NOW) == ()
    assert history.regression(UNMEASURED, [at(20.0), at(20.0)]) == ""
