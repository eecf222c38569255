"""Lightning invoices, by BOLT 11's own example and by some of our making."""

import pytest

from payments import bolt11
from payments.errors import InvalidPayment
from tests.encode import CREATED, PAYMENT_HASH, bech32, invoice, number, tag, to_words, vectors


def test_the_specification_s_example() -> None:
    (text,) = vectors("invoice_any_amount")
    fields = bolt11.read(text)
    assert fields["description"] == "Please consider supporting this project"
    assert fields["payment_hash"] == "0001020304050607080900010203040506070809000102030405060708090102"
    assert fields["created_at"] == "2017-06-01T10:57:38+00:00"
    assert fields["amount_sats"] is None


@pytest.mark.parametrize(
    ("prefix", "millisatoshis"),
    [
        ("lnbc", None),
        ("lnbc1", 100_000_000_000),
        ("lnbc20m", 2_000_000_000),
        ("lnbc2500u", 250_000_000),
        ("lnbc15n", 1_500),
        ("lnbc2500000010p", 250_000_001),
    ],
)
def test_amount(prefix: str, millisatoshis: int | None) -> None:
    fields = bolt11.read(invoice(prefix))
    assert fields["amount_msat"] == millisatoshis
    assert fields["amount_sats"] == (None if millisatoshis is None else millisatoshis // 1000)


@pytest.mark.parametrize("prefix", ["lnbc1p", "lnbc01u", "lnbc5x", "lnbcm", "lnxy", "bc"])
def test_wrong_prefix_or_amount(prefix: str) -> None:
    with pytest.raises(InvalidPayment):
        bolt11.read(invoice(prefix))


@pytest.mark.parametrize(("prefix", "network"), [("lntb", "testnet"), ("lntbs", "signet"), ("lnbcrt", "regtest")])
def test_networks(prefix: str, network: str) -> None:
    assert bolt11.read(invoice(prefix))["network"] == network


def test_expiry() -> None:
    assert bolt11.read(invoice())["expires_at"] == "2023-11-14T23:13:20+00:00"
    minute = [*PAYMENT_HASH, *tag(6, number(60, 2))]
    assert bolt11.read(invoice(tags=minute))["expires_at"] == "2023-11-14T22:14:20+00:00"
    for_ever = [*PAYMENT_HASH, *tag(6, [31] * 200)]
    assert bolt11.read(invoice(tags=for_ever))["expires_at"].startswith("2033")


def test_upper_case_is_the_same() -> None:
    assert bolt11.read(invoice().upper()) == bolt11.read(invoice())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(invoice(tags=[]), id="no payment hash"),
        pytest.param(invoice(tags=tag(1, [0] * 51)), id="short payment hash"),
        pytest.param(invoice(tags=[1, 31, 31, 0]), id="tag longer than the invoice"),
        pytest.param(invoice(tags=[1, 31]), id="tag without a length"),
        pytest.param(invoice(tags=[*PAYMENT_HASH, *tag(13, to_words(b"\xff\xfe"))]), id="description not UTF-8"),
        pytest.param(bech32("lnbc", number(CREATED, 7)), id="no signature"),
        pytest.param(invoice()[:-1] + "q", id="wrong checksum"),
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(InvalidPayment):
        bolt11.read(text)
