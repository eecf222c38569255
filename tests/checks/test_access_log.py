from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runbook_lib.checks import access_log, success, traffic
from runbook_lib.environment.monitoring import RequestCounting
from runbook_lib.errors import Unanswerable

WINDOW = {"window_seconds": 0.5, "requests_per_second": 40}
COMMON = '127.0.0.1 - - [{when:%d/%b/%Y:%H:%M:%S} +0000] "GET /health HTTP/1.1" {status} 2 "-" "an \\"agent\\""\n'
CADDY = '{{"level":"info","ts":{seconds:.3f},"request":{{"uri":"/"}},"status":{status}}}\n'
TRAEFIK = '{{"DownstreamStatus":{status},"RequestPath":"/","time":"{when:%Y-%m-%dT%H:%M:%SZ}"}}\n'


def judged(env):
    return success.error_rate(env, success.window(env)).run()


@pytest.fixture
def logged(serve, at, reply, tmp_path):
    """A service without metrics behind an edge that logs our requests, each beside one of somebody else's."""
    log = tmp_path / "access.log"
    log.write_text(COMMON.format(when=datetime(2026, 1, 1, tzinfo=UTC), status=500) * 50 + "no request in this line\n")

    def environment(*statuses, line=COMMON):
        def answer(asked):
            now = datetime.now(UTC)
            with log.open("a") as file:
                file.writelines(line.format(when=now, seconds=now.timestamp(), status=each) for each in statuses)
            return reply({"status": "healthy", "count": 2})

        url = serve({"/health": answer, "/api/providers/": answer}).url
        return at(url, success=WINDOW, monitoring={"requests": {"log_file": str(log)}})

    return environment


@pytest.mark.parametrize("line", [COMMON, CADDY, TRAEFIK], ids=["common", "caddy", "traefik"])
@pytest.mark.parametrize(("status", "ok"), [(404, True), (502, False)])
def test_everybody_elses_requests_are_counted_in_the_edges_log(logged, line, status, ok):
    finding = judged(logged(200, status, line=line))
    assert finding.ok is ok
    assert finding.observed["everybody else"] == f"{'0.00%' if ok else '100.00%'} of 20 requests"
    assert "access.log" in str(finding.tables)


def test_a_log_that_does_not_show_our_own_requests_is_no_verdict(logged, monkeypatch):
    monkeypatch.setattr(success, "LOG_SECONDS", 0.1)
    with pytest.raises(Unanswerable, match="log lines do not hold all requests"):
        judged(logged())


def test_a_log_that_is_not_there_is_no_verdict(serve, at, reply):
    url = serve({"/health": reply({"status": "healthy"}), "/api/providers/": reply({"count": 2})}).url
    with pytest.raises(Unanswerable, match="cannot be read"):
        judged(at(url, success=WINDOW, monitoring={"requests": {"log_file": "none.log"}}))


def edge_logged(env):
    """The sandbox, as if its application had no metrics."""
    parts = {
        "web": env.web.model_copy(update={"metrics_path": ""}),
        "monitoring": env.monitoring.model_copy(update={"requests": RequestCounting(log_service="edge")}),
        "success": env.success.model_copy(update={"window_seconds": 1.0}),
    }
    return env.model_copy(update=parts)


def test_the_sandboxs_edge_logs_everybodys_requests(env):
    finding = judged(edge_logged(env))
    assert finding.ok, finding.observed
    assert "edge's log" in str(finding.tables)


def test_the_log_of_a_closed_edge_is_not_read(env):
    assert access_log.declared(edge_logged(env))
    assert not access_log.declared(traffic.behind(edge_logged(env)))
