"""New in 1.0.1: production's reports are read from a replica."""

import pytest

import health
from settings import settings


@pytest.mark.parametrize(
    ("environment", "asked"),
    [("staging", {"database"}), ("test", {"database"}), ("production", {"database", "reporting"})],
)
def test_only_production_has_a_replica(monkeypatch: pytest.MonkeyPatch, environment: str, asked: set[str]) -> None:
    there = settings().model_copy(update={"environment": environment})
    monkeypatch.setattr(health, "settings", lambda: there)
    assert set(health.required()) == asked


@pytest.mark.parametrize("address", [None, "postgresql://127.0.0.1:1/reports"])
def test_a_replica_that_is_not_there(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv(health.REPLICA, raising=False)
    if address:
        monkeypatch.setenv(health.REPLICA, address)
    assert not health.sound(health.observe({"reporting": health.replica}))
