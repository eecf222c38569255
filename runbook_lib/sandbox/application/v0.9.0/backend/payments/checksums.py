"""Bech32 and bech32m (BIP 173, BIP 350) and Base58Check, for reading."""

from collections.abc import Iterable
from hashlib import sha256

from payments.errors import InvalidPayment

BECH32 = 1
BECH32M = 0x2BC830A3

_BECH32_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # pragma: allowlist secret
_BASE58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"  # pragma: allowlist secret
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_WORDS = 6
_CHECKSUM_BYTES = 4


def bech32_decode(text: str, *, longest: int = 90) -> tuple[str, list[int], int]:
    """Split `text` into its human-readable part, its words of 5 bits, and which checksum it has.

    Raises InvalidPayment where case is mixed, a character is foreign, it is too long, or the checksum is wrong.
    """
    if text.lower() != text and text.upper() != text:
        raise InvalidPayment("upper and lower case are mixed")
    text = text.lower()
    prefix, separator, data = text.rpartition("1")
    if not separator or not prefix or len(data) < _CHECKSUM_WORDS or len(text) > longest:
        raise InvalidPayment("this is not bech32: the length or the separator is wrong")
    if any(not "!" <= character <= "~" for character in prefix) or any(c not in _BECH32_ALPHABET for c in data):
        raise InvalidPayment("this is not bech32: there is a character that may not occur")
    words = [_BECH32_ALPHABET.index(character) for character in data]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = _polynomial(expanded + words)
    if checksum not in (BECH32, BECH32M):
        raise InvalidPayment("the bech32 checksum is wrong")
    return prefix, words[:-_CHECKSUM_WORDS], checksum


def _polynomial(values: Iterable[int]) -> int:
    """The remainder of BIP 173's BCH code."""
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            remainder ^= generator if top >> bit & 1 else 0
    return remainder


def words_to_bytes(words: Iterable[int]) -> bytes:
    """Join words of 5 bits to bytes. Raises InvalidPayment where the padding is not less than 5 zero bits."""
    value = bits = 0
    for word in words:
        value = value << 5 | word
        bits += 5
    padding = bits % 8
    if padding >= 5 or value & ((1 << padding) - 1):
        raise InvalidPayment("the bech32 padding is wrong")
    return (value >> padding).to_bytes(bits // 8, "big")


def words_to_integer(words: Iterable[int]) -> int:
    """Read words of 5 bits as one number, the greatest first."""
    value = 0
    for word in words:
        value = value << 5 | word
    return value


def base58check_decode(text: str) -> bytes:
    """The payload of Base58Check, its version byte first. Raises InvalidPayment."""
    value = 0
    for character in text:
        digit = _BASE58_ALPHABET.find(character)
        if digit < 0:
            raise InvalidPayment("this is not Base58: there is a character that may not occur")
        value = value * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    raw = bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")
    payload, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not payload or sha256(sha256(payload).digest()).digest()[:_CHECKSUM_BYTES] != checksum:
        raise InvalidPayment("the Base58 checksum is wrong")
    return payload
