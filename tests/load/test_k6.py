from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import replace

import httpx
import numpy as np
import pytest

from runbook_lib.environment import Objectives
from runbook_lib.errors import Unanswerable
from runbook_lib.load import k6, k6_points, k6_script
from runbook_lib.load.interface import BREAKER, Call, Profile, Users, hold, steps
from runbook_lib.load.k6 import K6
from runbook_lib.load.samples import Outcome
from runbook_lib.load.verdict import Judged, judge
from runbook_lib.load.verdict import Outcome as Came

from ..waiting import until


def test_a_run_keeps_its_rate_and_sends_every_request(profile, target, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    result = K6().run(profile("/fixed", rate=40.0))
    # k6 may leave out the request that is due as the time is over.
    assert target.asked["/fixed"] in (59, 60)
    assert result.samples.outcomes() == {Outcome.ANSWERED: target.asked["/fixed"]}
    rows = result.samples.rows
    # By the median, for on a busy machine k6 itself is late with one or the other.
    np.testing.assert_allclose(np.median(np.diff(rows["due"])), 0.025, atol=0.005)
    assert (rows["first"] <= rows["end"]).all()
    assert result.cost.dropped == 0


def test_a_request_is_sent_as_httpx_was_given_it(profile, target):
    text = "'`${x}\""
    request = httpx.Request("POST", f"{target.url}/fixed", headers={"X-Mark": "mine"}, json={"text": text})
    K6().run(replace(profile("/fixed", rate=20.0), calls=(Call(request, "write"),)))
    assert set(target.bodies) == {request.read()}
    assert b"X-Mark: mine" in target.heads[0]


def test_calls_are_sent_by_their_weights(profile, target):
    calls = [replace(call, weight=weight) for call, weight in zip(target.calls("/fixed", "/busy"), (2, 1), strict=True)]
    result = K6().run(replace(profile("/fixed", rate=40.0), calls=tuple(calls)))
    assert np.bincount(result.samples.rows["call"]).tolist() == [target.asked["/fixed"], target.asked["/busy"]]
    assert target.asked["/busy"] in (19, 20)


def test_what_is_expected_of_an_answer_is_not_passed_over(profile):
    (call,) = profile("/fixed").calls
    expecting = replace(profile("/fixed"), calls=(replace(call, predicate=lambda _: False),))
    with pytest.raises(Unanswerable, match="k6 does not look into answers"):
        K6().run(expecting)


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/moved", Outcome.WRONG_STATUS),
        ("/silent", Outcome.TIMED_OUT),
        ("/rubbish", Outcome.MALFORMED),
        ("/too-short", Outcome.CUT_SHORT),
    ],
)
def test_faults_are_counted_by_kind(profile, target, path, outcome):
    result = K6().run(profile(path, rate=40.0, timeout=1.0))
    assert result.samples.outcomes() == {outcome: target.asked[path]}


def test_answers_that_are_no_errors_are_none(profile, target):
    found = K6().run(profile("/busy", rate=40.0)).samples.outcomes()
    assert found[Outcome.WRONG_STATUS] == target.asked["/busy"] // 20
    assert sum(found.values()) == target.asked["/busy"]


def test_refused_connections_are_errors(profile):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        request = httpx.Request("GET", f"http://127.0.0.1:{closed.getsockname()[1]}/")
        result = K6().run(replace(profile("/fixed", rate=40.0), calls=(Call(request, "x"),)))
    assert result.samples.outcomes().keys() == {Outcome.REFUSED}


def test_requests_without_a_user_are_dropped_and_the_verdict_is_inconclusive(profile):
    result = K6(stall_seconds=0.1).run(profile("/silent", rate=60.0, timeout=1.0))
    assert result.cost.dropped > 0
    found = judge(Judged(result))
    assert found.outcome is Came.INCONCLUSIVE
    assert "k6 did not send" in found.reasons[0]


def test_there_are_users_for_the_worst_stall(profile):
    planned = k6.scenario(profile("/fixed", rate=500.0), 2.0)
    assert planned["preAllocatedVUs"] == 1150
    ramped = k6.scenario(replace(profile("/fixed"), load=hold(100.0, 5.0, ramp=2.0)), 1.0)
    assert ramped["startRate"] == 0
    assert [stage["target"] for stage in ramped["stages"]] == [6000, 6000]
    stepped = k6.scenario(replace(profile("/fixed"), load=steps((10.0, 20.0), 5.0)), 1.0)
    assert stepped["startRate"] == 600
    assert [(stage["target"], stage["duration"]) for stage in stepped["stages"]] == [
        (600, "5000ms"),
        (1200, "0ms"),
        (1200, "5000ms"),
    ]


