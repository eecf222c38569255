from __future__ import annotations

import pytest

from runbook_lib import checklist
from runbook_lib.errors import ConfigurationError


def test_every_phase_and_item_stands_once():
    items = [item.id for phase in checklist.phases() for item in phase.items]
    assert len(items) == len(set(items)) == 126
    assert [phase.number for phase in checklist.phases()] == [*range(1, 18), checklist.ROLLBACK]


def test_a_deployment_goes_forward_only():
    assert [phase.number for phase in checklist.forward()] == list(range(1, 18))


def test_unknown_numbers_are_refused_with_those_that_exist():
    with pytest.raises(ConfigurationError, match=r"There is no phase 18; the phases are 1, 2, .* 17, 90"):
        checklist.phase(18)
