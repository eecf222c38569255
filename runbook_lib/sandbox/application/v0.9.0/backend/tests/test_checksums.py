"""Bech32, bech32m and Base58Check."""

import pytest

from payments.checksums import BECH32, BECH32M, base58check_decode, bech32_decode, words_to_bytes, words_to_integer
from payments.errors import InvalidPayment
from tests.encode import bech32, to_words


@pytest.mark.parametrize("kind", [BECH32, BECH32M])
@pytest.mark.parametrize("data", [b"", b"\x00", b"twiga", bytes(range(40))])
def test_what_is_written_is_read(kind: int, data: bytes) -> None:
    prefix, words, found = bech32_decode(bech32("ab", to_words(data), kind))
    assert (prefix, words_to_bytes(words), found) == ("ab", data, kind)


@pytest.mark.parametrize("place", range(3, 17))
def test_every_changed_character_is_noticed(place: int) -> None:
    sound = bech32("ab", to_words(b"twiga"))
    changed = sound[:place] + ("q" if sound[place] != "q" else "p") + sound[place + 1 :]
    with pytest.raises(InvalidPayment, match="checksum"):
        bech32_decode(changed)


@pytest.mark.parametrize(
    "text", ["", "1", "ab1", "ab1qqqqq", "1qqqqqqqq", "abqqqqqqqq", "ab1bbbbbbb", "a b1qqqqqqq", "ä1qqqqqqq"]
)
def test_what_is_not_bech32(text: str) -> None:
    with pytest.raises(InvalidPayment):
        bech32_decode(text)


def test_length_is_limited() -> None:
    long = bech32("ab", [0] * 90)
    with pytest.raises(InvalidPayment, match="length"):
        bech32_decode(long)
    assert len(bech32_decode(long, longest=200)[1]) == 90


@pytest.mark.parametrize("words", [[0], [1, 1], [0, 1]])
def test_wrong_padding(words: list[int]) -> None:
    with pytest.raises(InvalidPayment, match="padding"):
        words_to_bytes(words)


def test_words_as_a_number() -> None:
    assert words_to_integer([1, 2, 3]) == 1 * 1024 + 2 * 32 + 3


def test_base58_keeps_leading_zeros() -> None:
    assert base58check_decode("1111111111111111111114oLvT2") == bytes(21)
