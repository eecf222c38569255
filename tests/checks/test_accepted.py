from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runbook_lib.checks import accepted
from runbook_lib.environment import AcceptedFinding

DAY = date(2026, 1, 10)
NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True).map(tuple)
DECISIONS = st.builds(
    AcceptedFinding,
    id=st.sampled_from("abcdef"),
    reason=st.just("known"),
    expires=st.integers(-3, 3).map(lambda days: DAY + timedelta(days)),
)


def decision(name, days):
    return AcceptedFinding(id=name, reason="known", expires=DAY + timedelta(days))


@pytest.mark.parametrize(("days", "in_force"), [(-1, False), (0, True), (1, True)])
def test_a_decision_counts_until_the_end_of_its_last_day(days, in_force):
    outcome = accepted.sort([("a",)], [decision("a", days)], DAY)
    assert (outcome.open == ()) is in_force
    assert (len(outcome.expired) == 0) is in_force


def test_a_renewed_decision_replaces_the_expired_one():
    outcome = accepted.sort([("a",)], [decision("a", -1), decision("a", 1)], DAY)
    assert outcome.open == outcome.expired == ()


@given(st.lists(NAMES, max_size=6), st.lists(DECISIONS, max_size=6))
def test_every_finding_is_open_or_accepted_and_only_by_its_own_name(findings, decisions):
    outcome = accepted.sort(findings, decisions, DAY)
    assert sorted([*outcome.open, *(names for names, _ in outcome.accepted)]) == sorted(findings)
    assert all(one.id in names and one.expires >= DAY for names, one in outcome.accepted)
    assert all(one.id in names and one.expires < DAY and names in outcome.open for names, one in outcome.expired)


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"id": ""}, {"expires": "never"}, {"expires": None}])
def test_an_acceptance_needs_a_name_a_reason_and_an_end(wrong):
    with pytest.raises(ValidationError):
        AcceptedFinding(**{"id": "a", "reason": "known", "expires": "2026-01-01", **wrong})
