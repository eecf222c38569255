from __future__ import annotations

import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import headers
from runbook_lib.errors import Unanswerable


def run(check, serve, at, reply, **sent):
    values = {name.replace("_", "-"): value for name, value in sent.items()}
    return check(at(serve({"/": reply("<html>", headers=values)}).url)).run()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("script-src 'self' 'unsafe-inline'; object-src 'none'", "'unsafe-inline'"),
        ("default-src 'self' 'unsafe-inline'", "'unsafe-inline'"),
        ("default-src *", "wildcard *"),
        ("default-src 'self'; connect-src https:", "wildcard https:"),
        ("default-src 'self'; script-src data:", "data:"),
        ("img-src 'self'", "neither script-src nor default-src"),
        ("default-src 'self'; script-src 'self'; script-src-attr 'unsafe-inline'; object-src 'none'", "event handlers"),
        ("default-src 'self'; script-src 'self' https://*:443; object-src 'none'", "https://*:443"),
        ("", "no Content-Security-Policy"),
    ],
)
def test_a_loose_policy_fails_and_is_named(serve, at, reply, policy, words):
    finding = run(headers.content_security_policy, serve, at, reply, Content_Security_Policy=policy)
    assert not finding.ok
    assert words in str(finding.observed)


def test_a_policy_that_only_reports_is_none(serve, at, reply):
    sent = {"Content_Security_Policy_Report_Only": "default-src 'self'"}
    assert not run(headers.content_security_policy, serve, at, reply, **sent).ok


def test_a_policy_that_trusts_scripts_by_nonces(serve, at, reply):
    value = "script-src 'nonce-r4' 'strict-dynamic' https: 'unsafe-inline'; object-src 'none'; base-uri 'none'"
    assert run(headers.content_security_policy, serve, at, reply, Content_Security_Policy=value).ok


def test_of_several_policies_one_sound_one_is_enough(serve, at, reply):
    sent = {"Content_Security_Policy": "img-src *, default-src 'self'"}
    assert run(headers.content_security_policy, serve, at, reply, **sent).ok


@pytest.mark.parametrize(
    ("value", "ok"),
    [("DENY", True), ("sameorigin", True), ("ALLOWALL", False), ("DENY, SAMEORIGIN", False), ("", False)],
)
def test_frame_options(serve, at, reply, value, ok):
    assert run(headers.frame_options, serve, at, reply, X_Frame_Options=value).ok is ok


@pytest.mark.parametrize(
    ("ancestors", "ok"),
    [
        ("'none'", True),
        ("'self' https://partner.example", True),
        ("*", False),
        ("'self' https:", False),
        ("https://*:443", False),
        ("*, frame-ancestors 'none'", True),
    ],
)
def test_frame_ancestors_overrides_frame_options(serve, at, reply, ancestors, ok):
    sent = {"X_Frame_Options": "DENY", "Content_Security_Policy": f"frame-ancestors {ancestors}"}
    assert run(headers.frame_options, serve, at, reply, **sent).ok is ok


@pytest.mark.parametrize(("value", "ok"), [("nosniff", True), ("NoSniff", True), ("sniff", False), ("", False)])
def test_content_type_options(serve, at, reply, value, ok):
    assert run(headers.content_type_options, serve, at, reply, X_Content_Type_Options=value).ok is ok


@pytest.mark.parametrize(
    ("value", "ok"),
    [
        ("strict-origin-when-cross-origin", True),
        ("no-referrer", True),
        ("unsafe-url, same-origin", True),
        ("no-referrer, unsafe-url", False),
        ("same-origin, of-tomorrow", True),
        ("origin", False),
        ("", False),
    ],
)
def test_referrer_policy(serve, at, reply, value, ok):
    assert run(headers.referrer_policy, serve, at, reply, Referrer_Policy=value).ok is ok


@given(st.integers(0, 10**10), st.booleans(), st.booleans(), st.sampled_from(["max-age", "Max-Age", " MAX-AGE "]))
def test_a_transport_policy_is_parsed_as_it_was_written(seconds, subdomains, quoted, name):
    age = f'"{seconds}"' if quoted else str(seconds)
    text = f"{name}={age}" + ("; includeSubDomains; preload" if subdomains else "")
    assert headers.parse_transport_policy(text) == headers.TransportPolicy(seconds, subdomains)


@given(st.text())
def test_any_text_is_read_as_a_transport_policy_or_as_none(text):
    policy = headers.parse_transport_policy(text)
    assert policy is None or policy.seconds >= 0


