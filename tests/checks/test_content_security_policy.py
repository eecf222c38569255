from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks.content_security_policy import governing, parse_policies, weaknesses

TOKEN = st.text(alphabet="abcxyz'*:/.-", min_size=1, max_size=12)
POLICY = st.dictionaries(
    st.text(alphabet="abcdef-", min_size=1, max_size=10), st.lists(TOKEN, max_size=3), min_size=1, max_size=4
)
SOURCE = st.sampled_from(
    (
        *("'self'", "'none'", "https://cdn.example", "https:", "*", "https://*:443", "data:", "'unsafe-inline'"),
        *("'unsafe-eval'", "'nonce-r4'", "'sha256-AAAA='", "'strict-dynamic'"),
    )
)
DIRECTIVE = st.sampled_from(
    ["default-src", "script-src", "script-src-elem", "script-src-attr", "object-src", "base-uri", "img-src", "sandbox"]
)
KNOWN_POLICY = st.dictionaries(DIRECTIVE, st.lists(SOURCE, max_size=4).map(tuple), min_size=1, max_size=6)


def serialized(policy):
    return "; ".join(" ".join([name, *sources]) for name, sources in policy.items())


@given(POLICY, st.sampled_from(["; ", ";", " ;\t", ";;", "\f;\r\n"]))
def test_a_policy_is_parsed_as_it_was_written(policy, divider):
    text = divider.join(" ".join([name, *sources]) for name, sources in policy.items())
    assert parse_policies([text]) == [{name: tuple(sources) for name, sources in policy.items()}]


@given(st.text())
def test_any_text_is_parsed_and_judged(text):
    for policy in parse_policies([text]):
        assert all(name == name.lower() and name.isascii() and name for name in policy)
    assert all(isinstance(reason, str) for reason in weaknesses(parse_policies([text])))


@given(POLICY, POLICY)
def test_the_first_of_a_directive_given_twice_counts(first, second):
    (parsed,) = parse_policies([f"{serialized(first)}; {serialized(second)}"])
    assert all(parsed[name] == tuple(sources) for name, sources in first.items())


@given(POLICY, POLICY)
def test_headers_and_commas_divide_alike(first, second):
    texts = [serialized(first), serialized(second)]
    assert parse_policies(texts) == parse_policies([", ".join(texts)])


@given(KNOWN_POLICY, st.sampled_from([str.upper, str.title, str.swapcase]))
def test_case_does_not_matter(policy, change):
    assert weaknesses(parse_policies([change(serialized(policy))])) == weaknesses(parse_policies([serialized(policy)]))


@given(KNOWN_POLICY, KNOWN_POLICY)
def test_a_second_policy_never_lets_more_through(first, second):
    """All policies are enforced: what one forbids stays forbidden."""
    assert bool(weaknesses([first, second])) <= min(bool(weaknesses([first])), bool(weaknesses([second])))


@given(KNOWN_POLICY)
def test_the_specific_directive_governs(policy):
    found = governing(policy, "script-src-elem")
    names = [name for name in ("script-src-elem", "script-src", "default-src") if name in policy]
    assert (found[0] if found else None) == (names[0] if names else None)


