"""Health and metrics, for probes and for Prometheus."""

from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

import health
import metrics
from settings import SERVICE, VERSION, settings

router = APIRouter(tags=["monitoring"])


class Health(BaseModel):
    """Whether the service can do its work."""

    status: str
    timestamp: datetime
    service: str = SERVICE
    version: str = VERSION


class DetailedHealth(Health):
    """The same, and the state of each dependency."""

    environment: str
    components: dict[str, str]


@router.get("/health", summary="Whether the service is healthy", responses={503: {"model": Health}})
async def healthy(request: Request, response: Response) -> Health:
    """Asks what the service cannot do without, at most once a second."""
    states = await request.app.state.health.get()
    ok = health.sound(states)
    response.status_code = 200 if ok else 503
    return Health(status="healthy" if ok else "unhealthy", timestamp=datetime.now(UTC))


@router.get("/monitoring/health/detailed", summary="Each dependency", responses={503: {"model": DetailedHealth}})
def detailed(response: Response) -> DetailedHealth:
    """Asks every dependency now. Without Redis the service is degraded: it works, with rate limits suspended."""
    required, optional = health.observe(health.required()), health.observe(health.optional())
    if not health.sound(required):
        response.status_code, status = 503, "unhealthy"
    else:
        status = "healthy" if health.sound(optional) else "degraded"
    return DetailedHealth(
        status=status,
        timestamp=datetime.now(UTC),
        environment=settings().environment,
        components={**required, **optional},
    )


@router.get("/monitoring/metrics", include_in_schema=False)
def prometheus() -> Response:
    """Prometheus' text format; 404 where PROMETHEUS_ENABLED is false."""
    if not settings().prometheus_enabled:
        raise HTTPException(404, "metrics are switched off")
    return Response(metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})
