"""One door for all kinds of payment requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from payments import bip21, bolt11, lnurl
from payments.errors import InvalidPayment

_INVOICES = ("lnbc", "lntb", "lntbs", "lnbcrt")


@dataclass(frozen=True)
class Payment:
    """A payment request: its type, and the fields that this type has."""

    type: str
    fields: dict[str, Any]


def read(content: str) -> Payment:
    """Read `content` as BIP 21, BOLT 11, LNURL or Lightning address. Raises InvalidPayment."""
    content = content.strip()
    scheme, _, rest = content.partition(":")
    if scheme.lower() == "lightning":
        content = rest
    # Lone surrogates could not be stored, and nothing invisible belongs into a payment request.
    if not content.isprintable():
        raise InvalidPayment("there is a character that cannot be printed")
    name, reader = _reader(content.lower())
    fields = reader(content)
    if _has_nul(fields):
        raise InvalidPayment("there is a NUL character, which cannot be stored")
    return Payment(name, fields)


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, str) and "\x00" in value


def _reader(content: str) -> tuple[str, Callable[[str], dict[str, Any]]]:
    if content.startswith("bitcoin:"):
        return "bip21", bip21.read
    if "@" in content:
        return "lightning_address", lnurl.read_address
    if content.startswith("lnurl1"):
        return "lnurl", lnurl.read
    if content.startswith(_INVOICES):
        return "bolt11", bolt11.read
    raise InvalidPayment("this is no bitcoin address, Lightning invoice, LNURL or Lightning address")
