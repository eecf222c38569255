"""Errors: how they are answered, and where they are tracked."""

import logging
from urllib.parse import urlsplit

import sentry_sdk
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sentry_sdk.utils import BadDsn
from sqlalchemy.exc import OperationalError, TimeoutError

from settings import VERSION, Settings

logger = logging.getLogger("twiga.errors")


def answer(app: FastAPI) -> None:
    """Answer every error as ``{"detail": "one sentence"}``."""
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(OperationalError, _database_down)
    app.add_exception_handler(TimeoutError, _database_down)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # The input is left out: what a stranger sent is not sent back.
    sentences = [f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}" for detail in error.errors()]
    return JSONResponse({"detail": "; ".join(sentences)}, 422)


async def _database_down(request: Request, error: Exception) -> JSONResponse:
    logger.error("the database does not answer: %s", type(error).__name__)
    return JSONResponse({"detail": "the database does not answer"}, 503, {"Retry-After": "5"})


def track(settings: Settings) -> bool:
    """Send errors to the tracker that SENTRY_DSN names; whether that is so.

    An address that is malformed, or whose host SENTRY_HOSTS does not list, is logged and not used.
    """
    if not settings.sentry_dsn:
        return False
    if settings.sentry_hosts and urlsplit(settings.sentry_dsn).hostname not in settings.sentry_hosts:
        logger.warning("SENTRY_DSN names a host that SENTRY_HOSTS does not list, errors are not tracked")
        return False
    try:
        sentry_sdk.init(
            settings.sentry_dsn,
            environment=settings.environment,
            release=VERSION,
            send_default_pii=False,
            auto_session_tracking=False,
        )
    except BadDsn:
        logger.warning("SENTRY_DSN is malformed, errors are not tracked")
        return False
    return True
