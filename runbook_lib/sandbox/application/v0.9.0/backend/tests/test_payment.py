"""Which reader is asked."""

import pytest

from payments import payment
from payments.errors import InvalidPayment
from tests import encode


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "bip21"),
        ("BITCOIN:BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4?AMOUNT=1", "bip21"),
        ("bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2?label=a@b.com", "bip21"),
        (encode.invoice(), "bolt11"),
        (f"lightning:{encode.invoice()}", "bolt11"),
        (f"LIGHTNING:{encode.invoice().upper()}", "bolt11"),
        (encode.lnurl("https://a.com"), "lnurl"),
        (f"lightning:{encode.lnurl('https://a.com')}", "lnurl"),
        ("satoshi@example.com", "lightning_address"),
        ("  satoshi@example.com\n", "lightning_address"),
    ],
)
def test_type(content: str, kind: str) -> None:
    assert payment.read(content).type == kind


@pytest.mark.parametrize(
    "content", ["", " ", "hello", "https://example.com", "lightning:", "<script>alert(1)</script>"]
)
def test_no_payment_request(content: str) -> None:
    with pytest.raises(InvalidPayment, match="this is no"):
        payment.read(content)


@pytest.mark.parametrize("character", ["\x00", "\ud800", "\u202e", "\n"])
def test_invisible_characters(character: str) -> None:
    with pytest.raises(InvalidPayment, match="printed"):
        payment.read(f"satoshi{character}@example.com")


@pytest.mark.parametrize(
    "content",
    [
        "bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2?label=%00",
        "bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2?x=a%00",
        "bitcoin:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2?%00=a",
        encode.lnurl("https://a.com/\x00"),
        encode.invoice(tags=[*encode.PAYMENT_HASH, *encode.tag(13, encode.to_words(b"a\x00"))]),
    ],
)
def test_hidden_nul_characters(content: str) -> None:
    """PostgreSQL stores none in text, and cannot look into JSON that holds one."""
    with pytest.raises(InvalidPayment, match="NUL"):
        payment.read(content)
