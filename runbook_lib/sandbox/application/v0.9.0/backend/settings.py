"""The service's settings, read from the process environment once."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import field_validator
from pydantic_settings import BaseSettings, NoDecode
from sqlalchemy.engine import URL, make_url

SERVICE = "twiga-scan-api"
VERSION = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()


class Settings(BaseSettings):
    """Each field is the environment variable of the same name in capitals."""

    environment: str = "development"
    debug: bool = False
    secret_key: str = ""
    database_url: str
    database_pool_size: int = 5
    redis_url: str = ""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    rate_limit: int = 60
    rate_limit_window: int = 5
    prometheus_enabled: bool = True
    sentry_dsn: str = ""
    sentry_hosts: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("cors_origins", "sentry_hosts", mode="before")
    @classmethod
    def _list(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        """A list is given as JSON, or with commas between."""
        if not isinstance(value, str):
            return value
        parts = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        return tuple(part.strip() for part in parts if part.strip())

    @property
    def database(self) -> URL:
        """The database's address with the driver we ship, and a limit for connecting."""
        url = make_url(self.database_url)
        if url.get_backend_name() not in ("postgresql", "postgres"):
            return url
        bounded = {"connect_timeout": "3", "application_name": SERVICE, **url.query}
        return url.set(drivername="postgresql+psycopg", query=bounded)


@lru_cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
