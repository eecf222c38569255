"""LNURL and Lightning addresses."""

import pytest

from payments import lnurl
from payments.errors import InvalidPayment
from tests import encode


def test_the_specification_s_example() -> None:
    (text,) = encode.vectors("lnurl")
    fields = lnurl.read(text)
    assert fields["domain"] == "service.com"
    assert fields["url"].startswith("https://service.com/api?q=3fc3645b439ce8e7")


def test_onion_services_may_use_http() -> None:
    assert lnurl.read(encode.lnurl("http://abc.onion/pay"))["domain"] == "abc.onion"


@pytest.mark.parametrize(
    "url", ["http://a.com/", "javascript:alert(1)", "https://", "ftp://a.com", "a", "https://[", "https://a.onion"]
)
def test_wrong_address_inside(url: str) -> None:
    with pytest.raises(InvalidPayment, match="address"):
        lnurl.read(encode.lnurl(url))


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InvalidPayment):
        lnurl.read(encode.bech32("lnurl", encode.to_words(b"\xff\xff")))


def test_another_prefix() -> None:
    with pytest.raises(InvalidPayment, match="prefix"):
        lnurl.read(encode.bech32("lnurk", []))


@pytest.mark.parametrize("text", ["satoshi@example.com", "a.b+c_d-1@pay.example.co.ke", "SATOSHI@Example.COM"])
def test_lightning_address(text: str) -> None:
    fields = lnurl.read_address(text)
    assert f"{fields['user']}@{fields['domain']}" == text.lower()
    assert fields["url"] == f"https://{fields['domain']}/.well-known/lnurlp/{fields['user']}"


@pytest.mark.parametrize(
    "text",
    ["@", "a@", "@b.com", "a@b", "a@b@c.com", "a b@c.com", "a@-b.com", "a@b..com", "<a>@b.com", "a@b.c", "a@b.com/x"],
)
def test_not_a_lightning_address(text: str) -> None:
    with pytest.raises(InvalidPayment):
        lnurl.read_address(text)
