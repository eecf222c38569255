from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runbook_lib import platforms
from runbook_lib.checks import logs
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import Service, log_lines

START = datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)


class Platform:
    def __init__(self, text, started):
        self.text = text
        self.shown = (Service("backend", "RUNNING", True, None, started, 0),)

    def services(self):
        return self.shown

    def logs(self, service, *, since):
        return "".join(f"{line}\n" for line in log_lines.since(self.text, since))


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
