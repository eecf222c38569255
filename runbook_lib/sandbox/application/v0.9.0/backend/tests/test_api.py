"""Providers, documentation, CORS, and what is not there."""

import pytest
from fastapi.testclient import TestClient

from settings import VERSION

ORIGIN = "https://scan.example.org"


def test_providers(client: TestClient) -> None:
    body = client.get("/api/providers/").json()
    assert body["count"] == len(body["providers"]) == 6
    assert body["providers"][0] == {"name": "Alby", "kind": "wallet", "website": "https://getalby.com"}


def test_openapi_document(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    assert document["info"]["version"] == VERSION
    assert set(document["paths"]) == {"/health", "/monitoring/health/detailed", "/api/scan/", "/api/providers/"}


def test_docs_page_needs_no_script_and_no_foreign_host(client: TestClient) -> None:
    answer = client.get("/api/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "POST /api/scan/" in answer.text and "/api/openapi.json" in answer.text
    assert "<script" not in answer.text and "http" not in answer.text.replace("<!doctype html>", "")


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/", "/docs", "/redoc", "/openapi.json", "/.env", "/api/docs/oauth2-redirect"]
)
def test_not_there(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, ORIGIN), ("https://evil.example", None), ("null", None)])
def test_cors(client: TestClient, origin: str, allowed: str | None) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert client.options("/api/scan/", headers=preflight).headers.get("access-control-allow-origin") == allowed
    assert client.get("/health", headers={"Origin": origin}).headers.get("access-control-allow-origin") == allowed
