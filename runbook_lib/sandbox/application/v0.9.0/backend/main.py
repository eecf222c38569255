"""The service: ``uvicorn main:app``."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

import errors
import health
import limiter
from api import docs, monitoring, providers, scan
from cached import Cached
from models.database import engine
from observed import Observed, log_to_stdout
from settings import VERSION, settings

logger = logging.getLogger("twiga.main")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Be ready for many requests at once, and say that we are there; close the pool at the end."""
    limiter.prepare()
    logger.info("version=%s environment=%s started", VERSION, settings().environment)
    yield
    engine.dispose()


def create_app() -> FastAPI:
    """The application with its routes, middleware and caches."""
    log_to_stdout(settings().debug)
    errors.track(settings())
    app = FastAPI(
        title="Twiga Scan",
        version=VERSION,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.health = Cached(lambda: health.observe(health.required()), seconds=1)
    app.state.providers = Cached(providers.load, seconds=5)
    for module in (monitoring, scan, providers, docs):
        app.include_router(module.router)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings().cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type", "X-Runbook"],
    )
    app.add_middleware(Observed)
    errors.answer(app)
    return app


app = create_app()
