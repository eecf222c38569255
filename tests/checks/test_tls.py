from __future__ import annotations

import datetime
import ssl
import warnings

import pytest
import trustme

from runbook_lib.checks import tls, tls_scan
from runbook_lib.errors import Unanswerable

YEAR = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
MODERN = "ECDHE+AESGCM:ECDHE+CHACHA20"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def server(authority, serve, reply, at, tmp_path):
    """An environment whose edge has the given protocols, suites, certificate and headers."""

    def start(
        *, oldest="TLSv1_2", newest="TLSv1_3", suites=MODERN, sent=YEAR, by=authority, name="127.0.0.1", expires=None
    ):
        trusted = tmp_path / "authority.pem"
        authority.cert_pem.write_to_path(trusted)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        by.issue_cert(name, not_after=expires, key_type=trustme.KeyType.ECDSA).configure_cert(context)
        context.set_ciphers(f"{suites}:@SECLEVEL=0")
        with warnings.catch_warnings():
            # Python warns of the old protocols, which are what is tested here.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion[oldest]
            context.maximum_version = ssl.TLSVersion[newest]
        running = serve({"/": reply("<html>", headers=sent)}, context)
        return at(running.url, web={"url": running.url, "certificate_authority": str(trusted)})

    return start


def graded(env):
    finding = tls.graded(env).run()
    return finding.observed["grade"], finding.observed["deductions"], finding


def test_the_sandbox_deserves_its_grade(env):
    grade, deductions, finding = graded(env)
    assert finding.ok
    assert (grade, deductions) == ("A+", [])
    assert {row[0] for row in finding.tables[3].rows} == {"TLS 1.2", "TLS 1.3"}


def test_a_server_that_deserves_the_best(server):
    grade, deductions, finding = graded(server())
    assert finding.ok, deductions
    assert grade == "A+"


def test_without_hsts_it_is_not_the_best(server):
    grade, deductions, finding = graded(server(sent={}))
    assert not finding.ok
    assert (grade, deductions) == ("A", ["A: no Strict-Transport-Security is sent"])


def test_a_lower_grade_may_be_declared_enough(server):
    env = server(sent={})
    lower = env.model_copy(update={"security": env.security.model_copy(update={"minimum_grade": "A"})})
    assert tls.graded(lower).run().ok


def test_an_old_protocol_beside_modern_ones(server):
    grade, deductions, finding = graded(server(oldest="TLSv1_1", suites=f"{MODERN}:ECDHE+AES"))
    assert not finding.ok
    assert (grade, deductions) == ("B", ["B: TLS 1.1 is offered"])


def test_old_protocols_alone(server):
    grade, deductions, finding = graded(server(oldest="TLSv1", newest="TLSv1_1", suites="ECDHE+AES"))
    assert not finding.ok
    assert grade == "C"
    assert deductions[0] == "C: neither TLS 1.2 nor TLS 1.3 is offered"
    assert {"B: TLS 1.0 is offered", "B: TLS 1.1 is offered"} <= set(deductions)


@pytest.mark.parametrize(("suites", "named"), [("aNULL", "anonymous"), ("eNULL", "encrypt nothing")])
def test_suites_that_protect_nobody(server, suites, named):
    grade, deductions, finding = graded(server(newest="TLSv1_2", suites=f"{MODERN}:{suites}"))
    assert not finding.ok
    assert grade == "F"
    assert any(named in deduction for deduction in deductions)


def test_an_authority_that_nobody_trusts(server):
    grade, deductions, finding = graded(server(by=trustme.CA(key_type=trustme.KeyType.ECDSA)))
    assert not finding.ok
    assert grade == "T"
    assert "not trusted" in deductions[0]


def test_a_certificate_that_expired_yesterday(server):
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    grade, deductions, finding = graded(server(expires=yesterday))
    assert not finding.ok
    assert grade == "T"
    assert f"it expired at {yesterday:%Y-%m-%d}" in deductions[0]


@pytest.mark.parametrize("name", ["127.0.0.9", "*.0.0.1"])
def test_a_certificate_for_another_name(server, name):
    grade, deductions, finding = graded(server(name=name))
    assert not finding.ok
    assert grade == "M"
    assert "not for 127.0.0.1" in deductions[0]


def test_the_sandbox_refuses_old_protocols(env):
    finding = tls.only_modern(env).run()
    assert finding.ok, finding.observed
    assert [row[0] for row in finding.tables[0].rows if row[1] > 0] == list(tls_scan.PROTOCOLS)


def test_an_old_protocol_that_is_accepted_is_named(server):
    finding = tls.only_modern(server(oldest="TLSv1", suites=f"{MODERN}:ECDHE+AES")).run()
    assert not finding.ok
    assert finding.observed["accepted"] == ["TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"]


@pytest.mark.parametrize("check", [tls.graded, tls.only_modern])
def test_a_server_that_speaks_no_tls(serve, at, check):
    plain = serve({})
    with pytest.raises(Unanswerable, match="no TLS connection"):
        check(at(plain.url.replace("http:", "https:"), limits={"request": 1.0})).run()


@pytest.mark.parametrize("check", [tls.graded, tls.only_modern])
def test_an_address_without_tls_fails(serve, at, check):
    assert not check(at(serve({}).url)).run().ok


def test_nobody_there(at):
    with pytest.raises(Unanswerable, match="no TLS connection"):
        tls.graded(at("https://127.0.0.1:9", web={"url": "https://127.0.0.1:9"})).run()


def test_an_authority_that_is_not_there(at):
    web = {"url": "https://127.0.0.1:9", "certificate_authority": "none.pem"}
    with pytest.raises(Unanswerable, match="was not found"):
        tls.only_modern(at("", web=web)).run()


def test_silence_is_no_refusal():
    silent = tls_scan.Attempt("TLS 1.0", 80, (), ("Connection timed out",))
    assert silent.undecided
    assert not tls_scan.Attempt("TLS 1.0", 80, (), ("TLS alert: protocol version",)).undecided
