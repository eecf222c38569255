"""Reading the environment; tracking errors."""

import pytest

import errors
from settings import Settings


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("https://a.example", ("https://a.example",)),
        ("https://a.example, https://b.example", ("https://a.example", "https://b.example")),
        ('["https://a.example", "https://b.example"]', ("https://a.example", "https://b.example")),
        ("[]", ()),
    ],
)
def test_lists(monkeypatch: pytest.MonkeyPatch, text: str, origins: tuple[str, ...]) -> None:
    monkeypatch.setenv("CORS_ORIGINS", text)
    assert Settings().cors_origins == origins


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_database_address_gets_our_driver(scheme: str) -> None:
    url = Settings(database_url=f"{scheme}://user:p%40ss@db:5432/twiga").database
    assert (url.drivername, url.password, url.query["connect_timeout"]) == ("postgresql+psycopg", "p@ss", "3")


def test_a_timeout_in_the_address_stays() -> None:
    assert Settings(database_url="postgresql://db/twiga?connect_timeout=9").database.query["connect_timeout"] == "9"


def test_a_missing_database_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ValueError, match="database_url"):
        Settings()


@pytest.mark.parametrize(
    ("dsn", "hosts"), [("", ""), ("change-me", ""), ("https://key@errors.example/1", "127.0.0.1, localhost")]
)
def test_errors_are_not_tracked(monkeypatch: pytest.MonkeyPatch, dsn: str, hosts: str) -> None:
    monkeypatch.setattr(errors.sentry_sdk, "init", _refuse)
    monkeypatch.setenv("SENTRY_HOSTS", hosts)
    assert not errors.track(Settings(sentry_dsn=dsn))


@pytest.mark.parametrize("hosts", ["", "127.0.0.1"])
def test_errors_are_tracked(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    given = []
    monkeypatch.setattr(errors.sentry_sdk, "init", lambda dsn, **options: given.append((dsn, options["environment"])))
    monkeypatch.setenv("SENTRY_HOSTS", hosts)
    assert errors.track(Settings(sentry_dsn="http://key@127.0.0.1:9/1"))
    assert given == [("http://key@127.0.0.1:9/1", "test")]


def _refuse(dsn: str, **options: object) -> None:
    raise errors.BadDsn(dsn)
