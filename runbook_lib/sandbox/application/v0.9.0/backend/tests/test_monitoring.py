"""Health, metrics and log lines."""

import logging
import re

import pytest
from fastapi.testclient import TestClient

import health
import metrics
import observed
from settings import VERSION, settings


def down() -> None:
    raise ConnectionError("down")


def test_healthy(client: TestClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["service"], body["version"]) == ("healthy", "twiga-scan-api", VERSION)
    assert body["timestamp"].endswith("Z")


def test_unhealthy_without_the_database(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "required", lambda: {"database": down})
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")


def test_health_asks_at_most_once_a_second(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(health, "required", lambda: {"database": lambda: asked.append(1)})
    for _ in range(5):
        client.get("/health")
    assert len(asked) <= 2


def test_detailed(client: TestClient) -> None:
    body = client.get("/monitoring/health/detailed").json()
    assert (body["status"], body["environment"], body["components"]["database"]) == ("healthy", "test", "ok")


@pytest.mark.parametrize(
    ("required", "optional", "status", "word"),
    [
        ({"database": down}, {}, 503, "unhealthy"),
        ({}, {"redis": down}, 200, "degraded"),
        ({"database": down}, {"redis": down}, 503, "unhealthy"),
    ],
)
def test_detailed_when_something_is_down(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, required: dict, optional: dict, status: int, word: str
) -> None:
    monkeypatch.setattr(health, "required", lambda: required)
    monkeypatch.setattr(health, "optional", lambda: optional)
    answer = client.get("/monitoring/health/detailed")
    assert (answer.status_code, answer.json()["status"]) == (status, word)
    assert set(answer.json()["components"].values()) == {"ConnectionError"}


def test_redis_is_asked_where_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    configured = settings().model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    monkeypatch.setattr(health, "settings", lambda: configured)
    assert set(health.optional()) == {"redis"}


def test_metrics_move(client: TestClient) -> None:
    def counted() -> float:
        pattern = r'http_requests_total\{method="GET",path="/health",status="200"\} (\S+)'
        match = re.search(pattern, client.get("/monitoring/metrics").text)
        return float(match[1]) if match else 0.0

    before = counted()
    client.get("/health")
    assert counted() == before + 1


def test_metrics_content_type(client: TestClient) -> None:
    assert client.get("/monitoring/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_strangers_cannot_invent_labels(client: TestClient) -> None:
    client.get("/nowhere")
    client.request("BREW", "/health")
    text = client.get("/monitoring/metrics").text
    assert "nowhere" not in text and "BREW" not in text
    assert 'path="unmatched"' in text and 'method="other"' in text


def test_metrics_switched_off(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    off = settings().model_copy(update={"prometheus_enabled": False})
    monkeypatch.setattr("api.monitoring.settings", lambda: off)
    assert client.get("/monitoring/metrics").status_code == 404


def test_metrics_of_several_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert metrics.exposition() == b""


def test_a_request_is_one_log_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "twiga.request"):
        client.get("/health", headers={"X-Runbook": 'run 7" status=500'})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "twiga.request"]
    assert re.fullmatch(r'method=GET path=/health status=200 ms=[\d.]+ runbook="run 7_ status=500"', line)


@pytest.mark.parametrize(
    ("text", "shown"), [("a\nb\r\x1b[31m", "a_b___31m"), ("x" * 300, "x" * 200), ('"', "_"), ("ü", "_")]
)
def test_log_text_is_made_safe(text: str, shown: str) -> None:
    assert observed.safe(text) == shown


def test_an_exception_is_counted_as_500(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("planted")

    client.app.add_api_route("/fail", fail)
    with caplog.at_level(logging.INFO, "twiga.request"), pytest.raises(RuntimeError, match="planted"):
        client.get("/fail")
    assert "path=/fail status=500" in caplog.text
