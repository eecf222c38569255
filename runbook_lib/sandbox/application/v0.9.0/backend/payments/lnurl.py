"""LNURL (LUD 01) and Lightning addresses (LUD 16)."""

import re
from typing import Any
from urllib.parse import urlsplit

from payments.checksums import BECH32, bech32_decode, words_to_bytes
from payments.errors import InvalidPayment

_LONGEST = 2000
_ADDRESS = re.compile(r"([a-z0-9._+-]{1,64})@((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})", re.ASCII)


def read(content: str) -> dict[str, Any]:
    """The address that an LNURL hides. Raises InvalidPayment."""
    prefix, words, checksum = bech32_decode(content, longest=_LONGEST)
    if prefix != "lnurl" or checksum != BECH32:
        raise InvalidPayment("this is not an LNURL: its prefix is wrong")
    try:
        url = words_to_bytes(words).decode()
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise InvalidPayment("the LNURL hides no address") from error
    if not host or parts.scheme != ("http" if host.endswith(".onion") else "https"):
        raise InvalidPayment("the LNURL hides no https address")
    return {"url": url, "domain": host}


def read_address(content: str) -> dict[str, Any]:
    """The parts of ``user@domain``. Raises InvalidPayment."""
    match = _ADDRESS.fullmatch(content.lower())
    if match is None:
        raise InvalidPayment("this is not a Lightning address")
    user, domain = match.groups()
    return {"user": user, "domain": domain, "url": f"https://{domain}/.well-known/lnurlp/{user}"}
