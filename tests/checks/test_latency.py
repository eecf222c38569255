from __future__ import annotations

import socket
import time

import pytest

from runbook_lib.checks import latency
from runbook_lib.errors import Unanswerable

LOAD = {"response_samples": 5}


def service(serve, at, reply, *, seconds=0.0, status=200, **parts):
    def answer(asked):
        time.sleep(seconds)
        return reply({"status": "healthy", "count": 2}, status)

    server = serve(dict.fromkeys(("/health", "/api/providers/", "/api/scan/"), answer))
    return server, at(server.url, load=LOAD, **parts)


def test_response_times_pass_on_the_sandbox(env, unhurried):
    finding = latency.by_endpoint(unhurried(env)).run()
    assert finding.ok, finding.observed
    assert finding.evidence[0].content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"seconds": 0.03, "objectives": {"p95_milliseconds": 20}}, "p95"), ({"status": 500}, "status 500")],
    ids=["slow", "errors"],
)
def test_slow_or_wrong_endpoints_fail(serve, at, reply, fault, words):
    finding = latency.by_endpoint(service(serve, at, reply, **fault)[1]).run()
    assert not finding.ok
    assert words in str(finding.observed)


def test_a_limited_endpoint_is_asked_below_its_limit(serve, at, reply):
    limit = {"request": {"method": "POST", "path": "/api/scan/"}, "limit": 20, "window_seconds": 1}
    _, env = service(serve, at, reply, security={"public_address": "127.0.0.1", "rate_limit": limit})
    assert latency._pause(env, env.api.accepted) == pytest.approx(0.055)
    assert latency._pause(env, env.api.providers) == 0


def test_the_response_time_passes_on_the_sandbox(env, unhurried):
    finding = latency.response_time(unhurried(env)).run()
    assert finding.ok, finding.observed
    phases = {row[0]: float(row[1]) for row in finding.tables[0].rows}
    assert phases["TLS handshake"] > 0


def test_the_response_time_agrees_with_curl(env):
    from shutil import which

    from runbook_lib import command

    if which("curl") is None:
        pytest.skip("curl is not on this machine")
    address = env.web.address(env.web.health[0].path)
    words = ["curl", "-s", "-o", "/dev/null", "--cacert", env.web.certificate_authority, "-w", "%{time_total}"]
    by_curl = sorted(float(command.run([*words, address]).output) * 1000 for _ in range(7))[3]
    ours = float(latency.response_time(env).run().tables[0].rows[-1][1])
    assert ours == pytest.approx(by_curl, abs=50)


def test_a_slow_answer_fails(serve, at, reply):
    _, env = service(serve, at, reply, seconds=0.03, objectives={"p95_milliseconds": 20})
    finding = latency.response_time(env).run()
    assert not finding.ok
    rows = {row[0]: float(row[1]) for row in finding.tables[0].rows}
    assert rows["until the first byte"] >= 30


def test_a_wrong_status_fails(serve, at, reply):
    finding = latency.response_time(service(serve, at, reply, status=503)[1]).run()
    assert not finding.ok
    assert "503" in finding.observed


def test_each_request_has_a_connection_of_its_own(serve, at, reply):
    server, env = service(serve, at, reply)
    latency.response_time(env).run()
    assert len(server.asked) == LOAD["response_samples"]
    assert all(asked.headers["Connection"] == "close" for asked in server.asked)


def test_a_refused_connection_fails_and_silence_is_no_verdict(at):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert not latency.response_time(at(url, load=LOAD)).run().ok
        silent.listen()
        with pytest.raises(Unanswerable, match="did not answer"):
            latency.response_time(at(url, load=LOAD, limits={"request": 0.1})).run()


def test_a_name_may_stand_for_an_address_where_nobody_listens(serve, at, reply, monkeypatch):
    server = serve({"/health": reply({"status": "healthy"})})
    real = socket.getaddrinfo

    def both(host, port, *rest, **more):
        silent = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))
        return [silent, *real(host, port, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert latency.response_time(at(server.url)).run().ok


def test_the_query_is_sent_too(serve, at, reply):
    server = serve({"/health": reply({"status": "healthy"})})
    latency.response_time(at(server.url, web={"url": server.url, "health": [{"path": "/health?deep=1"}]})).run()
    assert {asked.path for asked in server.asked} == {"/health?deep=1"}
