"""At most so many scans for each client in a window, counted in Redis for all workers together."""

import hashlib
import hmac
import logging
import time
from dataclasses import dataclass
from functools import lru_cache

from fastapi import HTTPException, Request, Response
from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from settings import settings

logger = logging.getLogger("twiga.limiter")


@dataclass(frozen=True)
class Allowance:
    """What a client has left: requests in this window, and whole seconds until the next."""

    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The header fields of draft-ietf-httpapi-ratelimit-headers-06."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


@lru_cache
def _limiter() -> FixedWindowRateLimiter:
    """Counts in Redis, or in this process's memory where no Redis is configured."""
    if not settings().redis_url:
        return FixedWindowRateLimiter(storage_from_string("memory://"))
    url = settings().redis_url.replace("valkey", "redis", 1)
    waits = {"socket_timeout": 1, "socket_connect_timeout": 1}
    return FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **waits))


def prepare() -> None:
    """Make the limiter before the first request: made by several requests at once, its library fails to load Redis."""
    _limiter()


def ping() -> None:
    """Raise ConnectionError where Redis does not answer."""
    if not _limiter().storage.check():
        raise ConnectionError("Redis does not answer")


def limited(request: Request, response: Response) -> dict[str, str]:
    """Count this request; the header fields that tell the client what it has left.

    Raises HTTPException 429 where nothing was left. Where Redis does not answer, scanning goes on without a limit:
    a payment that cannot be scanned costs more than some requests too many. /monitoring/health/detailed says so.
    """
    client = request.client.host if request.client else "unknown"
    try:
        allowed, allowance = _count(client)
    except StorageError:
        logger.warning("Redis does not answer, rate limits are suspended")
        return {}
    if not allowed:
        retry = {"Retry-After": str(allowance.reset), **allowance.headers}
        raise HTTPException(429, "too many scans, please wait", headers=retry)
    response.headers.update(allowance.headers)
    return allowance.headers


def _count(client: str) -> tuple[bool, Allowance]:
    # A keyed digest, so that Redis never holds who our users are.
    key = hmac.new(settings().secret_key.encode(), client.encode(), hashlib.sha256).hexdigest()
    limit = RateLimitItemPerSecond(settings().rate_limit, settings().rate_limit_window)
    allowed = _limiter().hit(limit, "scan", key)
    window = _limiter().get_window_stats(limit, "scan", key)
    reset = max(1, round(window.reset_time - time.time() + 0.5))
    return allowed, Allowance(settings().rate_limit, window.remaining, reset)
