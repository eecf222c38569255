"""The .env file of each stack, written once; afterwards only its ports follow where they moved to."""

from __future__ import annotations

import re
import secrets

from runbook_lib.sandbox import postgres, tracker, valkey
from runbook_lib.sandbox.layout import EDGE, INNER, Ports, Stack, write

_STAGING = """\
# Settings of the application on the sandbox's staging stack; complete.
ENVIRONMENT=staging
DEBUG=false
SECRET_KEY={secret_key}
JWT_SECRET_KEY={jwt_secret_key}
"""
_PRODUCTION = """\
# Settings of the application on the sandbox's production stack; phase 1 of the runbook completes them.
ENVIRONMENT=development
DEBUG=true
SECRET_KEY=change-me-to-a-random-string
JWT_SECRET_KEY=change-me-to-another-random-string
"""
_COMMON = """
# Database and cache
POSTGRES_PASSWORD={password}
DATABASE_URL=postgresql://{role}:{password}@{inner}:{database}/{role}
REDIS_URL=redis://:{cache_password}@{inner}:{cache}/0

# At most so many scans for each client in a window of so many seconds
RATE_LIMIT={rate_limit}
RATE_LIMIT_WINDOW={rate_window}

# What browsers may call from, and monitoring
CORS_ORIGINS={origin}
SENTRY_DSN={dsn}
PROMETHEUS_ENABLED=true
"""
RATE_LIMIT = 60
RATE_WINDOW_SECONDS = 3


def origin(ports: Ports) -> str:
    """How browsers name the edge."""
    return f"https://{EDGE}:{ports.https}"


def create(stack: Stack, ports: Ports) -> None:
    """Write the .env file where there is none yet."""
    if stack.dotenv.is_file():
        return
    staging = stack.kind == "staging"
    text = ((_STAGING if staging else _PRODUCTION) + _COMMON).format(
        secret_key=secrets.token_urlsafe(32),
        jwt_secret_key=secrets.token_urlsafe(32),
        role=postgres.ROLE,
        password=secrets.token_urlsafe(24),
        cache_password=valkey.password(stack),
        inner=INNER,
        database=ports.database,
        cache=ports.cache,
        rate_limit=RATE_LIMIT,
        rate_window=RATE_WINDOW_SECONDS,
        origin=origin(ports) if staging else "http://localhost:5173",
        dsn=tracker.dsn(stack, ports) if staging else "",
    )
    write(stack.dotenv, text)


def values(stack: Stack) -> dict[str, str]:
    """What the .env file holds now."""
    from dotenv import dotenv_values

    held = dotenv_values(stack.dotenv, interpolate=False)
    return {name: value for name, value in held.items() if value is not None}


def move(stack: Stack, old: Ports, new: Ports) -> None:
    """Let every address in the .env file that names one of the stack's ports follow to the new ones."""
    text = stack.dotenv.read_text(encoding="utf-8")

    def follow(match: re.Match[str]) -> str:
        port = int(match["port"])
        return f"{match['host']}:{port - old.base + new.base if old.base <= port <= old.last else port}"

    addresses = re.compile(rf"(?P<host>{re.escape(INNER)}|{re.escape(EDGE)}):(?P<port>\d+)\b")
    write(stack.dotenv, addresses.sub(follow, text))
