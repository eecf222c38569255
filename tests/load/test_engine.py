from __future__ import annotations

import asyncio
import errno
import importlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import trustme

from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.load.engine import BuiltIn
from runbook_lib.load.generator import Generator, Plan
from runbook_lib.load.interface import Call, Profile, Users, hold
from runbook_lib.load.recorder import Recorder
from runbook_lib.load.samples import Outcome
from runbook_lib.step import reporting

from ..waiting import until

COUNT = 300
"""What a profile of the fixture sends."""


def run(profile, **options):
    result = BuiltIn(**options).run(profile)
    assert not result.stopped
    return result


def test_every_request_is_sent_once_and_on_time(profile, target):
    result = run(profile("/fixed"))
    assert result.samples.outcomes() == {Outcome.ANSWERED: COUNT}
    assert target.asked["/fixed"] == COUNT
    np.testing.assert_allclose(np.diff(result.samples.rows["due"]), 0.005)
    rows = result.samples.rows
    assert (rows["lag"] >= 0).all()
    assert (rows["lag"] <= rows["sent"]).all()
    assert (rows["sent"] <= rows["first"]).all()
    assert (rows["first"] <= rows["end"]).all()
    assert set(rows["bytes"]) == {len(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")}
    assert result.cost.dropped == 0
    assert result.cost.cpu < 1
    assert result.notes == ()


def test_connections_are_kept_alive(profile, target):
    result = run(profile("/fixed"))
    # One, and more where this machine was too busy to answer within a request's turn.
    assert target.connections == result.cost.connections < COUNT / 2


def test_workers_share_the_schedule(profile, target):
    result = run(profile("/fixed"), workers=3)
    assert result.samples.outcomes() == {Outcome.ANSWERED: COUNT}
    np.testing.assert_allclose(np.diff(result.samples.rows["due"]), 0.005, atol=1e-6)
    assert result.cost.processes == 3


@pytest.mark.parametrize("path", ["/chunked", "/interim", "/until-closed"])
def test_every_framing_of_an_answer_is_understood(profile, path):
    result = run(profile(path))
    assert result.samples.outcomes() == {Outcome.ANSWERED: COUNT}
    assert set(result.samples.rows["status"]) == {200}


@pytest.mark.parametrize(
    ("path", "outcomes"),
    [
        ("/log-normal", {Outcome.ANSWERED: COUNT}),
        ("/resets", {Outcome.ANSWERED: COUNT - 3, Outcome.RESET: 3}),
        ("/busy", {Outcome.ANSWERED: COUNT - 15, Outcome.WRONG_STATUS: 15}),
        ("/too-short", {Outcome.CUT_SHORT: COUNT}),
        ("/too-long", {Outcome.MALFORMED: COUNT}),
        ("/rubbish", {Outcome.MALFORMED: COUNT}),
        ("/moved", {Outcome.WRONG_STATUS: COUNT}),
    ],
)
def test_faults_are_counted_by_kind_to_the_request(profile, target, path, outcomes):
    result = run(profile(path))
    assert result.samples.outcomes() == outcomes
    assert target.asked[path] == COUNT
    expected = COUNT - outcomes.get(Outcome.ANSWERED, 0)
    assert result.error_rate() == pytest.approx(expected / COUNT)


def test_a_server_that_never_answers_costs_the_time_limit_and_no_more(profile):
    began = time.monotonic()
    result = run(profile("/silent", timeout=1.0))
    assert time.monotonic() - began < 20
    assert result.samples.outcomes() == {Outcome.TIMED_OUT: COUNT}
    assert (result.samples.rows["end"] >= 1.0).all()
    assert set(result.samples.rows["status"]) == {0}


def test_nobody_listening_is_refused(profile, target):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        result = run(replace(profile("/fixed"), calls=(Call(httpx.Request("GET", url), "x"),)))
    assert result.samples.outcomes() == {Outcome.REFUSED: COUNT}


def test_a_name_without_an_address_is_no_result(profile):
    call = Call(httpx.Request("GET", "http://nowhere.invalid/"), "x")
    with pytest.raises(Unanswerable, match="the load could not begin"):
        BuiltIn().run(replace(profile("/fixed"), calls=(call,)))


def test_latency_counts_from_when_a_request_was_due(profile):
    result = run(profile("/slow", rate=20.0), connections=2)
    # Two connections carry 6.7 requests a second; the others wait, which the service time does not show.
    assert result.percentile(95)[0] > 1000
    assert result.held.percentile(95, service=True)[0] < 600


def test_a_stall_is_charged_to_everybody_whom_it_kept_waiting(profile):
    result = run(profile("/stalls", rate=200.0, seconds=3.0))
    # A fifth of all wait between 0 and 200 ms: the 90th percentile is half of it; more of them where the machine is
    # busy, and none for longer than the stall.
    assert 60 < result.percentile(90)[0] < 240


def test_calls_are_sent_by_their_weights(profile, target):
    calls = [
        replace(call, weight=weight) for call, weight in zip(target.calls("/fixed", "/chunked"), (2, 1), strict=True)
    ]
    result = run(replace(profile("/fixed"), calls=tuple(calls)))
    assert target.asked == Counter({"/fixed": 200, "/chunked": 100})
    assert np.bincount(result.samples.rows["call"]).tolist() == [200, 100]


def test_what_httpx_was_given_is_what_is_sent(profile, target):
    request = httpx.Request("POST", f"{target.url}/fixed", headers={"X-Mark": "mine"}, json={"x": 1})
    run(replace(profile("/fixed"), calls=(Call(request, "write"),)))
    assert set(target.bodies) == {b'{"x":1}'}
    assert b"X-Mark: mine" in target.heads[0]


def test_a_predicate_looks_at_a_sample_of_the_bodies(profile, target, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    predicate = importlib.import_module("predicates").nothing_is_down
    calls = tuple(replace(call, predicate=predicate) for call in target.calls("/text"))
    result = run(replace(profile("/fixed"), calls=calls))
    assert result.samples.outcomes() == {Outcome.ANSWERED: COUNT - 30, Outcome.WRONG_BODY: 30}
    # Each stands for those that were not looked at.
    assert result.error_rate() == 1.0


def test_users_wait_for_their_answers(profile, target):
    result = run(replace(profile("/slow"), load=Users(4, 2.0)))
    # Each sends every 0.3 seconds.
    assert 16 <= len(result.samples) <= 28
    assert target.connections == 4
    assert not result.profile.open_loop


@pytest.fixture
def authority(tmp_path):
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    return made


@pytest.fixture
def secure(serve, authority):
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return serve(context)


def test_over_tls_every_request_is_counted(profile, secure, tmp_path):
    asked = replace(
        profile("/fixed"), calls=secure.calls("/fixed"), certificate_authority=str(tmp_path / "authority.pem")
    )
    assert run(asked).samples.outcomes() == {Outcome.ANSWERED: COUNT}
    assert secure.asked["/fixed"] == COUNT


def test_a_certificate_that_does_not_verify_is_refused(profile, secure):
    result = run(replace(profile("/fixed"), calls=secure.calls("/fixed")))
    assert result.samples.outcomes() == {Outcome.UNVERIFIED: COUNT}
    assert secure.asked["/fixed"] == 0


def test_the_circuit_breaker_stops_a_test_that_only_fails(profile, target):
    result = BuiltIn().run(profile("/rubbish", seconds=60.0, breaker=0.5))
    assert result.stopped.startswith("stopped by the circuit breaker")
    assert "above the declared 50%" in result.stopped
    assert 900 < target.asked["/rubbish"] < 2500


def test_an_interrupt_keeps_what_was_measured(profile, target):
    def interrupt() -> None:
        until(lambda: target.asked["/fixed"] >= 50)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    result = BuiltIn(workers=2).run(profile("/fixed", seconds=60.0))
    assert result.stopped == "interrupted"
    assert 50 <= len(result.samples) < 5000
    assert result.samples.outcomes()[Outcome.ANSWERED] >= 50


KILLED = """
import httpx, sys
from runbook_lib.load.engine import BuiltIn
from runbook_lib.load.interface import Call, Profile, hold
BuiltIn(workers=2).run(Profile((Call(httpx.Request("GET", sys.argv[1]), "x"),), hold(100.0, 60.0)))
"""


def test_a_parent_that_is_killed_takes_its_workers_along(target):
    with subprocess.Popen([sys.executable, "-c", KILLED, f"{target.url}/fixed"]) as parent:
        until(lambda: target.asked["/fixed"] > 20)
        parent.kill()
    until(lambda: grows_no_more(target.asked))


def grows_no_more(asked):
    before = asked.total()
    time.sleep(0.3)
    return asked.total() == before


def test_progress_says_how_it_goes(profile):
    said = []
    with reporting(said.append):
        run(profile("/fixed", seconds=2.5))
    assert any("p95" in line and "s left" in line for line in said)


def test_a_worker_that_cannot_start_is_no_result(profile, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unanswerable, match="without a report"):
        BuiltIn().run(profile("/fixed"))


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (httpx.Request("GET", "ftp://x/"), "no http:// or https:// address"),
        (httpx.Request("GET", "http://x/", headers={"a": "b\r\nc: d"}), "cannot be sent"),
    ],
)
def test_a_request_that_http_does_not_allow_gets_a_sentence(request_, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        BuiltIn().run(Profile((Call(request_, "x"),), hold(1.0, 1.0)))


def test_a_worker_whose_time_has_passed_sends_nothing(profile, target, tmp_path):
    async def late():
        with (tmp_path / "samples").open("wb") as output:
            generator = Generator(Plan(profile("/fixed"), 0, 1, 10), Recorder(output))
            await generator.prepare()
            await generator.run(time.time() - 20.0)

    with pytest.raises(TimeoutError, match=r"20\.\d s too late"):
        asyncio.run(late())
    assert target.asked["/fixed"] == 0


def test_where_samples_can_no_longer_be_written_the_load_ends(profile, target, tmp_path):
    """A stand-in for a full disk, which takes the circuit breaker along with the samples."""

    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    async def begin():
        generator = Generator(Plan(profile("/fixed", seconds=30.0), 0, 1, 10), Recorder(Full()))
        await generator.prepare()
        await generator.run(time.time())

    with pytest.raises(OSError, match="No space left"):
        asyncio.run(begin())
    assert target.asked["/fixed"] < 1500
