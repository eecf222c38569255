"""Bitcoin addresses, by the examples that BIP 173 and BIP 350 publish and by well-known ones."""

import pytest

from payments import address
from payments.checksums import BECH32M
from payments.errors import InvalidPayment
from tests.encode import bech32, to_words, vectors


@pytest.mark.parametrize("line", vectors("addresses_valid"))
def test_valid(line: str) -> None:
    text, network = line.split()
    assert address.network(text) == network


@pytest.mark.parametrize("text", [*vectors("addresses_invalid"), "", "bc1", "<b>"])
def test_invalid(text: str) -> None:
    with pytest.raises(InvalidPayment):
        address.network(text)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="no version"),
        pytest.param([17, *to_words(bytes(32))], id="version above 16"),
        pytest.param([1, *to_words(bytes(1))], id="program too short"),
        pytest.param([1, *to_words(bytes(41))], id="program too long"),
    ],
)
def test_invalid_witness(words: list[int]) -> None:
    with pytest.raises(InvalidPayment):
        address.network(bech32("bc", words, BECH32M))
