from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runbook_lib.platforms import log_lines

START = datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)


@pytest.mark.parametrize(
    "line",
    [
        "2026-03-01T12:00:00Z INFO started",
        "2026-03-01 12:00:00.123 UTC [17] LOG:  ready",
        "2026-03-01 13:00:00,123 +01:00 x",
        "2026-03-01T13:00:00+0100 x",
        '{"level":"info","ts":1772366400.25,"msg":"x"}',
        f"17:M {datetime(2026, 3, 1, 12, tzinfo=UTC).astimezone():%d %b %Y %H:%M:%S}.123 * Ready",
        f"{datetime(2026, 3, 1, 12, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S} INFO x",
    ],
)
def test_the_time_of_a_line(line):
    assert log_lines.moment(line).replace(microsecond=0) == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("line", ["", "INFO: started", "2026-13-01 99:00:00 x", "x" * 300 + "2026-03-01T12:00:00Z"])
def test_lines_without_a_time(line):
    assert log_lines.moment(line) is None


def test_a_line_without_a_time_belongs_to_the_one_before():
    text = "undated\n2026-03-01T11:59:59Z old\n  old too\n2026-03-01T12:00:00Z new\n  new too\n"
    assert list(log_lines.since(text, START)) == ["undated", "2026-03-01T12:00:00Z new", "  new too"]
