"""What a check did not understand is counted, and refused past the declared share."""

from __future__ import annotations

import pytest

from runbook_lib.checks.coverage_of_input import LeftOut
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding


def lines(count, total):
    return LeftOut("log lines without a date", count, total, "set database.log_format")


@pytest.mark.parametrize(("count", "total"), [(0, 0), (0, 10), (1, 100), (10, 1000)])
def test_a_small_share_is_only_counted(at, count, total):
    lines(count, total).refuse(at(""))
    assert str(lines(1200, 130_000)) == "1,200 of 130,000 log lines without a date"


@pytest.mark.parametrize(("count", "total"), [(1, 1), (1, 99), (11, 1000)])
def test_a_larger_share_is_an_error_that_keeps_what_was_seen(at, count, total):
    seen = Finding(True, "none was slow", "none")
    with pytest.raises(Unanswerable, match=f"{count} of {total:,} log lines") as caught:
        lines(count, total).refuse(at(""), seen)
    assert caught.value.seen is seen
    assert "log_format" in caught.value.remedy
    assert "objectives.not_understood" in caught.value.remedy


def test_the_share_is_the_environments_to_say(at):
    lines(5, 10).refuse(at("", objectives={"not_understood": 0.5}))
