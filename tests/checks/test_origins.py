from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks.dotenv import origin_fault
from runbook_lib.checks.origins import origin_problem, serialize_origin

SENT = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}" + (f":{port}" if port else ""),
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-z][a-z0-9]{0,8}\.[a-z]{2,5}", fullmatch=True),
    st.none() | st.integers(1024, 65535),
)


@given(SENT)
def test_what_a_browser_sends_is_left_as_it_is(origin):
    assert serialize_origin(origin) == origin
    assert origin_problem(origin) == ""


@given(st.text())
def test_any_text_is_judged(text):
    assert isinstance(origin_problem(text), str)


@pytest.mark.parametrize(
    ("origin", "sent"),
    [
        ("https://shop.test:443", "https://shop.test"),
        ("http://shop.test:80", "http://shop.test"),
        ("https://Shop.Test", "https://shop.test"),
        ("HTTPS://shop.test", "https://shop.test"),
        ("https://shop.test/", "https://shop.test"),
        ("https://shop.test/cart?x=1#top", "https://shop.test"),
        ("https://user:word@shop.test", "https://shop.test"),
        ("https://shop.test:", "https://shop.test"),
        ("https://shop.test:08443", "https://shop.test:8443"),
        ("https://b\u00fccher.test", "https://xn--bcher-kva.test"),
        (" https://shop.test", "https://shop.test"),
        ("https://[2001:DB8:0:0:0:0:0:1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_what_no_browser_sends(origin, sent):
    assert serialize_origin(origin) == sent
    assert origin_problem(origin) == f"is sent by no browser: they send {sent}"
    assert origin_fault(origin, ("shop.test", "xn--bcher-kva.test", "2001:db8::1"))


@pytest.mark.parametrize("origin", ["https://shop.test:8443", "https://shop.test:80", "https://www.shop.test"])
def test_origins_within_the_domains(origin):
    assert origin_fault(origin, ("shop.test",)) == ""


@pytest.mark.parametrize("origin", ["", "shop.test", "//shop.test", "https://", "https://shop test", "null", "NULL"])
def test_what_is_no_origin(origin):
    assert origin_problem(origin)


def test_another_host_may_end_with_a_dot():
    """Browsers take it for a host of its own."""
    assert origin_problem("https://shop.test.") == ""
    assert origin_fault("https://shop.test.", ("shop.test",)) == "is outside the environment's domains"