def test_users_wait_for_their_answers(profile):
    result = K6().run(replace(profile("/slow"), load=Users(4, 2.0)))
    assert 16 <= len(result.samples) <= 32
    assert "closed loop" in result.notes[0]


def test_the_circuit_breaker_stops_a_test_that_only_fails(profile):
    result = K6().run(profile("/rubbish", rate=100.0, seconds=60.0, breaker=0.5))
    assert result.stopped.startswith(BREAKER)
    assert judge(Judged(result)).outcome is Came.FAILED


def test_an_interrupt_keeps_what_was_measured(profile, target):
    def interrupt() -> None:
        # k6 writes its points once a second.
        until(lambda: target.asked["/fixed"] >= 250)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    result = K6().run(profile("/fixed", rate=100.0, seconds=60.0))
    assert result.stopped == "interrupted"
    assert 50 <= len(result.samples) <= 1000


def test_a_line_that_an_interrupt_has_torn_is_left_out(profile, tmp_path):
    columns = ",".join(k6_points.COLUMNS)
    rows = [
        f"{name},{1e6 * second},{value},,0,true,0,200"
        for second in (1, 2)
        for name, value in (("http_req_duration", 5), ("http_req_blocked", 1), ("http_req_receiving", 1))
    ]
    text = "\n".join([columns, *rows]) + "\n"
    first = len("\n".join([columns, *rows[:3]])) + 1
    for end in range(first, len(text) + 1):
        (tmp_path / "points.csv").write_text(text[:end])
        found = k6_points.read(tmp_path / "points.csv", profile("/fixed"), own_script=False)
        assert len(found.samples) == (2 if end == len(text) else 1)


def test_the_sandboxs_certificate_is_verified_by_its_own_authority(env):
    call = Call(httpx.Request("GET", env.web.address("/health")), "health")
    asked = Profile((call,), hold(20.0, 1.0), certificate_authority=str(env.web.certificate_authority), breaker=1.0)
    assert K6().run(asked).error_rate() == 0
    unverified = K6().run(replace(asked, certificate_authority=None))
    assert unverified.samples.outcomes().keys() == {Outcome.UNVERIFIED}


def test_verification_is_never_switched_off(profile):
    assert "insecureSkipTLSVerify" not in k6.SCRIPT
    assert k6._variables(profile("/fixed"))["K6_INSECURE_SKIP_TLS_VERIFY"] == "false"


def test_without_k6_there_is_no_verdict(profile, monkeypatch):
    def missing(name):
        raise Unanswerable(f"{name} is not on this machine")

    monkeypatch.setattr(k6, "program", missing)
    with pytest.raises(Unanswerable, match="k6 is not on this machine"):
        K6().run(profile("/fixed"))


OWN = """\
import http from 'k6/http';
import { check } from 'k6';
export const options = { OPTIONS };
export default function () {
  const answer = http.get(`${__ENV.BASE_URL}/fixed`, { tags: { name: 'home' } });
  check(answer, { 'is ok': (r) => r.body === 'ok' });
}
"""
BY_USERS = "stages: [{duration: '1s', target: 3}, {duration: '2s', target: 3}, {duration: '1s', target: 0}]"
BY_CLOCK = (
    "scenarios: {a: {executor: 'constant-arrival-rate', rate: 1800, timeUnit: '1m', duration: '2s', "
    "preAllocatedVUs: 9}}"
)


@pytest.fixture
def script(tmp_path):
    def write(options):
        path = tmp_path / "load-test.js"
        path.write_text(OWN.replace("OPTIONS", options))
        return path

    return write


def test_the_projects_own_script_decides_what_is_sent(profile, target, script):
    result = K6(script(BY_CLOCK)).run(profile("/busy"))
    assert target.asked.keys() == {"/fixed"}
    assert result.profile.open_loop
    assert result.profile.load.held == ((0.0, 2.0, 30.0),)
    assert [call.title for call in result.profile.calls] == ["home"]
    assert 58 <= len(result.samples) <= 62
    assert result.notes == (f"k6's checks: {len(result.samples)} of {len(result.samples)} passed", k6.NO_BREAKER)


