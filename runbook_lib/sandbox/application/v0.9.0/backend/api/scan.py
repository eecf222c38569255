"""POST /api/scan/: read a payment request and keep it."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

import limiter
import metrics
from models.database import session
from models.scans import Receipt, store
from payments import payment
from payments.errors import InvalidPayment

router = APIRouter(prefix="/api/scan", tags=["scan"])


class ScanRequest(BaseModel):
    """What the camera, a picture or a person gave."""

    content: str = Field(min_length=1, max_length=4096, examples=["bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"])


@router.post("/", summary="Read a payment request", responses={422: {"description": "No payment request"}})
def scan(
    request: ScanRequest,
    allowance: Annotated[dict[str, str], Depends(limiter.limited)],
    database: Annotated[Session, Depends(session)],
) -> Receipt:
    """BIP 21, BOLT 11, LNURL or Lightning address; checksums are verified, nothing is looked up."""
    try:
        found = payment.read(request.content)
    except InvalidPayment as error:
        metrics.scans.labels("invalid").inc()
        raise HTTPException(422, str(error), headers=allowance) from error
    receipt = store(database, request.content, found)
    metrics.scans.labels(found.type).inc()
    return receipt
