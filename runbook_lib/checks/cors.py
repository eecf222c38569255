"""Which origins browsers may call the service from, asked on the wire (WHATWG Fetch, CORS protocol)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from runbook_lib import platforms
from runbook_lib.checks import dotenv, http, staging
from runbook_lib.checks.origins import OPAQUE, origin_problem, serialize_origin
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.step import Finding, Table, check

if TYPE_CHECKING:
    import httpx

FOREIGN: Final = "https://foreign-origin.example"
SERVICE: Final = "backend"
"""The service that answers preflights, and reads the .env file when it starts."""
ALLOWED: Final = "access-control-allow-origin"


@dataclass(frozen=True)
class Asked:
    """The environment whose service was asked, and why it was that one."""

    env: Environment
    why: str


@dataclass(frozen=True)
class Reply:
    """What one request with an Origin was answered."""

    origin: str
    request: str
    status: int
    allowed: str | None


def whom_to_ask(env: Environment) -> Asked:
    """`env` itself, where its service runs with the settings that stand in the .env file now; else its staging.

    Before a deployment the running service may still have its earlier settings: its answers would be about those.

    Raises
    ------
    Waiting
        Neither runs with its present settings: the deployment is awaited.
    """
    stale = _why_not(env)
    if not stale:
        return Asked(env, f"{env.name}, which runs with its present settings")
    if env.staging is None:
        raise Waiting(f"{stale}, and no staging is declared", remedy="run the item again after the deployment (8.1)")
    other = staging.of(env)
    also_stale = _why_not(other)
    if also_stale:
        raise Waiting(f"{stale}; {also_stale}", remedy="run the item again after the deployment (7.1.1, 8.1)")
    return Asked(other, f"{other.name}, since {stale}; phase 12 asks {env.name} after the deployment")


def _why_not(env: Environment) -> str:
    """Why the running service says nothing about the settings in the .env file; empty where it does."""
    running = next((one for one in platforms.connect(env).services() if one.name == SERVICE), None)
    if running is None or not running.up or running.started is None:
        return f"the {SERVICE} of {env.name} does not run"
    try:
        written = datetime.fromtimestamp(env.dotenv.file.stat().st_mtime, UTC)
    except FileNotFoundError as error:
        raise Unanswerable(f"{env.dotenv.file} does not exist", remedy="run item 1.1") from error
    # The platform may know the start to the second only.
    if running.started >= written.replace(microsecond=0):
        return ""
    since, changed = f"{running.started:%Y-%m-%d %H:%M:%S}", f"{written:%Y-%m-%d %H:%M:%S}"
    return f"the {SERVICE} of {env.name} runs since {since} UTC, with settings from before {changed} UTC"


@contextmanager
def _as_browser(env: Environment, origin: str) -> Iterator[httpx.Client]:
    with http.client(env) as via:
        via.headers["Origin"] = origin
        yield via


def preflight(env: Environment, origin: str) -> Reply:
    """What a browser asks before a page of `origin` may send ``api.accepted``; no answer raises Unanswerable."""
    request = env.api.accepted
    with _as_browser(env, origin) as via:
        via.headers["Access-Control-Request-Method"] = request.method
        via.headers["Access-Control-Request-Headers"] = "content-type"
        return _reply(env, origin, Request(method="OPTIONS", path=request.path), via)


def read_across(env: Environment, origin: str) -> Reply:
    """A plain read of ``api.providers`` by a page of `origin`; no answer raises Unanswerable."""
    with _as_browser(env, origin) as via:
        return _reply(env, origin, Request(method="GET", path=env.api.providers.path), via)


def _reply(env: Environment, origin: str, request: Request, via: httpx.Client) -> Reply:
    import httpx

    try:
        answer = http.ask(env, request, via=via)
    except httpx.TransportError as error:
        raise Unanswerable(
            f"{env.web.address(request.path)} gave no answer: {error or type(error).__name__}",
            remedy="bring the service up first (8.2)",
        ) from error
    return Reply(origin, f"{request.method} {request.path}", answer.status, answer.headers.get(ALLOWED))


def declared(env: Environment) -> tuple[str, ...]:
    """The origins in the .env file. Raises Unanswerable where there are none, or they are no list."""
    try:
        listed = dotenv.origins(dotenv.read(env.dotenv.file).get("CORS_ORIGINS", ""))
    except ValueError as error:
        raise Unanswerable(f"CORS_ORIGINS is no list: {error}", remedy="correct it (1.2.7)") from error
    if not listed:
        raise Unanswerable("CORS_ORIGINS names no origin to ask for", remedy="declare it (1.2.7)")
    return listed


def foreign(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Origins that must not be let in: a stranger, a document without one, and those that look like one of `origins`.

    A service that compares by prefix, or by an unanchored pattern, takes the last ones for its own.
    """
    lookalikes = (_lookalike(origin) for origin in origins if not origin_problem(origin))
    return tuple(dict.fromkeys((FOREIGN, OPAQUE, *lookalikes)))


