from __future__ import annotations

import ssl
import time

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import headers
from runbook_lib.errors import Unanswerable


class Everywhere(dict):
    """Routes of an edge that sends the same headers with its page and, unless `errors` differ, with its errors."""

    def __init__(self, reply, sent, errors=None, **others):
        super().__init__({"/": reply("<html>", headers=sent), **others})
        self.error = reply({"detail": "Not Found"}, 404, sent if errors is None else errors)

    def get(self, path, default=None):
        return super().get(path, self.error)


def run(check, serve, at, reply, **sent):
    values = {name.replace("_", "-"): value for name, value in sent.items()}
    return check(at(serve(Everywhere(reply, values)).url)).run()


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
        running = serve(Everywhere(reply, {"Strict-Transport-Security": value} if value else {}), context)
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
    assert "not https" in str(finding.observed)


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
    env = at(serve(Everywhere(reply, sent)).url)
    assert [check for check in ALL if not check(env).run().ok] == [missing]


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
def test_the_headers_of_an_error_page_prove_nothing(serve, at, check):
    with pytest.raises(Unanswerable, match="front page"):
        check(at(serve({}).url)).run()


HEADERS = dict(SOUND.values())


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", ["/api/providers/", "/health", "/api/docs", "/static/app.js", "/admin"])
def test_each_declared_address_is_judged(serve, at, reply, check, path):
    bare = reply("<p>bare", headers={})
    env = at(
        serve(Everywhere(reply, HEADERS, **{path: bare})).url,
        security={"public_address": "127.0.0.1", "header_paths": ["/static/app.js"]},
    )
    finding = check(env).run()
    assert not finding.ok
    assert list(finding.observed) == [f"GET {path}"]


@pytest.mark.parametrize("check", ALL[1:], ids=lambda check: check.__name__)
def test_errors_are_judged(serve, at, reply, check):
    pages = {path: reply({}, headers=HEADERS) for path in ("/api/providers/", "/health", "/api/docs")}
    finding = check(at(serve(Everywhere(reply, HEADERS, {}, **pages)).url)).run()
    assert not finding.ok
    assert {"GET /(unknown)", "GET /api/(unknown)"} <= set(finding.observed)


def test_only_documents_need_a_content_security_policy(serve, at, reply):
    page = reply("<html>", headers=HEADERS)
    answers = {"/": page, "/api/providers/": reply([]), "/health": reply({}), "/api/docs": page}
    finding = headers.content_security_policy(at(serve(Everywhere(reply, {}, {}, **answers)).url)).run()
    assert finding.ok
    (row,) = [row for row in finding.tables[0].rows if row[0] == "GET /health"]
    assert row[3] == "not judged"
    untyped = reply("<html>", headers={"Content-Type": ""})
    assert (
        not headers.content_security_policy(
            at(serve(Everywhere(reply, {}, {}, **answers | {"/api/docs": untyped})).url)
        )
        .run()
        .ok
    )


def test_a_redirect_needs_nothing_but_hsts(serve, at, reply):
    moved = reply("", 308, {"Location": "/docs/"})
    env = at(serve(Everywhere(reply, HEADERS, **{"/api/docs": moved})).url)
    assert all(check(env).run().ok for check in ALL)


def test_without_an_error_nothing_is_known_of_errors(serve, at, reply):
    class Fallback(Everywhere):
        def get(self, path, default=None):
            return self["/"]

    env = at(serve(Fallback(reply, HEADERS)).url)
    with pytest.raises(Unanswerable, match="without an error") as raised:
        headers.frame_options(env).run()
    assert raised.value.seen.ok
    assert "security.header_paths" in raised.value.remedy


def test_an_address_that_is_silent_was_not_seen(serve, at, reply):
    def slow(asked):
        time.sleep(1.0)
        return reply({}, headers=HEADERS)

    env = at(serve(Everywhere(reply, HEADERS, **{"/health": slow})).url, limits={"request": 0.5})
    with pytest.raises(Unanswerable, match="GET /health was not seen"):
        headers.frame_options(env).run()
    bare = at(serve(Everywhere(reply, HEADERS, {}, **{"/health": slow})).url, limits={"request": 0.5})
    finding = headers.frame_options(bare).run()
    assert not finding.ok
    assert any(row[3].startswith("not seen") for row in finding.tables[0].rows)


NGINX = """
daemon off;
master_process off;
user root;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    default_type text/html;
    server {
        listen 127.0.0.1:{port} ssl;
        ssl_certificate certificate.pem;
        ssl_certificate_key key.pem;
        error_page 497 =200 /;
        add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" ALWAYS;
        add_header X-Content-Type-Options nosniff ALWAYS;
        add_header X-Frame-Options DENY ALWAYS;
        add_header Referrer-Policy no-referrer ALWAYS;
        add_header Content-Security-Policy "default-src 'self'" ALWAYS;
        location = / { return 200 "<html>"; }
        location = /api/providers/ { API return 200 "[]"; default_type application/json; }
        location /api/ { return 404; }
        location / { return 404; }
    }
}
"""


@pytest.fixture(scope="module")
def nginx(daemon, tmp_path_factory):
    """Start an nginx whose `api` directives stand in the API's location; `always` as in its add_header."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    trusted = tmp_path_factory.mktemp("authority") / "authority.pem"
    authority.cert_pem.write_to_path(trusted)

    def start(*, api="", always="always"):
        files = {
            "nginx.conf": NGINX.replace("API", api).replace("ALWAYS", always),
            "certificate.pem": leaf.cert_chain_pems[0].bytes().decode(),
            "key.pem": leaf.private_key_pem.bytes().decode(),
        }
        url = daemon("nginx", "-p", "{folder}", "-e", "stderr", "-c", "nginx.conf", ready="/", files=files)
        return {"url": url.replace("http:", "https:"), "certificate_authority": str(trusted)}

    return start


FIVE = (*ALL, headers.strict_transport_security)


def test_nginx_that_sends_its_headers_everywhere(nginx, at):
    env = at("", web=nginx())
    for check in FIVE:
        finding = check(env).run()
        assert finding.ok, finding.observed


def test_nginx_drops_its_headers_in_a_location_that_adds_one(nginx, at):
    env = at("", web=nginx(api="add_header Cache-Control no-store;"))
    for check in FIVE[1:]:
        finding = check(env).run()
        assert not finding.ok
        assert list(finding.observed) == ["GET /api/providers/"]
    assert headers.content_security_policy(env).run().ok


def test_nginx_drops_its_headers_on_errors_without_always(nginx, at):
    env = at("", web=nginx(always=""))
    for check in FIVE:
        finding = check(env).run()
        assert not finding.ok
        assert {"GET /(unknown)", "GET /api/(unknown)"} <= set(finding.observed)
        assert "front page" not in finding.observed
