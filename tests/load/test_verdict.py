from __future__ import annotations

from dataclasses import replace

import httpx
import numpy as np
import pytest

from runbook_lib.environment import Objectives
from runbook_lib.load.interface import BREAKER, Call, Cost, Profile, Result, Scripted, Users, hold, steps
from runbook_lib.load.samples import FIELDS, Samples
from runbook_lib.load.samples import Outcome as Ended
from runbook_lib.load.schedule import times
from runbook_lib.load.verdict import Judged, Outcome, judge, rates

CALL = Call(httpx.Request("GET", "http://x/health"), "GET /health")


def result(seconds=0.02, *, rate=510.0, duration=20.0, load=None, objectives=None, outcome=0, lag=0.0, **parts):
    """A result whose requests all took `seconds`, or what that function of their due times says."""
    load = load or hold(rate, duration, ramp=1.0)
    due = times(load) if not isinstance(load, Users) else np.arange(0, load.duration, 1 / rate)
    rows = np.zeros(len(due), dtype=list(FIELDS))
    rows["due"], rows["end"] = due, seconds(due) if callable(seconds) else seconds
    rows["status"], rows["lag"], rows["outcome"] = 200, lag, outcome(due) if callable(outcome) else outcome
    return Result("builtin", Profile((CALL,), load, objectives or Objectives()), Samples(rows), **parts)


def verdict(*arguments, **options):
    return judge(Judged(result(*arguments, **options)))


def test_objectives_met():
    found = verdict()
    assert found.outcome is Outcome.PASSED
    assert found.reasons == ()
    assert all(measure.ok for measure in found.measures)


def stalls(due):
    """Nobody is answered during the first of every five seconds."""
    phase = due % 5.0
    return 0.001 + np.where(phase < 1.0, 1.0 - phase, 0.0)


def some(outcome, share):
    return lambda due: np.where(np.arange(len(due)) % round(1 / share) == 0, outcome, 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"seconds": 0.2}, "p95 of the latency 200.0 ms, expected < 200 ms"),
        ({"seconds": stalls}, "p95 of the latency 75"),
        ({"rate": 480.0}, "good answers in the worst 10 s 480.0/s, expected >= 500/s"),
        ({"outcome": some(Ended.WRONG_STATUS, 0.02)}, "errors 2.00%, expected < 1.00%"),
        ({"outcome": Ended.TIMED_OUT, "seconds": 10.0}, "errors 100.00%"),
        ({"stopped": f"{BREAKER}: 9 of 10 requests failed"}, BREAKER),
        ({"missed": ("a threshold of the script did not hold",)}, "a threshold of the script"),
        ({"objectives": Objectives(p99_milliseconds=15.0)}, "p99 of the latency 20.0 ms, expected < 15 ms"),
    ],
    ids=["slow", "stalls", "too few", "errors", "no answers", "breaker", "threshold", "p99"],
)
def test_objectives_missed(fault, reason):
    found = verdict(**fault)
    assert found.outcome is Outcome.FAILED
    assert any(reason in text for text in found.reasons)


@pytest.mark.parametrize("seconds", [0.02, 2.0], ids=["good", "bad"])
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"lag": 0.05}, "fell behind its schedule: p95 of its lag is 50.0 ms, allowed 20 ms"),
        ({"cost": Cost(dropped=30)}, "did not send 30 of"),
        ({"lost": ("worker tcp://10.0.0.2:4444",)}, "worker tcp://10.0.0.2:4444 was lost in mid-test"),
        ({"stopped": "interrupted"}, "interrupted before its end"),
    ],
    ids=["lag", "dropped", "lost", "interrupted"],
)
def test_a_generator_in_trouble_is_inconclusive_whatever_it_measured(seconds, trouble, reason):
    found = verdict(seconds, **trouble)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert any(reason in text for text in found.reasons)


def paused(due):
    """The generator slept from the tenth second on for 1.2 s, and then sent what was overdue."""
    return np.where((due > 10.0) & (due < 11.2), 11.2 - due, 0.0)


def test_a_generator_that_paused_makes_the_rate_no_fault_of_the_service():
    def late(due):
        return 0.005 + paused(due)

    whole = result(late, duration=30.0)
    whole.samples.rows["lag"] = paused(whole.samples.rows["due"])
    found = judge(Judged(whole))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "builtin paused, up to 11" in found.reasons[0]
    # The same answers, late by the service's own doing.
    assert verdict(late, duration=30.0).outcome is Outcome.FAILED


