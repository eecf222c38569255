"""The one engine of this process."""

from collections.abc import Iterator

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from settings import settings

engine = create_engine(
    settings().database,
    pool_size=settings().database_pool_size,
    max_overflow=settings().database_pool_size,
    pool_timeout=3,
    pool_pre_ping=True,
)
new_session = sessionmaker(engine, expire_on_commit=False)


def session() -> Iterator[Session]:
    """A session for one request; committed by whoever writes."""
    with new_session() as opened:
        yield opened


def ping() -> None:
    """Raise SQLAlchemyError where the database does not answer."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
