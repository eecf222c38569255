"""``bitcoin:`` addresses with parameters."""

import pytest

from payments import bip21
from payments.errors import InvalidPayment

ADDRESS = "bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"


def test_address_alone() -> None:
    fields = bip21.read(ADDRESS)
    assert fields["address"] == ADDRESS.removeprefix("bitcoin:")
    assert (fields["network"], fields["amount_sats"], fields["other"]) == ("mainnet", None, {})


@pytest.mark.parametrize(
    ("amount", "satoshis"),
    [("0", 0), ("1", 100_000_000), ("0.00000001", 1), ("20.3", 2_030_000_000), ("21000000", 2_100_000_000_000_000)],
)
def test_amount(amount: str, satoshis: int) -> None:
    assert bip21.read(f"{ADDRESS}?amount={amount}")["amount_sats"] == satoshis


@pytest.mark.parametrize("amount", ["", "-1", "1,5", "1e3", ".5", "5.", "0.000000001", "21000000.1", "٣", "1 ", "NaN"])
def test_wrong_amount(amount: str) -> None:
    with pytest.raises(InvalidPayment, match="amount"):
        bip21.read(f"{ADDRESS}?amount={amount}")


def test_texts_are_decoded_and_kept_as_they_are() -> None:
    fields = bip21.read(f"{ADDRESS}?label=Luke%20%3Cb%3E&message=Gift&lightning=lnbc1")
    assert (fields["label"], fields["message"], fields["other"]) == ("Luke <b>", "Gift", {"lightning": "lnbc1"})


@pytest.mark.parametrize("query", ["amount", "amount=1&amount=2", "amount=1&AMOUNT=2", "req-pay=1", "label=%ff", "&"])
def test_wrong_parameters(query: str) -> None:
    with pytest.raises(InvalidPayment):
        bip21.read(f"{ADDRESS}?{query}")
