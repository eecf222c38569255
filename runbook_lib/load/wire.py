"""Requests as the bytes that go over the wire, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runbook_lib.errors import ConfigurationError
from runbook_lib.load.interface import Call, Predicate, Profile

if TYPE_CHECKING:
    import httpx

PORTS: Final = {"http": 80, "https": 443}
MOST_CALLS: Final = 256
"""A sample keeps its call's place in one byte."""


@dataclass(frozen=True)
class Origin:
    """A server, as connections are made to it."""

    host: str
    port: int
    secure: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A call, ready to be sent."""

    place: int
    origin: Origin
    content: bytes
    status: frozenset[int]
    predicate: Predicate | None

    def problem(self, body: bytes) -> str:
        """What the predicate says of a body; one that raises has found something too."""
        try:
            return self.predicate(body) if self.predicate is not None else ""
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def why_not(profile: Profile) -> str:
    """What of the profile the built-in protocol does not speak; empty where it speaks all."""
    wanted = {
        "HTTP/2": profile.http2,
        "cookies": profile.cookies,
        "redirects that are followed": profile.follow_redirects,
        "a proxy": profile.proxy is not None,
        "HEAD requests": any(call.request.method == "HEAD" for call in profile.calls),
    }
    return " and ".join(name for name, asked in wanted.items() if asked)


def message(place: int, call: Call) -> Message:
    """The call at `place` of its profile. Raises ConfigurationError where HTTP does not allow it."""
    url = call.request.url
    if place >= MOST_CALLS:
        raise ConfigurationError(f"A load test has room for {MOST_CALLS} calls; '{call.title}' is one too many.")
    if url.scheme not in PORTS or not url.host:
        raise ConfigurationError(f"'{call.title}' goes to {url}, which is no http:// or https:// address.")
    origin = Origin(url.host, url.port or PORTS[url.scheme], url.scheme == "https")
    return Message(place, origin, _content(call), frozenset(call.status), call.predicate)


def _content(call: Call) -> bytes:
    """By h11, which adds what framing needs and refuses what could smuggle a second request in."""
    import h11

    request: httpx.Request = call.request
    body = request.read()
    connection = h11.Connection(h11.CLIENT)
    try:
        head = connection.send(
            h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        )
        parts = [head, connection.send(h11.Data(data=body)) if body else b"", connection.send(h11.EndOfMessage())]
    except h11.LocalProtocolError as error:
        raise ConfigurationError(f"'{call.title}' cannot be sent: {error}.") from error
    return b"".join(part for part in parts if part)