@pytest.mark.parametrize(
    "value", ["", "includeSubDomains", "max-age", "max-age=1; max-age=2", "max-age=-1", "max-age=1y"]
)
def test_a_policy_that_browsers_ignore(value):
    assert headers.parse_transport_policy(value) is None


@pytest.fixture
def over_tls(serve, reply, at, tmp_path):
    """An environment whose front page over https carries the given headers."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA).configure_cert(context)

    def start(value, http_url=None):
        running = serve({"/": reply("<html>", headers={"Strict-Transport-Security": value} if value else {})}, context)
        return at("", web={"url": running.url, "certificate_authority": "authority.pem", "http_url": http_url})

    return start


@pytest.mark.parametrize(
    ("value", "ok"),
    [
        ("max-age=31536000; includeSubDomains", True),
        ("max-age=63072000; includeSubDomains; preload", True),
        ("max-age=31535999; includeSubDomains", False),
        ("max-age=31536000", False),
        ("max-age=0; includeSubDomains", False),
        ("", False),
    ],
)
def test_hsts(over_tls, value, ok):
    assert headers.strict_transport_security(over_tls(value)).run().ok is ok


def test_hsts_over_plain_http_is_ignored_by_browsers(serve, at, reply):
    sent = {"Strict_Transport_Security": "max-age=31536000; includeSubDomains"}
    finding = run(headers.strict_transport_security, serve, at, reply, **sent)
    assert not finding.ok
    assert "not https" in finding.observed


@pytest.mark.parametrize(
    ("status", "target", "ok"),
    [
        (308, "https://127.0.0.1/", True),
        (302, "https://www.example.com/", True),
        (200, "", False),
        (301, "http://127.0.0.1/login", False),
        (301, "/login", False),
        (301, "https://example.org/", False),
        (301, "https://[", False),
        (404, "", False),
    ],
)
def test_plain_http_is_judged_by_where_it_leads(serve, at, reply, status, target, ok):
    plain = serve({"/": reply("", status, {"Location": target} if target else {})})
    env = at("", web={"url": "https://127.0.0.1:9", "http_url": plain.url}, domains=["example.com"])
    assert headers.http_redirects(env).run().ok is ok


def test_plain_http_that_is_closed_does_not_redirect(at):
    env = at("", web={"url": "https://127.0.0.1:9", "http_url": "http://127.0.0.1:9"})
    assert not headers.http_redirects(env).run().ok


def test_plain_http_that_is_not_declared(at):
    with pytest.raises(Unanswerable, match="where plain http is"):
        headers.http_redirects(at("https://127.0.0.1:9")).run()


def test_hsts_on_the_sandbox(env):
    finding = headers.strict_transport_security(env).run()
    assert finding.ok, finding.observed


def test_hsts_of_an_error_page_proves_nothing(serve, at):
    with pytest.raises(Unanswerable, match="front page"):
        headers.strict_transport_security(at(serve({}).url)).run()


def test_http_redirects_on_the_sandbox(env):
    finding = headers.http_redirects(env).run()
    assert finding.ok, finding.observed


ALL = (
    headers.content_security_policy,
    headers.frame_options,
    headers.content_type_options,
    headers.referrer_policy,
)


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_headers_pass_on_the_sandbox(env, check):
    finding = check(env).run()
    assert finding.ok, finding.observed


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_headers_that_are_not_there_fail(serve, at, reply, check):
    assert not check(at(serve({"/": reply("<html>")}).url)).run().ok


SOUND = {
    headers.content_security_policy: ("Content-Security-Policy", "default-src 'self'"),
    headers.frame_options: ("X-Frame-Options", "DENY"),
    headers.content_type_options: ("X-Content-Type-Options", "nosniff"),
    headers.referrer_policy: ("Referrer-Policy", "no-referrer"),
}


@pytest.mark.parametrize("missing", ALL, ids=lambda check: check.__name__)
def test_one_missing_header_fails_exactly_its_check(serve, at, reply, missing):
    sent = dict(header for check, header in SOUND.items() if check is not missing)
    env = at(serve({"/": reply("<html>", headers=sent)}).url)
    assert [check for check in ALL if not check(env).run().ok] == [missing]


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_the_headers_of_an_error_page_prove_nothing(serve, at, check):
    with pytest.raises(Unanswerable, match="front page"):
        check(at(serve({}).url)).run()
