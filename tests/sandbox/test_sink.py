"""The sink by itself, and as the sandbox runs it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runbook_lib.sandbox import sink
from runbook_lib.sandbox.layout import INNER
from runbook_lib.sandbox.stack import Sandbox


@pytest.fixture
def served(tmp_path: Path) -> Iterator[httpx.Client]:
    """A sink of its own, which watches a service that is not there."""
    site = sink.Site(sink.Hooks(tmp_path / "hooks"), sink.Observer("http://127.0.0.1:1", _authority()))
    server = sink.Sink(INNER, 0, site)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with httpx.Client(base_url=f"http://{INNER}:{server.server_port}", trust_env=False) as client:
        yield client
    server.shutdown()
    server.server_close()


def _authority() -> Path:
    import certifi

    return Path(certifi.where())


def test_what_arrives_is_listed_newest_last_and_kept_in_a_file(served: httpx.Client, tmp_path: Path) -> None:
    for number in range(3):
        assert served.post("/hooks/alerts", json={"number": number}).status_code == 201
    served.post("/hooks/announcements", json="hello\nthere")
    assert served.get("/hooks/alerts").json() == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert served.get("/hooks/announcements").json() == ["hello\nthere"]
    assert served.get("/hooks/none").json() == []
    assert sink.Hooks(tmp_path / "hooks").arrived("alerts")[-1] == {"number": 2}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/hooks/alerts", b"{not json", 400),
        ("/hooks/alerts", b"[" * 100_000, 400),
        ("/hooks/alerts", b" " * (sink.LARGEST + 1), 413),
        ("/hooks/..%2fescape", b"{}", 404),
        ("/hooks/.hidden", b"{}", 404),
        ("/status", b"{}", 404),
    ],
)
def test_what_it_refuses_is_not_kept(served: httpx.Client, tmp_path: Path, path: str, body: bytes, status: int) -> None:
    assert served.post(path, content=body).status_code == status
    assert list((tmp_path / "hooks").iterdir()) == []


def test_it_holds_no_more_than_it_may(tmp_path: Path) -> None:
    hooks = sink.Hooks(tmp_path)
    for number in range(2 * sink.KEPT + 5):
        assert hooks.keep("many", number)
    assert hooks.arrived("many") == list(range(sink.KEPT + 5, 2 * sink.KEPT + 5))
    assert len((tmp_path / "many.jsonl").read_text().splitlines()) < 2 * sink.KEPT
    for number in range(sink.NAMES - 1):
        assert hooks.keep(f"name-{number}", None)
    assert not hooks.keep("one-more", None)


def test_a_line_cut_short_by_a_crash_loses_only_itself(tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").write_text('{"a": 1}\n{"b": ')
    assert sink.Hooks(tmp_path).arrived("alerts") == [{"a": 1}]


def test_a_service_that_does_not_answer_is_down(served: httpx.Client) -> None:
    assert served.get("/probe.json").json()["monitor"]["status"] == "down"
    shown = served.get("/status.json").json()
    assert (shown["state"], shown["release"]) == ("down", None)
    assert "State: down" in served.get("/status").text


def test_pages_answer_and_others_do_not(served: httpx.Client) -> None:
    for path in ("/docs/deployment-guide", "/docs/runbook", "/docs/support", "/dashboards/metrics"):
        page = served.get(path)
        assert page.status_code == 200
        assert page.headers["Content-Type"].startswith("text/html")
        assert "<h1>" in page.text
    assert served.get("/docs/none").status_code == 404
    assert served.get("/").status_code == 404


def test_the_sandbox_runs_one_for_each_stack(sandbox: Sandbox) -> None:
    for stack in sandbox.stacks:
        ports = stack.ports()
        assert ports is not None
        with httpx.Client(base_url=f"http://{INNER}:{ports.sink}", trust_env=False) as client:
            assert client.get("/probe.json").json()["monitor"]["status"] == "up"
            shown = client.get("/status.json").json()
            assert shown["state"] == "operational"
            assert shown["release"].startswith("v")
            assert shown["release"] in client.get("/status").text
            assert client.post("/hooks/test-sink", json={"stack": stack.name}).status_code == 201
            assert json.loads((stack.sink / "test-sink.jsonl").read_text().splitlines()[-1]) == {"stack": stack.name}
