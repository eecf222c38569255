"""Where logs go: on the sandbox, and on platforms that keep them otherwise."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib import platforms
from runbook_lib.checks import log_aggregation, monitors
from runbook_lib.environment import Logs
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.platforms import LogKeeping

BY_SIZE = LogKeeping("file", 1000, 3)
ENDLESS = LogKeeping("file", None, 10)


class Platform:
    """A platform that keeps the log of one service as it is told."""

    def __init__(self, keeping, *files, text=""):
        self.keeping, self.files, self.text = keeping, files, text

    def log_keeping(self, service):
        return self.keeping

    def log_files(self, service):
        return self.files

    def logs(self, service):
        return self.text


@pytest.fixture
def kept(at, monkeypatch, tmp_path):
    """What a platform's way of keeping a log comes to."""

    def run(keeping, **declared):
        (tmp_path / "service.log").write_text("2026-03-01T12:00:00Z INFO x\n" * 10)
        monkeypatch.setattr(platforms, "connect", lambda env: Platform(keeping, tmp_path / "service.log"))
        return log_aggregation.retained(at("http://127.0.0.1:1", monitoring={"logs": declared})).run()

    return run


@pytest.fixture
def rotation(tmp_path):
    """A logrotate configuration for the service's log, by its directives."""

    def write(*directives):
        file = tmp_path / "logrotate.conf"
        file.write_text("\n".join([f"{tmp_path}/*.log {{", *directives, "}", ""]))
        return str(file)

    return write


def with_logs(env, **logs):
    monitoring = env.monitoring.model_copy(update={"logs": Logs(**logs), "arrival_seconds": 0.2})
    return env.model_copy(update={"monitoring": monitoring})


# 10.3.1


def test_the_sandbox_ships_no_logs_and_says_by_which_setting(env):
    with pytest.raises(NotApplicable, match=r"monitoring\.logs\.driver"):
        log_aggregation.shipped(env).run()


def test_the_declared_driver_passes(env):
    assert log_aggregation.shipped(with_logs(env, driver="file")).run().ok


def test_another_driver_than_the_declared_one_fails(env):
    finding = log_aggregation.shipped(with_logs(env, driver="syslog")).run()
    assert not finding.ok
    assert finding.observed["drivers"]["backend"] == "file"


def test_the_declared_shipper_must_run(at, tmp_path):
    shipper = tmp_path / "test-shipper"
    shipper.symlink_to("/bin/sleep")
    env = at("http://127.0.0.1:1", monitoring={"logs": {"shipper": "test-shipper"}})
    assert not log_aggregation.shipped(env).run().ok
    running = subprocess.Popen([shipper, "600"])
    try:
        # A child is a copy of this process until it has become its program.
        while Path(f"/proc/{running.pid}/comm").read_text() != "test-shipper\n":
            assert running.poll() is None
        assert log_aggregation.shipped(env).run().ok
    finally:
        running.kill()
        running.wait()


# 10.3.2


def test_a_request_is_found_in_the_sandboxes_logs(env):
    finding = log_aggregation.accessible(env).run()
    assert finding.ok, finding.observed
    assert {where for where, what in finding.tables[0].rows if what == "found"} == {"backend", "edge"}


def test_a_service_that_does_not_log_the_request_fails(env):
    finding = log_aggregation.accessible(with_logs(env, request_services=("edge", "cache"))).run()
    assert not finding.ok
    assert "cache: not found" in finding.observed
    assert "edge: found" in finding.observed


def test_logs_that_show_nothing_fail(serve, at, reply, monkeypatch):
    monkeypatch.setattr(platforms, "connect", lambda env: Platform(BY_SIZE, text="other lines\n"))
    env = at(serve({}).url, monitoring={"arrival_seconds": 0.1})
    assert not log_aggregation.accessible(env).run().ok


