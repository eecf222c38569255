import datetime
import ipaddress
import socket
import ssl
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.checks import links
from runbook_lib.checks.links import Link, Outcome
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release

RELEASE = Release("v1.0.0", "c" * 40, None)


@pytest.fixture
def closed():
    """A port where nobody listens, and nobody will while we hold it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def ask(at):
    """Visit an address from an environment whose own service is elsewhere."""

    def visit(address, **parts):
        return links.visit(at("http://127.0.0.1:1", **parts), Link("it", address))

    return visit


def test_a_page_that_answers(serve, reply, ask):
    visit = ask(serve({"/": reply("hello")}).url + "/")
    assert (visit.outcome, visit.seen, visit.body) == (Outcome.ANSWERS, "200 OK", "hello")


@pytest.mark.parametrize(
    ("status", "outcome"), [(404, "BROKEN"), (401, "BROKEN"), (500, "BROKEN"), (304, "BROKEN"), (429, "UNKNOWN")]
)
def test_a_page_that_answers_with_another_status(serve, reply, ask, status, outcome):
    visit = ask(serve({"/": reply("", status)}).url + "/")
    assert visit.outcome is Outcome[outcome]
    assert str(status) in visit.seen


def test_redirects_are_followed(serve, reply, ask):
    server = serve({"/": reply("", 302, {"Location": "/there"}), "/there": reply("here")})
    visit = ask(server.url + "/")
    assert visit.outcome is Outcome.ANSWERS
    assert visit.seen == f"200 OK at {server.url}/there"


def test_a_page_that_wants_its_cookie_back_is_no_circle(serve, reply, ask):
    def page(asked):
        if "seen=1" in asked.headers.get("cookie", ""):
            return reply("welcome")
        return reply("", 302, {"Location": "/", "Set-Cookie": "seen=1"})

    assert ask(serve({"/": page}).url + "/").outcome is Outcome.ANSWERS


def test_a_link_that_redirects_for_ever(serve, reply, ask):
    server = serve({"/a": reply("", 302, {"Location": "/b"}), "/b": reply("", 307, {"Location": "/a"})})
    visit = ask(server.url + "/a")
    assert visit.outcome is Outcome.BROKEN
    assert "redirects more than 10 times, in a circle: " in visit.seen
    assert len(server.asked) == links.REDIRECTS + 1


def test_a_link_that_always_redirects_to_somewhere_new(serve, reply, ask):
    class Endless(dict):
        def get(self, path, default=None):
            return reply("", 302, {"Location": f"{path}x"})

    visit = ask(serve(Endless()).url + "/x")
    assert visit.seen == "redirects more than 10 times"


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "http://127.0.0.1:99999/", "javascript:alert(1)"])
def test_a_redirect_that_leads_nowhere(serve, reply, ask, location):
    assert ask(serve({"/": reply("", 302, {"Location": location})}).url + "/").outcome is Outcome.BROKEN


def test_nobody_at_the_address(ask, closed):
    visit = ask(f"http://127.0.0.1:{closed}/")
    assert visit.outcome is Outcome.BROKEN
    assert visit.seen == f"127.0.0.1:{closed} refuses the connection"


def test_something_that_speaks_no_http(ask):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail ESMTP\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        visit = ask(f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert visit.outcome is Outcome.BROKEN
    assert "does not answer in HTTP" in visit.seen


def test_a_page_that_takes_too_long_is_no_verdict(ask):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        visit = ask(f"http://127.0.0.1:{silent.getsockname()[1]}/", limits={"request": 0.1})
    assert visit.outcome is Outcome.UNKNOWN
    assert "did not answer within 0.1 s" in visit.seen


def test_a_page_that_never_ends_is_no_verdict(ask):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    connection.sendall(b".")
                    time.sleep(0.02)
            except OSError:
                connection.close()

        threading.Thread(target=drip, daemon=True).start()
        visit = ask(f"http://127.0.0.1:{server.getsockname()[1]}/", limits={"request": 0.2})
    assert visit.outcome is Outcome.UNKNOWN
    assert "did not end its answer" in visit.seen


def test_a_name_that_does_not_resolve_is_no_verdict(ask, monkeypatch):
    def nobody(*question, **more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    visit = ask("http://nowhere.invalid/")
    assert visit.outcome is Outcome.UNKNOWN
    assert "does not resolve" in visit.seen


def test_a_network_that_cannot_be_reached_is_no_verdict():
    request = httpx.Request("GET", "http://192.0.2.1/")
    error = httpx.ConnectError("unreachable", request=request)
    error.__cause__ = OSError(101, "Network is unreachable")
    assert links._explain(error)[0] is Outcome.UNKNOWN


@pytest.fixture
def secured(tmp_path, monkeypatch):
    """A page behind TLS, with a certificate of an own authority; and the environment's settings for it."""
    servers = []

    def start(*, host="127.0.0.1", days=1):
        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(days=days)

        def sign(subject, key, issuer, by, names=None):
            builder = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(issuer)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=9))
                .not_valid_after(end if names else now + datetime.timedelta(days=9))
                .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
            )
            if names:
                builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

        authority_key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "own")]
        (tmp_path / "authority.pem").write_bytes(sign(names[0], authority_key, names[0], authority_key))
        key = own_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        subject = [x509.IPAddress(ipaddress.ip_address(host))]
        (tmp_path / "own.pem").write_bytes(key + sign(names[1], own_key, names[0], authority_key, subject))
        (tmp_path / "index.html").write_text("secured")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "own.pem")
        server = Secured(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        url = f"https://127.0.0.1:{server.server_port}/"
        return url, {"web": {"url": url, "certificate_authority": str(tmp_path / "authority.pem")}}

    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *words: None)
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Secured(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients that do not trust the certificate hang up: that is what is tested."""


def test_the_environments_own_authority_vouches_for_its_hosts(secured, ask):
    url, parts = secured()
    assert ask(url, **parts).body == "secured"


def test_the_environments_own_authority_vouches_for_no_other_host(secured, ask):
    url, parts = secured()
    elsewhere = {"domains": ["example.org"], "web": parts["web"] | {"url": "https://example.org"}}
    visit = ask(url, **elsewhere)
    assert visit.outcome is Outcome.BROKEN
    assert "does not verify: unable to get local issuer certificate" in visit.seen


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"days": -1}, "certificate has expired"), ({"host": "127.0.0.9"}, "not valid for '127.0.0.1'")],
)
def test_a_wrong_certificate(secured, ask, fault, words):
    url, parts = secured(**fault)
    visit = ask(url, **parts)
    assert visit.outcome is Outcome.BROKEN
    assert "does not verify" in visit.seen
    assert words in visit.seen


def test_no_tls_behind_https(serve, reply, ask):
    visit = ask(serve({"/": reply("")}).url.replace("http:", "https:") + "/")
    assert visit.outcome is Outcome.BROKEN
    assert visit.seen.startswith("TLS with 127.0.0.1:")


@pytest.mark.parametrize(
    ("address", "outcome", "words"),
    [
        (None, "BROKEN", "is not declared"),
        (" ", "BROKEN", "is empty"),
        ("[Contact Info]", "BROKEN", "placeholder"),
        ("https://status.your-domain.com", "BROKEN", "placeholder"),
        ("https://sentry.io/organizations/your-org/", "BROKEN", "placeholder"),
        ("status.example.org", "BROKEN", "no scheme"),
        ("https:///path", "BROKEN", "names no host"),
        ("http://127.0.0.1:99999/", "BROKEN", "is no URL"),
        ("http://[::1/", "BROKEN", "is no URL"),
        ("http://a..b/\x00", "BROKEN", "is no URL"),
        ("https://user:hunter22@example.org/", "BROKEN", "password"),
        ("irc://example.org/help", "UNKNOWN", "cannot ask a irc: link"),
        ("mailto:support@example.org?subject=Help", "ANSWERS", "shape is right"),
        ("mailto:support", "BROKEN", "is no mail address"),
        ("mailto:a@b@c", "BROKEN", "is no mail address"),
        ("tel:+49-30-1234567", "ANSWERS", "shape is right"),
        ("tel:112", "ANSWERS", "shape is right"),
        ("tel:ask-at-the-desk", "BROKEN", "is no telephone number"),
    ],
)
def test_an_address_that_is_not_asked(ask, address, outcome, words):
    visit = ask(address)
    assert visit.outcome is Outcome[outcome]
    assert words in visit.seen
    assert "hunter22" not in visit.seen


@given(st.text() | st.from_regex(r"(mailto|tel|irc|[a-z]+):[^/].*"))
def test_no_text_breaks_the_judging_of_an_address(text):
    assert isinstance(links._unusable(text), str)


@given(st.from_regex(r"[a-z0-9]{1,9}@[a-z]{1,9}(\.[a-z]{2,5})?", fullmatch=True))
def test_plain_mail_addresses_have_the_right_shape(address):
    assert links._SHAPES["mailto"][0].fullmatch(address)


def test_links_pass_on_the_sandbox(env):
    found = releases.find(env, platforms.connect(env).deployed())
    for name in ("Sentry", "Grafana", "Status Page"):
        assert links.dashboard(env, name).run().ok
    for name in ("API Docs", "Deployment Guide", "Optimization Report"):
        assert links.document(env, found, name).run().ok
    support = links.support(env).run()
    assert support.ok
    assert len(support.tables[0].rows) == len(env.documentation.support) > 1


def documented(at, **documentation):
    return at("http://127.0.0.1:1", documentation=documentation)


@pytest.mark.parametrize("name", ["Sentry", "Grafana", "Status Page"])
def test_a_dashboard_that_does_not_answer_or_is_not_declared_fails(serve, at, name):
    env = documented(at, dashboards={name: serve({}).url + "/gone"})
    finding = links.dashboard(env, name).run()
    assert not finding.ok
    assert finding.observed == {name: "404 Not Found"}
    assert "is not declared" in str(links.dashboard(documented(at), name).run().observed)


def test_a_dashboard_that_asks_for_a_password_is_there(serve, reply, at):
    env = documented(at, dashboards={"sentry": serve({"/": reply("", 401)}).url + "/"})
    assert links.dashboard(env, "Sentry").run().ok


def test_the_status_page_is_a_dashboard_too(serve, reply, at):
    assert links.dashboard(documented(at, status_page=serve({"/": reply("")}).url + "/"), "Status Page").run().ok


@pytest.mark.parametrize("name", ["API Docs", "Deployment Guide", "Optimization Report"])
def test_a_document_that_does_not_answer_or_is_not_declared_fails(serve, reply, at, name):
    private = documented(at, links={name: serve({"/": reply("", 401)}).url + "/"})
    assert not links.document(private, RELEASE, name).run().ok, "who may not read it has no document"
    assert "is not declared" in str(links.document(documented(at), RELEASE, name).run().observed)


@pytest.mark.parametrize(
    ("path", "ok", "words"),
    [
        ("README.md", True, "bytes, in v1.0.0"),
        ("./README.md#contents", True, "bytes, in v1.0.0"),
        ("DEPLOYMENT_GUIDE.md", False, "no file of v1.0.0"),
        ("backend", False, "no file of v1.0.0"),
        ("../secret.md", False, "outside the release"),
    ],
)
def test_a_document_in_the_release(env, release, path, ok, words):
    documentation = env.documentation.model_copy(update={"links": {"Deployment Guide": path}})
    finding = links.document(env.model_copy(update={"documentation": documentation}), release, "deployment guide").run()
    assert finding.ok is ok
    assert words in str(finding.observed)


def test_a_release_that_git_does_not_know_is_no_verdict(env):
    documentation = env.documentation.model_copy(update={"links": {"Deployment Guide": "README.md"}})
    with pytest.raises(Unanswerable, match=r"git cannot list v1\.0\.0"):
        links.document(env.model_copy(update={"documentation": documentation}), RELEASE, "Deployment Guide").run()


def test_support_without_channels_fails(at):
    finding = links.support(documented(at)).run()
    assert not finding.ok
    assert finding.observed == "none is declared"


def test_a_support_channel_that_does_not_answer_is_named(serve, reply, at):
    url = serve({"/": reply("")}).url
    finding = links.support(documented(at, support={"chat": f"{url}/", "forum": f"{url}/gone"})).run()
    assert not finding.ok
    assert finding.observed == {"forum": "404 Not Found"}


def test_a_broken_link_outweighs_one_that_could_not_be_asked(at):
    support = {"chat": "irc://example.org/help", "mail": "mailto:nobody"}
    assert not links.support(documented(at, support=support)).run().ok
    with pytest.raises(Unanswerable, match="chat"):
        links.support(documented(at, support={"chat": support["chat"]})).run()


def test_the_status_page_passes_on_the_sandbox(env):
    found = releases.find(env, platforms.connect(env).deployed())
    finding = links.status_page(env, found).run()
    assert finding.ok, finding.observed
    other = Release("v7.0.0", found.commit, found.folder)
    assert not links.status_page(env, other).run().ok


@pytest.mark.parametrize(
    ("body", "ok"),
    [
        ("<h1>Twiga Scan</h1><p>Release: v1.0.0</p>", True),
        ("<p>We run 1.0.0.</p>", True),
        ({"page": "x", "release": "1.0.0"}, True),
        ("<p>All   Systems\nOperational</p>", True),
        ("<p>Partial outage, still v0.9.0</p>", False),
        ("<p>v1.0.0-rc1</p>", False),
        ("<p>11.0.0 and 1.0.0.1</p>", False),
        ("<script>var text = 'All systems operational v1.0.0'</script>", False),
        ("", False),
    ],
)
def test_what_the_status_page_says(serve, reply, at, body, ok):
    env = documented(at, status_page=serve({"/": reply(body)}).url + "/")
    assert links.status_page(env, RELEASE).run().ok is ok


def test_a_status_page_that_is_not_there_fails(serve, at):
    assert "is not declared" in str(links.status_page(documented(at), RELEASE).run().observed)
    env = documented(at, status_page=serve({}).url + "/")
    assert "404" in str(links.status_page(env, RELEASE).run().observed)


@given(st.text())
def test_any_text_is_read(text):
    assert isinstance(links.visible_text(text), str)
    assert isinstance(links.visible_text(f"<p>{text}"), str)
