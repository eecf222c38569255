from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runbook_lib import platforms
from runbook_lib.checks import logs
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import Service

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
    assert logs.moment(line).replace(microsecond=0) == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("line", ["", "INFO: started", "2026-13-01 99:00:00 x", "x" * 300 + "2026-03-01T12:00:00Z"])
def test_lines_without_a_time(line):
    assert logs.moment(line) is None


def test_a_line_without_a_time_belongs_to_the_one_before():
    text = "undated\n2026-03-01T11:59:59Z old\n  old too\n2026-03-01T12:00:00Z new\n  new too\n"
    assert list(logs.since(text, START)) == ["undated", "2026-03-01T12:00:00Z new", "  new too"]


class Platform:
    def __init__(self, text, started):
        self.text = text
        self.shown = (Service("backend", "RUNNING", True, None, started, 0),)

    def services(self):
        return self.shown

    def logs(self, service):
        return self.text


DEPLOYED_AT = START.isoformat()


@pytest.fixture
def logged(at, monkeypatch):
    def run(text, *, deployed_at=DEPLOYED_AT, started=None):
        monkeypatch.setattr(platforms, "connect", lambda env: Platform(text, started))
        return logs.no_critical(at("http://127.0.0.1:1"), deployed_at=deployed_at).run()

    return run


def test_the_logs_pass_on_the_sandbox(env):
    moment = datetime.now(UTC) - timedelta(seconds=1)
    from runbook_lib.checks import http

    assert http.health(env).run().ok
    finding = logs.no_critical(env, deployed_at=moment.isoformat()).run()
    assert finding.ok, finding.tables


@pytest.mark.parametrize(
    "line", ["CRITICAL out of memory", "FATAL:  no more connections", "Traceback (most recent call last):", "panic: x"]
)
def test_a_critical_line_since_the_deployment_fails_and_is_shown(logged, line):
    finding = logged(f"2026-03-01T12:00:01Z fine\n2026-03-01T12:00:02Z {line}\n")
    assert not finding.ok
    assert line in finding.tables[0].rows[0][1]
    assert line in finding.evidence[0].content


def test_a_critical_line_from_before_passes(logged):
    assert logged("2026-03-01T11:00:00Z CRITICAL\n2026-03-01T12:00:01Z fine\n").ok


def test_without_a_deployment_the_newest_start_counts(logged):
    text = "2026-03-01T11:00:00Z CRITICAL\n2026-03-01T12:00:01Z fine\n"
    finding = logged(text, deployed_at=None, started=START)
    assert finding.ok
    assert "newest start" in finding.observed
    assert not logged(text, deployed_at=None, started=START - timedelta(days=1)).ok


def test_silent_logs_and_an_unknown_deployment_are_no_verdict(logged):
    with pytest.raises(Unanswerable, match="logged anything"):
        logged("2026-03-01T11:00:00Z old\n")
    with pytest.raises(Unanswerable, match="when the release was deployed"):
        logged("x", deployed_at=None)
