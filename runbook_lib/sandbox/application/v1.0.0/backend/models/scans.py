"""Keeping what was scanned."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.tables import Provider, ProviderDomain, Scan
from payments.payment import Payment


class Receipt(BaseModel):
    """What the caller is told about a scan that was kept."""

    id: int
    type: str
    fields: dict[str, Any]
    amount_sats: int | None
    provider: str | None
    created_at: datetime


def store(session: Session, content: str, payment: Payment) -> Receipt:
    """Keep one valid payment request, and say whose it is."""
    amount, provider = payment.fields.get("amount_sats"), _provider(session, payment.fields.get("domain"))
    scan = Scan(type=payment.type, content=content, fields=payment.fields, amount_sats=amount)
    session.add(scan)
    session.commit()
    return Receipt(
        id=scan.id,
        type=scan.type,
        fields=scan.fields,
        amount_sats=amount,
        provider=provider,
        created_at=scan.created_at,
    )


def _provider(session: Session, domain: str | None) -> str | None:
    """The name of the provider that `domain` belongs to."""
    if domain is None:
        return None
    named = select(Provider.name).join(ProviderDomain).where(ProviderDomain.domain == domain)
    return session.scalars(named).one_or_none()
