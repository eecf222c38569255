from __future__ import annotations

import io
import re
import time

import numpy as np
import pandas as pd
import pytest

from runbook_lib.checks import http, load
from runbook_lib.environment import Objectives, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.load.interface import Profile, Result

OBJECTIVES = Objectives()


def judged(env):
    return load.sustained(env, load.under_load(env)).run()


def result(*, seconds=0.02, rate=510.0, status=200, dropped=0, duration=4.0, ramp=1.0):
    """A result whose held requests all took `seconds`."""
    count = round(rate * (duration + ramp))
    samples = pd.DataFrame(
        {
            "start": np.linspace(0, duration + ramp, count, endpoint=False),
            "seconds": seconds,
            "status": status,
            "error": "" if status else "no answer",
            "request": "GET /health",
        }
    )
    asked = Profile("http://x", (Request(path="/health"),), rate, duration, ramp)
    return Result("k6", asked, samples, dropped)


def test_objectives_met():
    finding = load.judge(result(), OBJECTIVES)
    assert finding.ok
    assert [evidence.name for evidence in finding.evidence] == [
        "throughput.png",
        "latency.png",
        "errors.png",
        "distribution.png",
        "samples.parquet",
    ]
    assert sum(len(e.content) for e in finding.evidence if e.name.endswith(".png")) < 100_000


@pytest.mark.parametrize(
    "fault",
    [{"seconds": 0.2}, {"status": 503}, {"status": 0}, {"rate": 480.0}, {"seconds": 2.0, "dropped": 500}],
    ids=["slow", "errors", "no answers", "too few", "so slow that requests were dropped"],
)
def test_objectives_missed(fault):
    assert not load.judge(result(**fault), OBJECTIVES).ok


def test_a_good_result_of_a_generator_that_fell_behind_is_inconclusive():
    with pytest.raises(Unanswerable, match="inconclusive: k6 did not send 30 of"):
        load.judge(result(dropped=30), OBJECTIVES)


def test_a_request_dropped_in_a_thousand_is_tolerated():
    assert load.judge(result(dropped=2), OBJECTIVES).ok


def test_the_samples_are_kept_as_parquet():
    whole = result()
    evidence = load.judge(whole, OBJECTIVES).evidence[-1]
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(evidence.content)), whole.samples)


def test_the_profile_is_marked_and_a_little_above_the_objective(at):
    asked = load.profile(at("http://127.0.0.1:1"), duration=3.0, ramp=1.0)
    assert dict(asked.headers)[http.HEADER] == http.MARK
    assert asked.rate == pytest.approx(510.0)


def test_a_load_test_passes_on_the_sandbox(env, unhurried):
    short = env.load.model_copy(update={"duration_seconds": 3.0, "ramp_seconds": 1.0})
    finding = judged(unhurried(env.model_copy(update={"load": short})))
    assert finding.ok, finding.observed


def test_a_service_that_answers_slowly_fails(serve, at, reply):
    def slow(asked):
        time.sleep(0.25)
        return reply({})

    parts = {"load": {"duration_seconds": 1.5, "ramp_seconds": 0.5}, "objectives": {"requests_per_second": 30}}
    finding = judged(at(serve({"/health": slow}).url, **parts))
    assert not finding.ok
    p95 = re.search(r"p95 ([\d.]+) ms", finding.observed)
    assert p95 is not None
    assert float(p95[1]) >= 250


def test_a_service_that_fails_now_and_then_fails(serve, at, reply):
    counted = iter(range(10**6))

    def broken(asked):
        return reply({}, 503 if next(counted) % 20 == 0 else 200)

    parts = {"load": {"duration_seconds": 1.5, "ramp_seconds": 0.5}, "objectives": {"requests_per_second": 100}}
    finding = judged(at(serve({"/health": broken}).url, **parts))
    assert not finding.ok
    assert ("503",) in {row[:1] for row in finding.tables[1].rows}
