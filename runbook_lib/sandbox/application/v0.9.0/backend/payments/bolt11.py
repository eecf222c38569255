"""Lightning invoices (BOLT 11). The signature is not verified: that is for the wallet that pays."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from payments.checksums import BECH32, bech32_decode, words_to_bytes, words_to_integer
from payments.errors import InvalidPayment

_NETWORKS = {"bc": "mainnet", "tb": "testnet", "tbs": "signet", "bcrt": "regtest"}
_PREFIX = re.compile(r"ln(bcrt|bc|tbs|tb)(?:([1-9][0-9]{0,17})([munp]?))?", re.ASCII)
# The amount is in bitcoin times the multiplier; these are its picobitcoin, of which ten are a millisatoshi.
_PICOBITCOIN = {"": 10**12, "m": 10**9, "u": 10**6, "n": 10**3, "p": 1}
_TIMESTAMP_WORDS = 7
_SIGNATURE_WORDS = 104
_HASH_WORDS = 52
_LONGEST = 4096
_PAYMENT_HASH, _DESCRIPTION, _EXPIRY = 1, 13, 6
_DEFAULT_EXPIRY_SECONDS = 3600
_LONGEST_EXPIRY_SECONDS = 10 * 365 * 24 * 3600


def read(content: str) -> dict[str, Any]:
    """The fields of an invoice. Raises InvalidPayment."""
    prefix, words, checksum = bech32_decode(content, longest=_LONGEST)
    match = _PREFIX.fullmatch(prefix)
    if match is None or checksum != BECH32 or len(words) < _TIMESTAMP_WORDS + _SIGNATURE_WORDS:
        raise InvalidPayment("this is not a Lightning invoice: its prefix or length is wrong")
    millisatoshis = None if match[2] is None else _millisatoshis(int(match[2]), match[3])
    created = datetime.fromtimestamp(words_to_integer(words[:_TIMESTAMP_WORDS]), UTC)
    tags = _tags(words[_TIMESTAMP_WORDS:-_SIGNATURE_WORDS])
    expiry = words_to_integer(tags[_EXPIRY]) if _EXPIRY in tags else _DEFAULT_EXPIRY_SECONDS
    return {
        "network": _NETWORKS[match[1]],
        "amount_msat": millisatoshis,
        "amount_sats": None if millisatoshis is None else millisatoshis // 1000,
        "payment_hash": _payment_hash(tags),
        "description": _description(tags),
        "created_at": created.isoformat(),
        "expires_at": (created + timedelta(seconds=min(expiry, _LONGEST_EXPIRY_SECONDS))).isoformat(),
    }


def _millisatoshis(number: int, multiplier: str) -> int:
    picobitcoin = number * _PICOBITCOIN[multiplier]
    if picobitcoin % 10:
        raise InvalidPayment("the amount is not a whole number of millisatoshis")
    return picobitcoin // 10


def _tags(words: list[int]) -> dict[int, list[int]]:
    """Each tag's words; where a tag occurs again, the first one counts."""
    found: dict[int, list[int]] = {}
    while words:
        length = words_to_integer(words[1:3])
        if len(words) < 3 + length:
            raise InvalidPayment("the invoice is cut short")
        found.setdefault(words[0], words[3 : 3 + length])
        words = words[3 + length :]
    return found


def _payment_hash(tags: dict[int, list[int]]) -> str:
    words = tags.get(_PAYMENT_HASH, [])
    if len(words) != _HASH_WORDS:
        raise InvalidPayment("the invoice has no payment hash")
    return words_to_bytes(words).hex()


def _description(tags: dict[int, list[int]]) -> str | None:
    if _DESCRIPTION not in tags:
        return None
    try:
        return words_to_bytes(tags[_DESCRIPTION]).decode()
    except UnicodeDecodeError as error:
        raise InvalidPayment("the description is not UTF-8") from error