def _lookalike(origin: str) -> str:
    """A foreign host that begins as the one in `origin` does, at the same port."""
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.hostname}.{urlsplit(FOREIGN).hostname}" + (f":{parts.port}" if parts.port else "")


def _as_sent(origin: str) -> str:
    """`origin` as a browser sends it, as it stands where none would send anything like it."""
    try:
        return serialize_origin(origin)
    except ValueError:
        return origin


@check("Browsers may not call {env} from foreign origins")
def foreign_origins_refused(env: Environment) -> Finding:
    """5.4.1: neither a preflight nor a read from a foreign origin gets an Access-Control-Allow-Origin.

    Raises
    ------
    Unanswerable
        The service or the platform does not answer.
    Waiting
        No service runs with the present settings yet.
    """
    asked = whom_to_ask(env)
    replies = [ask(asked.env, origin) for origin in foreign(declared(asked.env)) for ask in (preflight, read_across)]
    allowed = [reply for reply in replies if reply.allowed is not None]
    broken = [reply for reply in replies if reply.status >= 500]
    if broken and not allowed:
        raise Unanswerable(
            f"{broken[0].request} was answered with {broken[0].status}", remedy="bring the service up first (8.3)"
        )
    return Finding(
        ok=not allowed,
        observed={
            "asked": asked.why,
            "let in": [f"{reply.origin} by {reply.request}: {reply.allowed}" for reply in allowed],
        },
        expected="no Access-Control-Allow-Origin for any of them",
        remedy="let the service allow the origins of CORS_ORIGINS only, each compared as a whole; look at the edge too",
        tables=(_table(replies),),
    )


@check("Browsers may call {env} from its declared origins")
def declared_origins_allowed(env: Environment) -> Finding:
    """5.4.2: a preflight from each origin in the .env file, as a browser sends it, is answered with 2xx and with it.

    Raises
    ------
    Unanswerable
        The service or the platform does not answer, or no origin is declared.
    Waiting
        No service runs with the present settings yet.
    """
    asked = whom_to_ask(env)
    replies = [preflight(asked.env, _as_sent(origin)) for origin in declared(asked.env)]
    refused = [reply for reply in replies if not (200 <= reply.status < 300 and reply.allowed == reply.origin)]
    return Finding(
        ok=not refused,
        observed={
            "asked": asked.why,
            "refused": [f"{one.origin}: {one.status}, {one.allowed or 'no origin allowed'}" for one in refused],
        },
        expected={"allowed": [reply.origin for reply in replies]},
        remedy="see that the service reads CORS_ORIGINS, and that the edge lets OPTIONS through",
        tables=(_table(replies),),
    )


def _table(replies: list[Reply]) -> Table:
    return Table(
        ("origin", "request", "status", "Access-Control-Allow-Origin"),
        tuple((one.origin, one.request, one.status, one.allowed or "none") for one in replies),
    )
