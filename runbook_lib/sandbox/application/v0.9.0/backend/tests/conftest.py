"""A database of its own for each test session, made by the migrations; counters in memory."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything of ours is imported: whatever the caller's environment says, tests must not reach his services.
_folder = tempfile.TemporaryDirectory(prefix="twiga-tests-")
os.environ.update(
    ENVIRONMENT="test",
    DEBUG="false",
    SECRET_KEY=secrets.token_urlsafe(32),
    DATABASE_URL=f"sqlite:///{_folder.name}/test.db",
    REDIS_URL="",
    CORS_ORIGINS="https://scan.example.org",
    RATE_LIMIT="60",
    RATE_LIMIT_WINDOW="60",
    PROMETHEUS_ENABLED="true",
    SENTRY_DSN="",
    SENTRY_HOSTS="",
)
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from alembic import command  # noqa: E402
from alembic.config import Config  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

import limiter  # noqa: E402
import main  # noqa: E402
from models.database import engine  # noqa: E402

BACKEND = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def alembic() -> Config:
    """Alembic's configuration."""
    return Config(BACKEND / "alembic.ini")


@pytest.fixture(scope="session", autouse=True)
def migrated(alembic: Config) -> Iterator[None]:
    """The newest schema."""
    command.upgrade(alembic, "head")
    yield
    engine.dispose()
    _folder.cleanup()


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of a fresh application: empty caches, a full allowance."""
    limiter._limiter.cache_clear()
    with TestClient(main.create_app()) as opened:
        yield opened
