"""Each request: one log line, one count."""

import logging
import logging.config
import re
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import metrics

MARKER = "x-runbook"
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._:/?&=%+@~-]")
_LONGEST = 200

logger = logging.getLogger("twiga.request")


def log_to_stdout(debug: bool) -> None:
    """Send our own log lines to standard output, times in UTC."""
    logging.Formatter.converter = time.gmtime
    line = {"format": "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "datefmt": "%Y-%m-%dT%H:%M:%S"}
    configuration: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
        "loggers": {"twiga": {"handlers": ["stdout"], "level": "DEBUG" if debug else "INFO"}},
    }
    logging.config.dictConfig(configuration)


def safe(text: str) -> str:
    """`text` on one line, short, and without characters that could forge another line or field."""
    return _UNSAFE.sub("_", text[:_LONGEST])


class Observed:
    """ASGI middleware that watches what the application answers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; record how it ended, even by an exception."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            _record(scope, status, time.perf_counter() - started)


def _record(scope: Scope, status: int, seconds: float) -> None:
    metrics.count(scope["method"], getattr(scope.get("route"), "path", "unmatched"), status, seconds)
    marker = Headers(scope=scope).get(MARKER)
    logger.info(
        "method=%s path=%s status=%d ms=%.1f%s",
        safe(scope["method"]),
        safe((scope.get("raw_path") or b"").decode("latin-1")).replace(" ", "_"),
        status,
        seconds * 1000,
        f' runbook="{safe(marker)}"' if marker else "",
    )
