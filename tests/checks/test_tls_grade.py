from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks.tls_grade import LETTERS, LONG_HSTS_SECONDS, at_least, grade
from runbook_lib.checks.tls_scan import PROTOCOLS, Certificate, Observation, Suite, curve_strength, is_for

GCM = Suite("TLS 1.2", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 256, exchange_bits=3072)
SMALL_GCM = Suite("TLS 1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 128, exchange_bits=3072)
NEWEST = Suite("TLS 1.3", "TLS_AES_256_GCM_SHA384", 256, exchange_bits=3072)
BEST = Observation((GCM, SMALL_GCM, NEWEST), (Certificate("CN=a", 2048),), hsts_seconds=31_536_000)


def with_suites(*suites, **changed):
    return dataclasses.replace(BEST, suites=suites, **changed)


def with_certificate(**changed):
    return dataclasses.replace(BEST, certificates=(dataclasses.replace(BEST.certificates[0], **changed),))


def suite(protocol, name, bits=128, **more):
    return Suite(protocol, name, bits, **more)


OLD_CBC = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"


def test_the_scores_are_those_of_the_guide():
    """An RSA key of 2048 bits, suites of 128 and 256 bits: the scores that SSL Labs shows for most servers."""
    given_grade = grade(BEST)
    assert given_grade.scores == {"protocol support": 100.0, "key exchange": 90.0, "cipher strength": 90.0}
    assert given_grade.total == 93.0
    assert (given_grade.letter, given_grade.deductions) == ("A+", ())


def test_old_protocols_lower_the_protocol_score():
    seen = with_suites(GCM, NEWEST, suite("TLS 1.0", OLD_CBC, exchange_bits=3072))
    assert grade(seen).scores["protocol support"] == 95.0


@pytest.mark.parametrize(
    ("seen", "letter", "words"),
    [
        (dataclasses.replace(BEST, hsts_seconds=None), "A", "no Strict-Transport-Security"),
        (dataclasses.replace(BEST, hsts_seconds=LONG_HSTS_SECONDS - 1), "A", "less than half a year"),
        (with_suites(GCM), "A-", "TLS 1.3 is not offered"),
        (dataclasses.replace(BEST, secure_renegotiation=False), "A-", "secure renegotiation"),
        (with_suites(GCM, NEWEST, suite("TLS 1.1", OLD_CBC, exchange_bits=3072)), "B", "TLS 1.1"),
        (with_suites(GCM, NEWEST, suite("TLS 1.0", OLD_CBC, exchange_bits=3072)), "B", "TLS 1.0"),
        (with_suites(suite("TLS 1.2", "TLS_RSA_WITH_AES_128_GCM_SHA256")), "B", "forward secrecy"),
        (with_suites(suite("TLS 1.2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", exchange_bits=2048)), "B", "forward"),
        (with_suites(suite("TLS 1.2", OLD_CBC, exchange_bits=3072)), "B", "authenticated encryption"),
        (with_suites(NEWEST, suite("TLS 1.0", "TLS_RSA_WITH_RC4_128_SHA")), "B", "RC4"),
        (with_suites(NEWEST, suite("TLS 1.2", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", exchange_bits=1024)), "B", "2048"),
        (with_certificate(key_bits=1024), "B", "fewer than 2048"),
        (with_suites(NEWEST, suite("TLS 1.2", "TLS_RSA_WITH_RC4_128_SHA")), "C", "RC4"),
        (with_suites(NEWEST, suite("TLS 1.2", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", 112)), "C", "64 bits"),
        (with_suites(suite("TLS 1.1", OLD_CBC, exchange_bits=3072)), "C", "neither TLS 1.2 nor TLS 1.3"),
        (dataclasses.replace(BEST, compression=True), "C", "CRIME"),
        (with_suites(NEWEST, suite("SSL 3.0", OLD_CBC, exchange_bits=3072)), "F", "POODLE"),
        (with_suites(NEWEST, suite("SSL 2.0", "SSL_CK_RC4_128_WITH_MD5")), "F", "SSL 2.0"),
        (with_suites(NEWEST, suite("TLS 1.0", "TLS_RSA_EXPORT_WITH_RC4_40_MD5", 40)), "F", "export"),
        (
            with_suites(NEWEST, suite("TLS 1.2", "TLS_DH_anon_WITH_AES_128_GCM_SHA256", anonymous=True)),
            "F",
            "anonymous",
        ),
        (with_suites(NEWEST, suite("TLS 1.2", "TLS_RSA_WITH_NULL_SHA256", 0)), "F", "encrypt nothing"),
        (with_suites(NEWEST, suite("TLS 1.2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", exchange_bits=512)), "F", "1024"),
        (with_certificate(key_bits=512), "F", "fewer than 1024"),
        (with_certificate(signature_hashes=("sha256", "md5")), "F", "MD5"),
        (dataclasses.replace(BEST, heartbleed=True), "F", "Heartbleed"),
        (dataclasses.replace(BEST, ccs_injection=True), "F", "CCS"),
        (dataclasses.replace(BEST, robot=True), "F", "ROBOT"),
        (
            dataclasses.replace(BEST, insecure_client_renegotiation=True, secure_renegotiation=False),
            "F",
            "insecure renegotiation",
        ),
        (with_certificate(misnamed="it is for b"), "M", "another name"),
        (with_certificate(untrusted="unable to get local issuer certificate"), "T", "not trusted"),
        (with_certificate(signature_hashes=("sha1",)), "T", "SHA1"),
    ],
)
def test_each_rule_gives_its_letter_and_names_itself(seen, letter, words):
    given_grade = grade(seen)
    assert given_grade.letter == letter
    assert any(words in deduction.reason for deduction in given_grade.deductions if deduction.letter == letter)


def test_the_better_of_two_certificates_does_not_hide_the_worse():
    worse = dataclasses.replace(BEST.certificates[0], key_bits=1024)
    assert grade(dataclasses.replace(BEST, certificates=(*BEST.certificates, worse))).letter == "B"


SUITES = st.builds(
    Suite,
    st.sampled_from(PROTOCOLS),
    st.sampled_from([GCM.name, OLD_CBC, "TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"]),
    st.sampled_from([0, 40, 56, 112, 128, 256]),
    st.booleans(),
    st.none() | st.integers(0, 16384),
)
CERTIFICATES = st.builds(
    Certificate, st.just("CN=a"), st.integers(0, 16384), untrusted=st.sampled_from(["", "unknown issuer"])
)
OBSERVATIONS = st.builds(
    Observation,
    st.lists(SUITES, min_size=1, max_size=6).map(tuple),
    st.lists(CERTIFICATES, min_size=1, max_size=2).map(tuple),
    st.none() | st.integers(0, 10**9),
    *[st.booleans()] * 6,
)


@given(OBSERVATIONS)
def test_whatever_is_seen_has_a_grade_with_reasons(seen):
    given_grade = grade(seen)
    assert given_grade.letter in LETTERS
    assert 0 <= given_grade.total <= 100
    assert all(0 <= score <= 100 for score in given_grade.scores.values())
    assert (given_grade.letter == "A+") == (not given_grade.deductions)
    if given_grade.deductions:
        assert given_grade.letter == max((one.letter for one in given_grade.deductions), key=LETTERS.index)


@given(OBSERVATIONS, SUITES, st.sampled_from(["SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1"]))
def test_with_an_old_protocol_no_grade_is_better_than_b(seen, suite, protocol):
    old = dataclasses.replace(suite, protocol=protocol)
    assert at_least("B", grade(dataclasses.replace(seen, suites=(*seen.suites, old))).letter)


@given(OBSERVATIONS)
def test_a_flaw_never_betters_the_grade(seen):
    for flaw in ("heartbleed", "ccs_injection", "robot", "insecure_client_renegotiation", "compression"):
        flawed = grade(dataclasses.replace(seen, **{flaw: True})).letter
        assert at_least(grade(dataclasses.replace(seen, **{flaw: False})).letter, flawed)


@given(OBSERVATIONS)
def test_an_untrusted_certificate_is_a_t(seen):
    untrusted = tuple(dataclasses.replace(one, untrusted="no issuer") for one in seen.certificates)
    assert grade(dataclasses.replace(seen, certificates=untrusted)).letter == "T"


def test_nothing_seen_is_not_graded():
    with pytest.raises(ValueError, match="no suite"):
        grade(with_suites())


@pytest.mark.parametrize(("bits", "strength"), [(512, 15360), (384, 7680), (256, 3072), (224, 2048), (160, 1024)])
def test_curves_are_as_strong_as_the_table_says(bits, strength):
    assert curve_strength(bits) == strength
    assert curve_strength(bits - 1) < strength


LABEL = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@given(LABEL, LABEL, LABEL)
def test_a_wildcard_stands_for_one_label(label, name, top):
    domain = f"{name}.{top}"
    assert is_for(f"{label}.{domain}", [f"*.{domain}"])
    assert is_for(f"{label}.{domain}".upper(), [f"{label}.{domain}"])
    assert not is_for(domain, [f"*.{domain}"])
    assert not is_for(f"{label}.{label}.{domain}", [f"*.{domain}"])
    assert not is_for(domain, [f"*.{top}"])
    assert not is_for(f"{label}.{domain}", [domain, "*", f"{label}*.{domain}"])


def test_an_address_has_no_wildcard():
    assert is_for("127.0.0.1", ["127.0.0.1"])
    assert not is_for("127.0.0.1", ["*.0.0.1"])
