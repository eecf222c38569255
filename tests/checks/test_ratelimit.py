from __future__ import annotations

import itertools
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from runbook_lib.checks import ratelimit
from runbook_lib.errors import NotApplicable, Unanswerable

LIMIT, WINDOW = 10, 1.5


class Limiter:
    """A fixed window for each client, as the sandbox's application has it; with faults where they are asked for."""

    def __init__(self, reply, *, limit=LIMIT, window=WINDOW, shared=False, status=429, headers=None):
        self.reply, self.limit, self.window, self.shared = reply, limit, window, shared
        self.status, self.headers = status, {"Retry-After": "1"} if headers is None else headers
        self.lock, self.windows = threading.Lock(), {}

    def __call__(self, asked):
        with self.lock:
            client, now = "all" if self.shared else asked.client, time.monotonic()
            began, count = self.windows.get(client, (now, 0))
            if now - began >= self.window:
                began, count = now, 0
            self.windows[client] = (began, count + 1)
        return self.reply({}) if count < self.limit else self.reply({}, self.status, self.headers)


@pytest.fixture
def limited(serve, at, reply):
    def environment(second="127.0.0.3", **faults):
        server = serve({"/scan": Limiter(reply, **faults)})
        limit = {"request": {"method": "POST", "path": "/scan"}, "limit": LIMIT, "window_seconds": WINDOW}
        security = {"public_address": "127.0.0.1", "rate_limit": {**limit, "second_client": second}}
        return at(server.url, security=security)

    return environment


def judged(check, env):
    return check(env, ratelimit.limiting(env)).run()


def test_a_limit_that_holds_passes(limited):
    finding = judged(ratelimit.holds, limited())
    assert finding.ok, finding.observed


@pytest.mark.parametrize(
    ("fault", "row"),
    [
        ({"limit": LIMIT * 100}, ("requests refused with 429", "0")),
        ({"limit": LIMIT + 4}, ("requests accepted in a burst", "14")),
        ({"limit": LIMIT - 3}, ("requests accepted in a burst", "7")),
        ({"shared": True}, ("a second client meanwhile", "refused")),
        ({"window": 60}, ("served again after", "never")),
        ({"status": 503}, ("requests refused with 429", "0")),
    ],
    ids=["no limit", "too much", "too little", "shared by all", "for ever", "another status"],
)
def test_a_limit_that_does_not_hold_fails(limited, fault, row):
    finding = judged(ratelimit.holds, limited(**fault))
    assert not finding.ok
    assert finding.observed[row[0]] == row[1]


def test_without_a_second_client_it_is_not_asked_and_said_so(limited):
    finding = judged(ratelimit.holds, limited(second=None))
    assert finding.ok
    assert finding.observed["a second client meanwhile"] == "not asked"


def test_a_second_client_that_we_cannot_be_is_no_verdict(limited):
    with pytest.raises(Unanswerable, match="no request could be made from"):
        judged(ratelimit.holds, limited(second="192.0.2.1"))


def test_a_second_client_that_we_cannot_be_is_no_matter_of_the_headers(limited):
    assert judged(ratelimit.tells_client, limited(second="192.0.2.1")).ok


def test_a_burst_longer_than_the_window_is_no_verdict(serve, at, reply):
    def slow(asked):
        time.sleep(0.1)
        return reply({})

    limit = {"request": {"path": "/scan"}, "limit": 16, "window_seconds": 0.2}
    env = at(serve({"/scan": slow}).url, security={"public_address": "127.0.0.1", "rate_limit": limit})
    with pytest.raises(Unanswerable, match="longer than the window"):
        judged(ratelimit.holds, env)


def test_answers_429(limited):
    assert judged(ratelimit.answers_429, limited()).ok
    assert not judged(ratelimit.answers_429, limited(limit=1000)).ok
    assert not judged(ratelimit.answers_429, limited(status=503)).ok


@pytest.mark.parametrize(
    ("headers", "ok"),
    [
        ({"Retry-After": "1"}, True),
        ({"Retry-After": format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)}, True),
        ({"RateLimit": '"default";r=0;t=5'}, True),
        ({"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0"}, True),
        ({}, False),
        ({"Retry-After": "soon"}, False),
        ({"Retry-After": "86400"}, False),
    ],
)
def test_a_limited_client_is_told_when_to_come_back(limited, headers, ok):
    assert judged(ratelimit.tells_client, limited(headers=headers)).ok is ok


def test_no_429_no_headers(limited):
    assert not judged(ratelimit.tells_client, limited(limit=1000)).ok


def test_rate_limits_pass_on_the_sandbox_and_leave_it_open(env):
    limiting = ratelimit.limiting(env)
    for check in (ratelimit.holds, ratelimit.answers_429, ratelimit.tells_client):
        finding = check(env, limiting).run()
        assert finding.ok, finding.observed
    assert ratelimit._burst(env, 1).accepted == 1


@pytest.mark.parametrize("check", [ratelimit.holds, ratelimit.answers_429, ratelimit.tells_client])
def test_without_a_declared_limit_nothing_applies(at, check):
    with pytest.raises(NotApplicable, match="rate_limit"):
        judged(check, at("http://127.0.0.1:1"))


def test_a_burst_across_two_fixed_windows_is_tried_again(limited, monkeypatch):
    counts = itertools.chain([2 * LIMIT], itertools.repeat(LIMIT))
    whole = ratelimit._burst_after_quiet

    def straddling(env):
        burst, most = whole(env)
        # Which of those that were sent at once is served is the machine's choice.
        accepted = [one for one in burst.seen if not one.problems][:1] * next(counts)
        return ratelimit.Burst((*accepted, *(one for one in burst.seen if one.problems)), burst.seconds), most

    monkeypatch.setattr(ratelimit, "_burst_after_quiet", straddling)
    assert judged(ratelimit.holds, limited()).ok