class Search:
    """A log search that finds what the service was asked, or repeats the question."""

    def __init__(self, serve, reply, *, echo=False, finds=True):
        self.service = serve({})
        answer = self.answer if finds else (lambda asked: reply([]))
        self.reply, self.echo = reply, echo
        self.search = serve({})
        self.search.routes = _Any(answer)
        self.url = f"{self.search.url}/search?query={{marker}}"

    def answer(self, asked):
        return self.reply(asked.path if self.echo else str([one.path for one in self.service.asked]))


class _Any(dict):
    """The same route for every path."""

    def __init__(self, route):
        super().__init__()
        self.route = route

    def get(self, path, default=None):
        return self.route


@pytest.fixture
def searched(serve, at, reply, monkeypatch):
    monkeypatch.setattr(monitors, "POLL_SECONDS", 0.05)

    def run(**search):
        found = Search(serve, reply, **search)
        env = at(found.service.url, monitoring={"logs": {"search_url": found.url}, "arrival_seconds": 0.2})

        class Logging(Platform):
            def logs(self, service):
                return str([one.path for one in found.service.asked])

        monkeypatch.setattr(platforms, "connect", lambda env: Logging(BY_SIZE))
        return log_aggregation.accessible(env).run()

    return run


def test_shipped_logs_are_searched_too(searched):
    finding = searched()
    assert finding.ok, finding.observed
    assert "shipped logs: found" in finding.observed
    finding = searched(finds=False)
    assert not finding.ok
    assert "shipped logs: not found" in finding.observed
    assert "backend: found" in finding.observed


def test_a_search_that_repeats_the_question_is_no_verdict(searched):
    with pytest.raises(Unanswerable, match="never sent"):
        searched(echo=True)


def test_a_request_that_is_not_answered_is_no_verdict(env, at):
    with pytest.raises(Unanswerable, match="not answered"):
        log_aggregation.accessible(at("http://127.0.0.1:1")).run()
    with pytest.raises(Unanswerable, match="request_services names mailer"):
        log_aggregation.accessible(with_logs(env, request_services=("mailer",))).run()


# 10.3.3


def test_the_sandboxes_logs_are_kept_as_declared(env):
    finding = log_aggregation.retained(env).run()
    assert finding.ok, finding.observed


@pytest.mark.parametrize("keeping", [BY_SIZE, LogKeeping("json-file", 1000, 2), LogKeeping("journald", None, 0)])
def test_rotation_alone_is_enough_where_no_length_is_declared(kept, keeping):
    assert kept(keeping).ok


@pytest.mark.parametrize(
    ("keeping", "declared", "words"),
    [
        (ENDLESS, {}, "grows until the disk is full"),
        (LogKeeping("syslog", None, 0), {}, "its driver 'syslog' tells of none"),
        (LogKeeping("json-file", None, 0), {}, "grows until the disk is full"),
        (LogKeeping("journald", None, 0), {"retention_bytes": 1}, "0 bytes are kept at least"),
        (LogKeeping("journald", None, 0), {"retention_days": 1}, "nothing promises the 1 days"),
        (LogKeeping("file", 1000, 0), {}, "no rotated file is kept"),
        (BY_SIZE, {"retention_bytes": 3001}, "3000 bytes are kept at least, fewer than 3001"),
        (ENDLESS, {"retention_bytes": 1}, "no rotation is set"),
        (BY_SIZE, {"retention_days": 1}, "rotation by size promises no number of days"),
        (ENDLESS, {"retention_days": 1}, "nothing promises the 1 days"),
    ],
)
def test_logs_that_are_not_kept_as_declared_fail(kept, keeping, declared, words):
    finding = kept(keeping, **declared)
    assert not finding.ok
    assert words in "; ".join(finding.observed)


def test_as_many_bytes_as_declared_pass(kept):
    finding = kept(BY_SIZE, retention_bytes=3000)
    assert finding.ok
    assert finding.tables[0].rows[0][2] == 280


