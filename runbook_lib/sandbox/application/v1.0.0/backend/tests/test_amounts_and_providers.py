"""New in 1.0.0: amounts, and whose a payment request is."""

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient
from sqlalchemy import text

from models.database import engine
from tests.encode import invoice, lnurl


@pytest.mark.parametrize(
    ("content", "amount"),
    [
        ("bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2?amount=0.5", 50_000_000),
        ("bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", None),
        (invoice("lnbc2500u"), 250_000),
        ("satoshi@example.com", None),
    ],
)
def test_amount(client: TestClient, content: str, amount: int | None) -> None:
    assert client.post("/api/scan/", json={"content": content}).json()["amount_sats"] == amount


@pytest.mark.parametrize(
    ("content", "provider"),
    [
        ("satoshi@walletofsatoshi.com", "Wallet of Satoshi"),
        ("SATOSHI@Blink.sv", "Blink"),
        (lnurl("https://getalby.com/pay"), "Alby"),
        ("satoshi@example.com", None),
        (invoice(), None),
    ],
)
def test_provider(client: TestClient, content: str, provider: str | None) -> None:
    assert client.post("/api/scan/", json={"content": content}).json()["provider"] == provider


def test_scans_of_0_9_0_get_their_amounts(alembic: Config) -> None:
    insert = "INSERT INTO scans (type, content, fields) VALUES ('bip21', :content, :fields)"
    command.downgrade(alembic, "0001")
    with engine.begin() as connection:
        connection.execute(text(insert), {"content": "with", "fields": '{"amount_sats": 7}'})
        connection.execute(text(insert), {"content": "without", "fields": "{}"})
    command.upgrade(alembic, "head")
    with engine.begin() as connection:
        found = connection.execute(text("SELECT content, amount_sats FROM scans WHERE content LIKE 'with%'")).all()
        connection.execute(text("DELETE FROM scans WHERE content LIKE 'with%'"))
    assert sorted(found) == [("with", 7), ("without", None)]
