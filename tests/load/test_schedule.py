from __future__ import annotations

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.load.interface import Arrivals, Call, Stage, hold, steps
from runbook_lib.load.schedule import times, turns

RATES = st.floats(0.0, 500.0)
STAGES = st.lists(st.builds(Stage, st.floats(0.0, 5.0), RATES), min_size=1, max_size=6).map(tuple)


def test_a_held_rate_is_even():
    np.testing.assert_allclose(times(hold(4.0, 2.0)), np.arange(8) / 4.0)


def test_a_ramp_climbs_by_the_square_of_time():
    found = times(hold(100.0, 0.0, ramp=2.0))
    assert len(found) == 100
    np.testing.assert_allclose(found, np.sqrt(np.arange(100) / 25.0))


def test_steps_follow_one_another():
    found = times(steps((10.0, 30.0), 1.0))
    assert np.histogram(found, bins=[0, 1, 2])[0].tolist() == [10, 30]


@given(STAGES)
def test_as_many_are_due_as_the_rate_has_room_for_and_in_order(stages):
    arrivals = Arrivals(stages)
    found = times(arrivals)
    before = [0.0, *(stage.rate for stage in stages)]
    total = sum(stage.seconds * (low + stage.rate) / 2 for low, stage in zip(before, stages, strict=False))
    assert abs(len(found) - total) <= 1 + 1e-3
    assert (np.diff(found) >= -1e-9).all()
    assert ((found >= 0) & (found <= arrivals.duration + 1e-6)).all()


@given(STAGES, st.integers(1, 7))
def test_shares_make_the_whole(stages, shares):
    parts = [times(Arrivals(stages), share=number, shares=shares) for number in range(shares)]
    np.testing.assert_allclose(np.sort(np.concatenate(parts)), times(Arrivals(stages)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_each_call_takes_its_turns_by_its_weight(weights):
    calls = tuple(Call(httpx.Request("GET", "http://x/"), str(n), weight=weight) for n, weight in enumerate(weights))
    found = turns(calls)
    assert [found.count(place) for place in range(len(weights))] == weights


def test_turns_are_spread():
    calls = tuple(Call(httpx.Request("GET", "http://x/"), str(n), weight=weight) for n, weight in enumerate((3, 1)))
    assert turns(calls) == (0, 0, 1, 0)


@pytest.mark.parametrize("share", range(3))
def test_a_share_takes_every_third(share):
    np.testing.assert_allclose(times(hold(30.0, 1.0), share=share, shares=3), times(hold(30.0, 1.0))[share::3])
