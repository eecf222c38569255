from __future__ import annotations

import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runbook_lib.environment import Objectives, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.load import k6
from runbook_lib.load.interface import Profile

OBJECTIVES = Objectives(requests_per_second=40, p95_milliseconds=100)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, self.headers["X-Runbook"], body))
        if self.path == "/silent":
            self.server.released.wait(5)
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that does not wait for its answer is what some tests are about."""


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads, running.asked, running.released = True, [], threading.Event()
        running.block_on_close = False
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.released.set()
        running.shutdown()


@pytest.fixture
def profile(server):
    requests = (Request(path="/a"), Request(name="write", method="POST", path="/b", json={"text": "'`${x}"}))
    url = f"http://127.0.0.1:{server.server_port}"
    return Profile(url, requests, rate=40.0, duration=1.5, ramp=0.5, headers=(("X-Runbook", "marked"),))


def test_a_run_keeps_its_rate_and_sends_every_request(profile, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    result = k6.K6().run(profile, OBJECTIVES)
    assert result.throughput() == pytest.approx(40.0, rel=0.1)
    assert result.dropped == 0
    assert result.error_rate() == 0
    assert list(result.samples.columns) == ["start", "seconds", "status", "error", "request"]
    assert result.samples["start"].between(0, 2.2).all()
    assert result.samples["request"].value_counts().to_dict().keys() == {"GET /a", "write"}
    assert {asked[:3] for asked in server.asked} == {("GET", "/a", "marked"), ("POST", "/b", "marked")}
    assert b'{"text": "\'`${x}"}' in {asked[3] for asked in server.asked}


def test_a_redirect_is_not_followed(profile, server):
    result = k6.K6().run(replace(profile, requests=(Request(path="/moved"),)), OBJECTIVES)
    assert set(result.samples["status"]) == {302}
    assert {asked[1] for asked in server.asked} == {"/moved"}


def test_refused_connections_are_errors(profile):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        result = k6.K6().run(replace(profile, base_url=url), OBJECTIVES)
    assert result.error_rate() == 1.0
    assert "refused" in result.samples["error"].iloc[0]


def test_requests_that_could_not_be_sent_are_counted(profile):
    slow = replace(profile, requests=(Request(path="/silent"),), rate=60.0)
    result = k6.K6(timeout=1.0).run(slow, replace_p95(OBJECTIVES, 1.0))
    assert result.dropped > 0
    assert (result.samples["status"] == 0).any()


def replace_p95(objectives, milliseconds):
    return objectives.model_copy(update={"p95_milliseconds": milliseconds})


def test_the_sandboxs_certificate_is_verified_by_its_own_authority(env):
    address = env.web.url
    asked = Profile(address, env.web.health, 20.0, 1.0, 0.0, certificate_authority=str(env.web.certificate_authority))
    assert k6.K6().run(asked, OBJECTIVES).error_rate() == 0
    unverified = k6.K6().run(replace(asked, certificate_authority=None), OBJECTIVES)
    assert unverified.error_rate() == 1.0
    assert "x509" in unverified.samples["error"].iloc[0]


def test_verification_is_never_switched_off():
    assert "insecureSkipTLSVerify" not in k6.SCRIPT
    assert k6._variables(Profile("https://x", (), 1, 1, 1))["K6_INSECURE_SKIP_TLS_VERIFY"] == "false"


def test_without_k6_there_is_no_verdict(profile, monkeypatch):
    def missing(name):
        raise Unanswerable(f"{name} is not on this machine")

    monkeypatch.setattr(k6, "program", missing)
    with pytest.raises(Unanswerable, match="k6 is not on this machine"):
        k6.K6().run(profile, OBJECTIVES)


def test_a_k6_that_ends_badly_is_no_verdict(profile):
    with pytest.raises(Unanswerable, match="exit code"):
        k6.K6().run(replace(profile, rate=-1.0), OBJECTIVES)
