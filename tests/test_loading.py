from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runbook_lib import environment, exclusive

from .waiting import until

RUNBOOK = Path(sys.executable).with_name("runbook")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


@pytest.fixture
def server(mini):
    """What the environment ``mini`` points at; its objectives are ones that a busy machine holds too."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads, running.asked, running.status = True, 0, 200
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        toml = mini.environments[0] / "mini.toml"
        text = toml.read_text().replace("http://127.0.0.1:9", f"http://127.0.0.1:{running.server_port}")
        toml.write_text(text + "[objectives]\np95_milliseconds = 5000.0\n")
        yield running
        running.shutdown()


def start(*arguments):
    words = [RUNBOOK, "load", "mini", "--rate", "50", "--ramp", "0", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kept(mini):
    (folder,) = (mini.outputs / "mini" / "load").iterdir()
    assert {path.name for path in folder.iterdir()} >= {"latency.png", "samples.parquet", "verdict.json"}
    return json.loads((folder / "verdict.json").read_text())


def test_a_load_test_by_itself_gives_its_verdict_and_keeps_its_charts(mini, server):
    with start("--duration", "2") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.lstrip().startswith("passed: 51")
    assert "Charts and samples are in" in said
    assert kept(mini)["ok"]
    assert server.asked == 102


def test_a_service_that_fails_ends_with_exit_code_1(mini, server):
    server.status = 503
    with start("--duration", "2") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "failed: " in said
    assert "errors 100.00%, expected < 1.00%; see the charts" in said


def test_an_interrupt_keeps_what_was_measured(mini, server):
    with start("--duration", "60") as process:
        until(lambda: server.asked >= 50)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 4, said
    assert "interrupted before its end" in said
    assert kept(mini)["inconclusive"].startswith("inconclusive: interrupted")


def test_beside_a_run_nothing_is_sent(mini, server):
    with exclusive.alone(environment.load("mini"), "a-run"), start("--duration", "2") as process:
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, server.asked) == (2, 0)
    assert "is held by" in said


def test_production_is_not_touched_without_its_name(mini, server):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(toml.read_text().replace('kind = "sandbox"', 'kind = "production"'))
    with start("--duration", "2") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "mini is production: it is put under load only where confirm repeats its name." in said
    assert server.asked == 0
