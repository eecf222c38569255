"""GET /api/providers/: who issues payment requests."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from models.database import new_session
from models.tables import Provider

router = APIRouter(prefix="/api/providers", tags=["providers"])


class ProviderOut(BaseModel):
    """One wallet or exchange."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: str
    website: str


class ProviderList(BaseModel):
    """All of them, by name."""

    count: int
    providers: list[ProviderOut]


def load() -> ProviderList:
    """Read the list from the database."""
    with new_session() as session:
        rows = session.scalars(select(Provider).order_by(Provider.name)).all()
    providers = [ProviderOut.model_validate(row) for row in rows]
    return ProviderList(count=len(providers), providers=providers)


@router.get("/", summary="List providers")
async def providers(request: Request) -> ProviderList:
    """The list changes only with a release, so it is a few seconds old at most."""
    found: ProviderList = await request.app.state.providers.get()
    return found
