"""Origins as browsers send them (WHATWG HTML, "serialization of an origin"; RFC 6454, section 6.2)."""

from __future__ import annotations

import ipaddress

OPAQUE = "null"
"""What browsers send for documents without an origin of their own, such as sandboxed frames: anybody's."""


def serialize_origin(origin: str) -> str:
    """The Origin header that a browser sends for pages at this address.

    Scheme and host are in lower case, the host's labels in ASCII (RFC 5890), and a scheme's default port is left out.

    Raises
    ------
    ValueError
        The text is no address with a scheme and a host.
    """
    import httpx

    try:
        address = httpx.URL(origin.strip())
        host = address.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError("is no origin") from error
    if not address.scheme or not host:
        raise ValueError("is no origin")
    if ":" in host:
        host = f"[{ipaddress.IPv6Address(host)}]"
    return f"{address.scheme}://{host}" + (f":{address.port}" if address.port is not None else "")


def origin_problem(origin: str) -> str:
    """Why no browser sends `origin` as it stands, or everybody's does; empty where one does."""
    if origin.strip().lower() == OPAQUE:
        return "is sent for documents without an origin, which are anybody's"
    try:
        sent = serialize_origin(origin)
    except ValueError:
        return "is no origin"
    return "" if sent == origin else f"is sent by no browser: they send {sent}"