@pytest.mark.parametrize(
    ("directives", "days", "ok"),
    [
        (["daily", "rotate 14"], 14, True),
        (["daily", "rotate 13"], 14, False),
        (["weekly", "rotate 4"], 28, True),
        (["daily", "rotate 400", "maxage 10"], 14, False),
        (["daily", "rotate -1"], 10_000, True),
        (["daily"], 1, False),
        (["daily", "rotate 30", "size 10M"], 14, False),
        (["daily", "rotate 30", "maxsize 10M"], 14, False),
        (["rotate 30"], 14, False),
        (["daily", "rotate 30", "size=5M"], 14, False),
        (["daily", "rotate 30", "maxsize =5M"], 14, False),
        (["daily", "rotate=30"], 14, True),
        (["daily", "rotate = 13"], 14, False),
        (["daily", "rotate 400", "maxage=10"], 14, False),
    ],
)
def test_rotation_in_time_promises_days(kept, rotation, directives, days, ok):
    assert kept(ENDLESS, retention_days=days, rotation_file=rotation(*directives)).ok is ok


def test_a_rotation_for_other_files_does_not_count(kept, tmp_path):
    file = tmp_path / "logrotate.conf"
    file.write_text("/var/log/other.log { \n daily\n rotate 30\n }\n")
    assert not kept(ENDLESS, retention_days=7, rotation_file=str(file)).ok


def test_the_keeper_of_shipped_logs_is_asked(kept, serve, reply):
    url = serve({"/": reply({"retention": "30d"})}).url
    probe = {"name": "loki", "url": url, "path": "retention", "expected": "30d"}
    assert kept(BY_SIZE, retention_days=30, retention_probe=probe).ok
    assert not kept(BY_SIZE, retention_days=30, retention_probe={**probe, "expected": "31d"}).ok
    refused = kept(BY_SIZE, retention_probe={**probe, "expected": "31d"})
    assert not refused.ok
    assert "loki, which keeps the shipped logs, does not do so as declared" in refused.observed[0]
    assert "30d" in refused.observed[0]
    with pytest.raises(Unanswerable, match="loki"):
        kept(BY_SIZE, retention_days=30, retention_probe={**probe, "url": "http://127.0.0.1:1"})


@pytest.mark.parametrize("text", ["/a.log {\n daily\n", "}\n", '/a.log { \n "daily\n}\n'])
def test_a_rotation_file_that_cannot_be_read_is_no_verdict(kept, tmp_path, text):
    (tmp_path / "broken.conf").write_text(text)
    for name in ("broken.conf", "missing.conf"):
        with pytest.raises(Unanswerable, match=name):
            kept(ENDLESS, rotation_file=str(tmp_path / name))


DEBIAN = """
# see "man logrotate" for details
weekly
rotate 4
include /etc/logrotate.d

/var/log/nginx/*.log {
	daily
	missingok
	rotate 14
	postrotate
		echo 'told
		{ and' "done"
	endscript
}
"/var/log/with blank.log"
/var/log/second.log
{
    compress
}
"""


def test_a_configuration_as_debian_ships_it():
    nginx, others = log_aggregation.parse_logrotate(DEBIAN)
    assert nginx.days == 14
    assert nginx.covers(Path("/var/log/nginx/access.log"))
    assert others.patterns == ("/var/log/with blank.log", "/var/log/second.log")
    assert others.days == 28


PERIODS = st.sampled_from(sorted(log_aggregation.PERIOD_DAYS))


@settings(deadline=None)
@given(PERIODS, st.integers(0, 1000), st.none() | st.integers(0, 1000))
def test_days_are_rotations_times_period_within_the_greatest_age(period, count, age):
    lines = ["/a.log {", period, f"rotate {count}", *([f"maxage {age}"] if age is not None else []), "}"]
    (found,) = log_aggregation.parse_logrotate("\n".join(lines))
    days = log_aggregation.PERIOD_DAYS[period] * count
    assert found.days == pytest.approx(days if age is None else min(days, age))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        log_aggregation.parse_logrotate(text)
    except ValueError:
        pass
