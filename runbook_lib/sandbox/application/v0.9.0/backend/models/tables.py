"""The tables, as the newest migration leaves them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, String, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite numbers rows by itself only in a column declared INTEGER.
Identity = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """What the migrations are compared with."""


class Provider(Base):
    """A wallet or exchange that issues payment requests."""

    __tablename__ = "providers"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    website: Mapped[str] = mapped_column(String(200))


class Scan(Base):
    """One payment request that was scanned and found valid."""

    __tablename__ = "scans"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    type: Mapped[str] = mapped_column(String(20))
    content: Mapped[str] = mapped_column(Text)
    fields: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
