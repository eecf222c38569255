"""Keeping what was scanned."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from models.tables import Scan
from payments.payment import Payment


class Receipt(BaseModel):
    """What the caller is told about a scan that was kept."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    type: str
    fields: dict[str, Any]
    created_at: datetime


def store(session: Session, content: str, payment: Payment) -> Receipt:
    """Keep one valid payment request."""
    scan = Scan(type=payment.type, content=content, fields=payment.fields)
    session.add(scan)
    session.commit()
    return Receipt.model_validate(scan)
