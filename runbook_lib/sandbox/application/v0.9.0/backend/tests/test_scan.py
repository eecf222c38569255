"""POST /api/scan/."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from models import database
from models.tables import Scan
from tests.encode import invoice

VALID = "bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2?amount=0.5&label=%3Cscript%3Ealert(1)%3C/script%3E"


def test_valid_content_is_answered_and_kept(client: TestClient) -> None:
    answer = client.post("/api/scan/", json={"content": VALID})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["type"], body["fields"]["amount_sats"]) == ("bip21", 50_000_000)
    with database.new_session() as session:
        kept = session.scalars(select(Scan).where(Scan.id == body["id"])).one()
    assert (kept.content, kept.fields) == (VALID, body["fields"])


def test_markup_comes_back_as_json_only(client: TestClient) -> None:
    answer = client.post("/api/scan/", json={"content": VALID})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["fields"]["label"] == "<script>alert(1)</script>"


@pytest.mark.parametrize("content", ["hello", "<img src=x onerror=alert(1)>", invoice()[:-1] + "q", "a@b", "\u202e"])
def test_invalid_content_is_refused_and_not_repeated(client: TestClient, content: str) -> None:
    answer = client.post("/api/scan/", json={"content": content})
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert content not in answer.text


@pytest.mark.parametrize(
    "body", [{}, {"content": ""}, {"content": None}, {"content": 1}, {"content": "x" * 4097}, [], "x"]
)
def test_malformed_bodies_are_refused(client: TestClient, body: object) -> None:
    answer = client.post("/api/scan/", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body")


def test_what_is_not_json_is_refused(client: TestClient) -> None:
    answer = client.post("/api/scan/", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("character", [r"\u0000", r"\ud800"])
def test_what_postgresql_cannot_store_is_refused(client: TestClient, character: str) -> None:
    body = '{"content": "bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2?label=' + character + '"}'
    answer = client.post("/api/scan/", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_get_is_not_allowed(client: TestClient) -> None:
    assert client.get("/api/scan/").status_code == 405


def test_database_down(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("select", {}, Exception("down"))

    client.app.dependency_overrides[database.session] = fail
    answer = client.post("/api/scan/", json={"content": VALID})
    assert answer.status_code == 503
    assert answer.json() == {"detail": "the database does not answer"}


def test_metrics_of_scans(client: TestClient) -> None:
    client.post("/api/scan/", json={"content": VALID})
    assert 'scans_total{type="bip21"}' in client.get("/monitoring/metrics").text