@pytest.mark.parametrize(("outcome", "ok"), [(0, Outcome.PASSED), (some(Ended.WRONG_STATUS, 0.001), Outcome.FAILED)])
def test_where_no_error_is_tolerated_none_is_what_passes(outcome, ok):
    assert verdict(outcome=outcome, objectives=Objectives(error_rate=0.0), rate=530.0).outcome is ok


def test_a_request_dropped_in_a_thousand_is_tolerated():
    assert verdict(cost=Cost(dropped=2)).outcome is Outcome.PASSED


def test_a_pass_that_another_test_could_have_missed_is_inconclusive():
    # One second in twenty-one is slow: 4.8 % of all requests, by which the p95 just escapes it.
    found = verdict(lambda due: np.where(np.floor(due) % 21 == 5, 0.3, 0.02), duration=42.0)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "its interval reaches 30" in found.reasons[0]


def test_the_ramp_is_not_judged():
    assert verdict(lambda due: np.where(due < 1.0, 5.0, 0.02)).outcome is Outcome.PASSED


def test_a_result_without_samples_is_inconclusive():
    found = result()
    none = replace(found, samples=Samples(found.samples.rows[:0]))
    assert judge(Judged(none)).outcome is Outcome.INCONCLUSIVE


def test_the_rate_is_judged_in_every_window_of_ten_seconds():
    # A target that gives 510 a second at first and 490 in the last ten: 500 on the average.
    found = result(outcome=lambda due: np.where((due > 11) & (np.arange(len(due)) % 25 == 0), Ended.RESET, 0))
    assert min(rates(found)) == pytest.approx(489.6, abs=0.2)
    assert len(found.held) / 20.0 == 510.0
    assert len(rates(found)) == 11


@pytest.mark.parametrize("rate", [1.25, 0.35, 4.45])
def test_a_rate_of_no_whole_number_of_requests_is_held_where_it_is_sent(rate):
    sent = result(rate=rate * 1.02, duration=60.0, objectives=Objectives(requests_per_second=rate))
    assert next(iter(judge(Judged(sent)).measures)).ok


def test_answers_under_way_at_a_windows_end_count_where_the_objective_allows_them():
    assert min(rates(result(0.19))) == pytest.approx(510.0)


def test_a_backlog_that_grows_shows_in_the_rate():
    # Served are 450 a second.
    backlog = result(lambda due: np.maximum(0.0, due - 1.0) * (510 / 450 - 1.0))
    assert min(rates(backlog)) == pytest.approx(450.0, rel=0.02)


def test_of_a_test_in_steps_those_at_the_objective_are_judged():
    found = result(load=steps((100.0, 300.0, 510.0, 510.0), 10.0))
    assert min(rates(found)) == pytest.approx(510.0)


def test_users_are_judged_where_all_of_them_are_there():
    assert verdict(load=Users(10, 21.0, ramp=1.0)).outcome is Outcome.PASSED


def test_a_scripts_own_stages_are_judged():
    script = Scripted(21.0, True, ((1.0, 21.0, 510.0),))
    found = result()
    assert judge(Judged(replace(found, profile=replace(found.profile, load=script)))).outcome is Outcome.PASSED


def test_a_percentile_is_exact_and_lies_in_its_interval():
    random = np.random.default_rng(1)
    found = result(lambda due: random.lognormal(-4.0, 0.5, len(due)))
    estimate = Judged(found).p95
    assert estimate.value == pytest.approx(np.percentile(found.held.rows["end"], 95) * 1000.0)
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.high < 1.1 * estimate.value


def test_the_interval_knows_that_seconds_share_their_stalls():
    estimate = Judged(result(stalls)).p95
    assert estimate.high - estimate.low > 100.0


def test_the_interval_holds_the_truth_as_often_as_it_says():
    truth, hits = 1000.0 * np.exp(-4.0 + 0.5 * 1.6449), 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        found = result(lambda due, random=random: random.lognormal(-4.0, 0.5, len(due)))
        estimate = Judged(found).p95
        hits += estimate.low <= truth <= estimate.high
    assert hits >= 50
