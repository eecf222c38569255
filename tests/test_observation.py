from __future__ import annotations

import itertools

import pytest

from runbook_lib.observation import Observation


@pytest.fixture
def counted():
    numbers = itertools.count(1)
    return Observation("the sandbox", lambda: next(numbers))


def test_items_judge_the_same_measurement(counted):
    assert [counted.for_item("11.1"), counted.for_item("11.3.3")] == [1, 1]


def test_an_item_that_is_run_again_has_it_made_anew(counted):
    assert [counted.for_item(item) for item in ("11.1", "11.3.3", "11.3.3", "11.1", "11.1")] == [1, 1, 2, 2, 3]


def test_a_measurement_that_failed_is_tried_again():
    made = iter((1, 0, 1))
    observation = Observation("the sandbox", lambda: 1 // next(made))
    assert observation.for_item("S.6") == 1
    with pytest.raises(ZeroDivisionError):
        observation.for_item("S.6")
    assert observation.for_item("S.7") == 1


def test_its_text_is_what_it_is_about(counted):
    assert str(counted) == "the sandbox"
