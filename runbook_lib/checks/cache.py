"""Redis or Valkey, by the application's own URL."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit, urlunsplit

from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.step import Finding, check

if TYPE_CHECKING:
    import redis

KEY_SECONDS: Final = 30
"""After this our key is gone, even where we could not remove it."""


def _url(env: Environment) -> str:
    """The application's URL, under a scheme that the client knows."""
    if env.cache is None:
        raise NotApplicable(f"{env.name}.toml declares no [cache]")
    url = env.cache.url.resolve().get_secret_value()
    scheme, separator, rest = url.partition("://")
    known = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
    if not separator or scheme not in known:
        raise Unanswerable(f"the cache's URL has the scheme {scheme[:12]!r}", remedy="use redis:// or rediss://")
    return f"{known[scheme]}://{rest}"


def _connect(env: Environment, url: str) -> redis.Redis:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        url,
        socket_timeout=env.limits.request,
        socket_connect_timeout=env.limits.request,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


@check("The cache answers PING")
def answers(env: Environment) -> Finding:
    """9.4: PING by the application's URL is answered with PONG."""
    import redis

    remedy = "see that the cache runs, and that REDIS_URL has its address and password"
    with _connect(env, _url(env)) as cache:
        started = time.monotonic()
        try:
            alive = bool(cache.ping())
        except redis.RedisError as error:
            return Finding(False, f"{type(error).__name__}: {error}", "PONG", remedy)
        milliseconds = (time.monotonic() - started) * 1000
    return Finding(alive, f"{'PONG' if alive else 'another answer'} in {milliseconds:.1f} ms", "PONG", remedy)


@check("A key makes the round trip through the cache")
def round_trip(env: Environment) -> Finding:
    """9.4: a key of our own, which expires by itself, is written, read, and removed."""
    import redis

    key, value = f"runbook:{secrets.token_hex(8)}", secrets.token_hex(8)
    expected = f"the value written, expiring within {KEY_SECONDS} s, and gone once removed"
    remedy = "see the cache's memory limit, its persistence errors, and whether it is a read-only replica"
    with _connect(env, _url(env)) as cache:
        try:
            cache.set(key, value, ex=KEY_SECONDS)
            same, expires = cache.get(key) == value, cache.ttl(key)
            cache.delete(key)
            gone = not cache.exists(key)
        except redis.RedisError as error:
            return Finding(False, f"{type(error).__name__}: {error}", expected, remedy)
    return Finding(
        ok=same and gone and 0 < int(expires) <= KEY_SECONDS,
        observed=f"{'the value written' if same else 'another value'}, "
        f"expiring in {expires} s, {'gone' if gone else 'still there'} once removed",
        expected=expected,
        remedy=remedy,
    )


@check("The cache refuses a wrong password, and none")
def refuses_strangers(env: Environment) -> Finding:
    """9.4: PING is refused after a wrong password and without one."""
    url = _url(env)
    seen = {
        "a wrong password": _greeting(env, _with_password(url, secrets.token_hex(16))),
        "no password": _greeting(env, _with_password(url, None)),
    }
    return Finding(
        ok=all(answer == "refused" for answer in seen.values()),
        observed=seen,
        expected=dict.fromkeys(seen, "refused"),
        remedy="set requirepass or an ACL, and put the password into REDIS_URL (1.2.6)",
    )


def _greeting(env: Environment, url: str) -> str:
    """``refused``, or that it let us in. Raises Unanswerable where the cache cannot be reached."""
    import redis

    with _connect(env, url) as cache:
        try:
            cache.ping()
        except redis.AuthenticationError:
            return "refused"
        except redis.RedisError as error:
            raise Unanswerable(f"the cache could not be asked: {error}", remedy="see that the cache runs") from error
    return "let in"


def _with_password(url: str, password: str | None) -> str:
    parts = urlsplit(url)
    user = f"{quote(parts.username or '', safe='')}:{password}@" if password else ""
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=user + address))
