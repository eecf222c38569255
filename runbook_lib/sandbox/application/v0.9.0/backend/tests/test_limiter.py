"""Rate limits."""

import pytest
from fastapi.testclient import TestClient
from limits.errors import StorageError

import limiter
import main
from settings import Settings, settings

BODY = {"content": "satoshi@example.com"}


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three scans in a minute."""
    few = settings().model_copy(update={"rate_limit": 3})
    monkeypatch.setattr(limiter, "settings", lambda: few)


def test_the_fourth_is_refused(client: TestClient, three: None) -> None:
    answers = [client.post("/api/scan/", json=BODY) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
    assert answers[-1].json() == {"detail": "too many scans, please wait"}


def test_refused_content_counts_too(client: TestClient, three: None) -> None:
    answers = [client.post("/api/scan/", json={"content": "x"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 429]
    assert answers[0].headers["ratelimit-limit"] == "3"


def test_a_second_client_has_its_own_allowance(client: TestClient, three: None) -> None:
    for _ in range(4):
        client.post("/api/scan/", json=BODY)
    with TestClient(main.create_app(), client=("192.0.2.7", 50000)) as other:
        assert other.post("/api/scan/", json=BODY).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/api/providers/", "/monitoring/metrics"])
def test_nothing_else_is_limited(client: TestClient, three: None, path: str) -> None:
    assert {client.get(path).status_code for _ in range(6)} == {200}


def test_without_redis_scanning_goes_on(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(client: str) -> None:
        raise StorageError(ConnectionError("down"))

    monkeypatch.setattr(limiter, "_count", fail)
    answer = client.post("/api/scan/", json=BODY)
    assert answer.status_code == 200
    assert "ratelimit-limit" not in answer.headers


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_redis_that_is_not_there(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    nowhere = Settings(redis_url=f"{scheme}://:password@127.0.0.1:1/0")
    monkeypatch.setattr(limiter, "settings", lambda: nowhere)
    limiter._limiter.cache_clear()
    with pytest.raises(ConnectionError):
        limiter.ping()
    with pytest.raises(StorageError):
        limiter._count("192.0.2.7")
    limiter._limiter.cache_clear()


def test_it_is_made_before_the_first_request() -> None:
    limiter._limiter.cache_clear()
    with TestClient(main.create_app()):
        assert limiter._limiter.cache_info().currsize == 1
