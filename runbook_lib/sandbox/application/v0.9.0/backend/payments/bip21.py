"""``bitcoin:`` addresses with their parameters (BIP 21)."""

import re
from typing import Any
from urllib.parse import parse_qsl

from payments import address
from payments.errors import InvalidPayment

SATOSHIS_PER_BITCOIN = 100_000_000
_AMOUNT = re.compile(r"([0-9]{1,8})(?:\.([0-9]{1,8}))?", re.ASCII)
_MOST_BITCOIN = 21_000_000


def read(content: str) -> dict[str, Any]:
    """The fields of `content`, which starts with ``bitcoin:``. Raises InvalidPayment."""
    location, _, query = content.partition(":")[2].partition("?")
    parameters = _parameters(query)
    amount = parameters.pop("amount", None)
    return {
        "address": location,
        "network": address.network(location),
        "amount_sats": None if amount is None else _satoshis(amount),
        "label": parameters.pop("label", None),
        "message": parameters.pop("message", None),
        "other": parameters,
    }


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError as error:
        raise InvalidPayment("the parameters are malformed") from error
    found = {name.lower(): value for name, value in pairs}
    if len(found) != len(pairs):
        raise InvalidPayment("a parameter occurs twice")
    if any(name.startswith("req-") for name in found):
        raise InvalidPayment("a parameter is required that we do not know")
    return found


def _satoshis(amount: str) -> int:
    """`amount` is in bitcoin, with at most eight decimal places."""
    match = _AMOUNT.fullmatch(amount)
    if match is None:
        raise InvalidPayment("the amount is not a decimal number of bitcoin")
    satoshis = int(match[1]) * SATOSHIS_PER_BITCOIN + int((match[2] or "").ljust(8, "0"))
    if satoshis > _MOST_BITCOIN * SATOSHIS_PER_BITCOIN:
        raise InvalidPayment("the amount is more than all bitcoin there will be")
    return satoshis