RAMP = (
    "scenarios: {a: {executor: 'ramping-arrival-rate', startRate: 0, timeUnit: '1m', preAllocatedVUs: 9, STARTstages: "
    "[{duration: '5s', target: 1224}, {duration: '2s', target: 1224}]}}"
)
"""To 20.4 a second: like RATE, two in a hundred more than are asked for, so that one more or less does not decide."""


@pytest.mark.parametrize(("start", "first", "held"), [("", 0.70, (5.0, 7.0)), ("startTime: '1s', ", 1.70, (6.0, 8.0))])
def test_a_script_that_climbs_is_judged_where_it_stands_still(profile, script, start, first, held):
    path = script(RAMP.replace("START", start))
    path.write_text(path.read_text() + "export function setup() { http.get(`${__ENV.BASE_URL}/fixed`); }\n")
    objectives = Objectives(requests_per_second=20.0, p95_milliseconds=5000.0)
    result = K6(path).run(replace(profile("/fixed"), objectives=objectives))
    due = result.samples.rows["due"]
    assert result.profile.load.held == ((*held, 20.4),)
    assert due[0] == pytest.approx(first, abs=0.01)
    assert ((due >= held[0]) & (due < held[1])).sum() == pytest.approx(40, abs=1)
    assert judge(Judged(result)).outcome is Came.PASSED


def test_a_script_of_so_many_iterations_ends_with_them(profile, script):
    options = "scenarios: {a: {executor: 'shared-iterations', vus: 2, iterations: 50, maxDuration: '10m'}}"
    result = K6(script(options)).run(profile("/fixed"))
    assert len(result.samples) == len(result.held) + 1 == 50
    assert result.profile.load.duration < 60.0


def test_a_closed_loop_script_is_labelled(profile, script):
    result = K6(script("vus: 2, duration: '1s'")).run(profile("/fixed"))
    assert not result.profile.open_loop
    assert "closed loop" in result.notes[0]


def test_a_scripts_own_threshold_decides_too(profile, script):
    options = BY_CLOCK + ", thresholds: {http_req_duration: ['p(95)<0.0001']}"
    result = K6(script(options)).run(profile("/fixed"))
    assert result.missed == ("a threshold of the script did not hold",)
    assert result.stopped == ""


@pytest.mark.parametrize(
    ("options", "open_loop", "duration", "held"),
    [
        (BY_USERS, False, 4.0, ((1.0, 3.0, 0.0),)),
        (BY_CLOCK, True, 2.0, ((0.0, 2.0, 30.0),)),
        ("vus: 2, duration: '1m30s'", False, 90.0, ((0.0, 90.0, 0.0),)),
    ],
)
def test_what_a_script_sends_is_read_from_its_options(script, options, open_loop, duration, held):
    found = k6_script.load(script(options), {})
    assert (found.open_loop, found.duration, found.held) == (open_loop, duration, held)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h2m3.5s", 3723.5), ("250ms", 0.25), ("10µs", 1e-5), (None, 0.0), ("0s", 0.0)]
)
def test_durations_are_read_as_go_writes_them(text, seconds):
    assert k6_script.seconds(text) == pytest.approx(seconds)


def test_a_script_that_does_not_run_is_no_verdict(profile, tmp_path):
    with pytest.raises(Unanswerable, match="was not found"):
        K6(tmp_path / "gone.js").run(profile("/fixed"))
    (tmp_path / "broken.js").write_text("export default function () {")
    with pytest.raises(Unanswerable, match="k6 cannot read"):
        K6(tmp_path / "broken.js").run(profile("/fixed"))


def test_a_k6_that_ends_badly_is_no_verdict(profile, script):
    with pytest.raises(Unanswerable, match="exit code"):
        K6().run(profile("/fixed", rate=-1.0))


def test_a_script_that_sends_more_than_is_allowed_sends_nothing(profile, target, script):
    scenario = "executor: 'ramping-arrival-rate', startRate: 60, timeUnit: '1m', preAllocatedVUs: 1"
    stages = "[{duration: '1s', target: 6000}, {duration: '1s', target: 60}]"
    too_fast = K6(script(f"scenarios: {{a: {{{scenario}, stages: {stages}}}}}"))
    with pytest.raises(Unanswerable, match=r"up to 100 iterations a second, and load\.ceiling allows 99"):
        too_fast.run(replace(profile("/fixed"), ceiling=99.0))
    assert target.asked["/fixed"] == 0