@pytest.mark.parametrize(
    "policy",
    [
        "default-src 'self'",
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:",
        "script-src 'nonce-r4' 'strict-dynamic' https: 'unsafe-inline'; object-src 'none'; base-uri 'none'",
        "DEFAULT-SRC 'self'; Script-Src 'Unsafe-Inline' 'NONCE-abc'; BASE-URI 'self'",
        "default-src 'self'; script-src 'unsafe-inline' 'sha256-AAAA='",
        "default-src 'self' 'unsafe-inline'; script-src-elem 'self'; script-src-attr 'none'",
        "default-src 'self'; script-src 'unsafe-inline'; script-src-elem 'self'; script-src-attr 'none'",
        "default-src 'self'; script-src 'strict-dynamic' 'sha384-AAAA' 'self' https://*:443; base-uri 'self'",
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' 'report-sample'",
        "default-src 'self'; script-src 'self' 'unsafe-hashes' 'sha256-AAAA='",
        "default-src 'self'; script-src 'self' 'trusted-types-eval'; require-trusted-types-for 'script'",
        "default-src 'self'; script-src-elem 'self' 'unsafe-eval'",
        "default-src 'self'; worker-src 'self' blob:",
        "default-src 'self'; connect-src https://*.example.com:8443 wss://live.example.com",
        "default-src 'self'; script-src 'self'; script-src *",
        "sandbox allow-forms",
        "sandbox allow-scripts; script-src 'self'",
        # Each forbids what the other one lets through.
        "script-src 'self', object-src 'none'",
        "default-src * 'unsafe-inline' 'unsafe-eval', default-src 'none'",
    ],
)
def test_sound_policies(policy):
    assert weaknesses(parse_policies([policy])) == []


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        # Attributes, elements and evaluation are each governed by a directive of their own.
        (
            "default-src 'self'; script-src 'self'; script-src-attr 'unsafe-inline'; object-src 'none'",
            "script-src-attr",
        ),
        ("default-src 'self' 'unsafe-inline'; script-src-elem 'self'", "default-src allows 'unsafe-inline'"),
        ("default-src 'self'; script-src 'self'; script-src-elem 'unsafe-inline'", "inline script elements"),
        ("default-src 'self'; script-src 'unsafe-eval'; script-src-elem 'self'", "may be evaluated"),
        ("default-src 'self' 'unsafe-eval'; script-src-elem 'self'; script-src-attr 'none'", "default-src allows"),
        ("script-src-elem 'self'; object-src 'none'", "inline event handlers"),
        ("default-src 'self'; script-src-elem 'nonce-r4'; script-src 'unsafe-inline'; base-uri 'self'", "handlers"),
        # What stands for any host.
        ("default-src 'self'; script-src 'self' https://*:443", "wildcard https://*:443"),
        ("default-src 'self'; script-src http://*:*", "wildcard http://*:*"),
        ("default-src 'self'; script-src *:443", "wildcard *:443"),
        ("default-src 'self'; script-src https://*/js/", "wildcard https://*/js/"),
        ("default-src 'self'; script-src https://*.com", "wildcard https://*.com"),
        ("default-src 'self'; script-src HTTPS:", "wildcard https:"),
        ("default-src 'self'; script-src data:", "allows data:"),
        ("default-src 'self'; script-src 'self' blob:", "allows blob:"),
        ("default-src 'self'; worker-src *", "worker-src has the wildcard *"),
        ("default-src 'self'; style-src-elem https:", "style-src-elem has the wildcard https:"),
        ("default-src 'self'; child-src *", "child-src has the wildcard *"),
        ("script-src 'self'", "plug-ins"),
        ("default-src 'self'; object-src *", "plug-ins"),
        # A nonce that is no nonce, and 'strict-dynamic' where it means nothing.
        ("default-src 'self'; script-src 'unsafe-inline' 'nonce-'", "'unsafe-inline'"),
        ("default-src 'self'; script-src 'unsafe-inline' nonce-r4", "'unsafe-inline'"),
        ("default-src 'self'; connect-src 'strict-dynamic' *", "connect-src has the wildcard *"),
        # A <base> leads a trusted script elsewhere.
        ("default-src 'self'; script-src 'nonce-r4'", "no base-uri"),
        ("script-src 'nonce-r4' 'strict-dynamic'; object-src 'none'; base-uri https:", "base-uri has the wildcard"),
        # The first of two counts; what is not ASCII is ignored; a sandbox may allow scripts.
        ("default-src 'self'; script-src *; script-src 'self'", "wildcard *"),
        ("default-src 'self' https://caf\u00e9.example; img-src 'self'", "neither script-src nor default-src"),
        ("sandbox allow-scripts", "neither script-src nor default-src"),
        # Both let it through, each in its own way.
        ("default-src 'self' https:, default-src 'self' 'unsafe-inline' https://*", "https://*"),
        ("default-src 'self'; img-src *, default-src https:", "img-src has the wildcard *"),
        ("", "no Content-Security-Policy"),
    ],
)
def test_each_weakness_is_named(policy, words):
    assert any(words in reason for reason in weaknesses(parse_policies([policy]))), weaknesses(parse_policies([policy]))
