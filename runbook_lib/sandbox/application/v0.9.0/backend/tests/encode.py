"""Writing what the service reads, so that tests can make their own payment requests."""

from collections.abc import Iterable
from pathlib import Path

from payments.checksums import _BECH32_ALPHABET, BECH32, _polynomial

VECTORS = Path(__file__).parent / "vectors"


def vectors(name: str) -> list[str]:
    """The lines of one file of published examples."""
    return (VECTORS / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def bech32(prefix: str, words: Iterable[int], kind: int = BECH32) -> str:
    """The text of `words` with its checksum."""
    words = list(words)
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = _polynomial([*expanded, *words, 0, 0, 0, 0, 0, 0]) ^ kind
    words += [checksum >> 5 * place & 31 for place in reversed(range(6))]
    return f"{prefix}1{''.join(_BECH32_ALPHABET[word] for word in words)}"


def to_words(data: bytes) -> list[int]:
    """Bytes as words of 5 bits, the last one filled with zeros."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return [int(bits[place : place + 5], 2) for place in range(0, len(bits), 5)]


def number(value: int, words: int) -> list[int]:
    """`value` in so many words."""
    return [value >> 5 * place & 31 for place in reversed(range(words))]


def tag(kind: int, words: list[int]) -> list[int]:
    """One tagged field of an invoice."""
    return [kind, *number(len(words), 2), *words]


PAYMENT_HASH = tag(1, to_words(bytes(range(32))))
CREATED = 1_700_000_000


def invoice(prefix: str = "lnbc", tags: Iterable[int] = PAYMENT_HASH) -> str:
    """An invoice with the given amount in its prefix, and a signature of zeros."""
    return bech32(prefix, [*number(CREATED, 7), *tags, *[0] * 104])


def lnurl(url: str) -> str:
    """An LNURL that hides `url`."""
    return bech32("lnurl", to_words(url.encode()))
