from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import escalation
from runbook_lib.environment import OnCall

COMPLETE = {"name": "Ada", "email": "ada@example.org", "phone": ""}
CHAIN = {"escalation": [{"role": "Lead"}, {"role": "Boss", "after_minutes": 30}]}
ROTA = {"on_call": {"roles": ["Lead", "Boss"], "first_day": "2024-01-01"}}


@pytest.fixture
def with_contacts(at):
    """An environment with a lead who is as given, a boss who is complete, and this documentation."""

    def environment(documentation, lead=COMPLETE, recovery=()):
        contacts = [{"role": "Lead", **lead}, {"role": "Boss", **COMPLETE}]
        return at(
            "http://127.0.0.1:9", contacts=contacts, documentation=documentation, recovery={"operators": recovery}
        )

    return environment


def test_everybody_can_be_reached(with_contacts):
    env = with_contacts({**CHAIN, **ROTA}, recovery=["Boss"])
    for step in (escalation.escalation(env), escalation.on_call(env), escalation.operators(env)):
        assert step.run().ok


EMPTY = [
    ({"name": "", "email": "ada@example.org"}, ["Lead: has no name"]),
    ({"name": "Ada"}, ["Lead: has neither email nor phone"]),
    (
        {"name": "Ada", "email": "[Contact Info]", "phone": "..."},
        [
            "Lead: email '[Contact Info]' is no mail address",
            "Lead: phone '...' is no telephone number",
            "Lead: '[Contact Info]' still is a placeholder",
        ],
    ),
    (
        {"name": "[Name]", "email": "name@your-domain.com"},
        ["Lead: '[Name]' still is a placeholder", "Lead: 'name@your-domain.com' still is a placeholder"],
    ),
]


@pytest.mark.parametrize(("lead", "said"), EMPTY)
def test_an_empty_contact_fails(with_contacts, lead, said):
    env = with_contacts({**CHAIN, **ROTA}, lead, recovery=["Lead"])
    for step in (escalation.escalation(env), escalation.on_call(env), escalation.operators(env)):
        finding = step.run()
        assert not finding.ok
        assert finding.observed == said


def test_an_empty_contact_fails_only_where_it_is_called(with_contacts):
    empty = {"name": ""}
    rota = {"on_call": {"roles": ["Boss"], "first_day": "2024-01-01"}}
    env = with_contacts({**CHAIN, **rota}, empty)
    assert not escalation.escalation(env).run().ok
    assert escalation.on_call(env).run().ok
    env = with_contacts({"escalation": [{"role": "Boss"}], **ROTA}, empty)
    assert escalation.escalation(env).run().ok
    assert not escalation.on_call(env).run().ok


def test_nobody_is_declared(with_contacts):
    env = with_contacts({})
    assert "declares no [[documentation.escalation]]" in escalation.escalation(env).run().observed[0]
    assert "declares no [documentation.on_call]" in escalation.on_call(env).run().observed[0]
    assert "names nobody in recovery.operators" in escalation.operators(env).run().observed[0]


def test_a_role_that_nobody_has(with_contacts):
    env = with_contacts({"escalation": [{"role": "Leed"}]})
    assert escalation.escalation(env).run().observed == ["Leed: no [[contacts]] has this role"]


def test_steps_out_of_order(with_contacts):
    steps = [{"role": "Boss", "after_minutes": 30}, {"role": "Lead", "after_minutes": 10}]
    assert not escalation.escalation(with_contacts({"escalation": steps})).run().ok


def test_a_rota_that_has_not_begun(with_contacts):
    first = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    finding = escalation.on_call(with_contacts({"on_call": {"roles": ["Boss"], "first_day": first}})).run()
    assert not finding.ok
    assert "nobody is on call today" in finding.observed[0]


DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


@given(DAYS, DAYS, st.integers(1, 30), st.integers(1, 5))
def test_turns_follow_each_other(first_day, today, days, people):
    rota = OnCall(roles=tuple(f"role {number}" for number in range(people)), first_day=first_day, days=days)
    found = [turn for turn, _ in zip(escalation.turns(rota, today), range(people + 1), strict=False)]
    if today >= first_day:
        assert found[0].first <= today <= found[0].last
    else:
        assert found[0].first == first_day
    assert all(turn.last - turn.first == timedelta(days=days - 1) for turn in found)
    assert all(later.first - earlier.last == timedelta(days=1) for earlier, later in pairwise(found))
    assert {turn.role for turn in found} == set(rota.roles)
