"""What goes through httpx: HTTP/2 to a real Caddy, a proxy, cookies, redirects, and the faults it tells apart."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import trustme

from runbook_lib.load.engine import BuiltIn
from runbook_lib.load.interface import Call, Profile, hold
from runbook_lib.load.samples import Outcome

from .predicates import is_http_2

CADDYFILE = """{
	admin off
	auto_https disable_redirects
	servers {
		protocols PROTOCOLS
	}
}
https://127.0.0.1:PORT {
	bind 127.0.0.1
	tls FOLDER/certificate.pem FOLDER/certificate.pem
	respond "{http.request.proto}"
}
"""
COUNT = 60


def run(profile: Profile):
    result = BuiltIn().run(profile)
    assert not result.stopped
    return result


@pytest.fixture
def caddy(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Caddy that answers with the protocol it was asked by, and speaks those of the parameter."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "certificate.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = CADDYFILE.replace("PORT", str(port)).replace("FOLDER", str(tmp_path)).replace("PROTOCOLS", request.param)
    (tmp_path / "Caddyfile").write_text(text)
    words = [Path(sys.executable).with_name("caddy"), "run", "--adapter", "caddyfile", "--config", "Caddyfile"]
    environment = {"HOME": str(tmp_path)}
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=log) as process:
        deadline = time.monotonic() + 30
        try:
            while not listens(port):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield f"https://127.0.0.1:{port}/"
        finally:
            process.terminate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("caddy", "wrong"),
    [("h1 h2", 0), ("h1", 6)],
    indirect=["caddy"],
    ids=["a server that speaks it", "one that does not"],
)
def test_http_2_is_spoken_to_a_server_that_speaks_it(caddy, wrong, tmp_path):
    calls = (Call(httpx.Request("GET", caddy), "which protocol", predicate=is_http_2),)
    load = hold(40.0, 1.5)
    result = run(Profile(calls, load, http2=True, certificate_authority=str(tmp_path / "authority.pem"), breaker=1.0))
    # One answer in ten is looked at.
    expected = {Outcome.ANSWERED: COUNT - wrong, Outcome.WRONG_BODY: wrong}
    assert result.samples.outcomes() == {kind: count for kind, count in expected.items() if count}
    assert result.notes == ("sent by httpx clients, one per user, for the sake of HTTP/2",)


def test_a_proxy_is_asked_for_a_server_that_cannot_be_reached_without_it(profile, target):
    calls = (Call(httpx.Request("GET", "http://shop.invalid/fixed"), "by proxy"),)
    result = run(replace(profile("/fixed", rate=40.0, proxy=target.url), calls=calls))
    assert result.samples.outcomes() == {Outcome.ANSWERED: COUNT}
    assert {head.split(b"\r\n")[0] for head in target.heads} == {b"GET http://shop.invalid/fixed HTTP/1.1"}
    assert result.notes == ("sent by httpx clients, one per user, for the sake of a proxy",)


def test_a_proxy_that_is_not_there(profile, target):
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    result = run(profile("/fixed", rate=40.0, proxy=nobody))
    assert result.samples.outcomes() == {Outcome.REFUSED: COUNT}
    assert not target.asked


@pytest.mark.parametrize("asked", [{"follow_redirects": True}, {"cookies": True}])
def test_what_the_protocol_does_not_speak_goes_through_httpx_and_says_so(profile, target, asked):
    result = run(profile("/moved" if "follow_redirects" in asked else "/fixed", rate=40.0, **asked))
    assert result.samples.outcomes() == {Outcome.ANSWERED: 60}
    assert target.asked["/fixed"] == 60
    assert "httpx" in result.notes[0]


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/busy", Outcome.WRONG_STATUS),
        ("/too-short", Outcome.CUT_SHORT),
        ("/rubbish", Outcome.MALFORMED),
        ("/silent", Outcome.TIMED_OUT),
        ("/resets", Outcome.RESET),
    ],
)
def test_httpx_counts_faults_by_the_same_kinds(profile, path, outcome):
    result = run(profile(path, rate=100.0, timeout=1.0, cookies=True))
    assert outcome in result.samples.outcomes()
    assert len(result.samples) == 150
