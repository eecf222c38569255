"""A grade for what a TLS scan saw, by SSL Labs' SSL Server Rating Guide, version 2009r.

Three categories are scored from 0 to 100 and weighed; the sum gives a letter, which rules then lower, or raise to A+.
Nothing here talks to a server.

Where the guide looks at what its reference clients negotiate, this looks at what is offered: a suite that is there
counts, so that a grade may be lower than SSL Labs' own, and never higher for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from runbook_lib.checks.tls_scan import PROTOCOLS, Observation, Suite

LETTERS: Final = ("A+", "A", "A-", "B", "C", "D", "E", "F", "M", "T")
"""Best first; M says that the certificate is for another name, T that it is not trusted."""
PROTOCOL_SCORES: Final = {"SSL 2.0": 0, "SSL 3.0": 80, "TLS 1.0": 90, "TLS 1.1": 95, "TLS 1.2": 100, "TLS 1.3": 100}
EXCHANGE_SCORES: Final = ((4096, 100), (2048, 90), (1024, 80), (512, 40), (1, 20), (0, 0))
CIPHER_SCORES: Final = ((256, 100), (128, 80), (1, 20), (0, 0))
LETTER_SCORES: Final = ((80, "A"), (65, "B"), (50, "C"), (35, "D"), (20, "E"), (0, "F"))
"""Least bits, or least total, and what it is worth."""
WEIGHTS: Final = {"protocol support": 0.3, "key exchange": 0.3, "cipher strength": 0.4}
LONG_HSTS_SECONDS: Final = 15_768_000
"""Half a year: the shortest HSTS policy that the guide gives an A+ for."""
BROKEN_HASHES: Final = frozenset({"md2", "md5", "sha1"})
AEAD: Final = ("_GCM_", "_CCM", "_POLY1305")
SMALL_BLOCKS: Final = ("_3DES_", "_DES_", "_DES40_", "_IDEA_", "_RC2_")
"""Ciphers with blocks of 64 bits, open to the attack called Sweet32."""


@dataclass(frozen=True)
class Deduction:
    """What keeps the grade from being better than `letter`."""

    letter: str
    reason: str


@dataclass(frozen=True)
class Grade:
    """The letter, the weighed total, the three scores (all 0 to 100), and each deduction, worst first."""

    letter: str
    total: float
    scores: dict[str, float]
    deductions: tuple[Deduction, ...]


def at_least(letter: str, minimum: str) -> bool:
    """Whether `letter` is as good as `minimum`, or better."""
    return LETTERS.index(letter) <= LETTERS.index(minimum)


def grade(seen: Observation) -> Grade:
    """Grade what was seen. Raises ValueError where no suite was: there is nothing to grade."""
    if not seen.suites:
        raise ValueError("no suite was accepted")
    scores = {
        "protocol support": _middle(PROTOCOL_SCORES[suite.protocol] for suite in seen.suites),
        "key exchange": float(min(_step(EXCHANGE_SCORES, bits) for bits in _exchange_strengths(seen))),
        "cipher strength": _middle(_step(CIPHER_SCORES, suite.bits) for suite in seen.suites),
    }
    # A zero in any category pushes the total to zero.
    total = round(sum(WEIGHTS[name] * score for name, score in scores.items()), 2) if all(scores.values()) else 0.0
    by_score = next(letter for least, letter in LETTER_SCORES if total >= least)
    deductions = [*_unworthy(by_score, total), *_caps(seen), *_warnings(seen), *_short_of_the_best(seen)]
    ordered = tuple(sorted(deductions, key=lambda deduction: -LETTERS.index(deduction.letter)))
    return Grade(ordered[0].letter if ordered else "A+", total, scores, ordered)


def _step(steps: Iterable[tuple[int, int]], bits: int) -> int:
    return next(score for least, score in steps if bits >= least)


def _middle(scores: Iterable[int]) -> float:
    """The guide's algorithm: the best one's score plus the worst one's, divided by two; 0 where the worst is 0."""
    held = list(scores)
    return (max(held) + min(held)) / 2 if min(held) else 0.0


def _exchange_strengths(seen: Observation) -> Iterator[int]:
    """Of each suite the strength of its weakest part: the server's key or the ephemeral one, in bits as of RSA.

    An anonymous exchange proves nobody's identity and counts as none, one for export as 512 bits.
    """
    key = min((certificate.key_bits for certificate in seen.certificates), default=0)
    for suite in seen.suites:
        if suite.anonymous:
            yield 0
        else:
            ephemeral = key if suite.exchange_bits is None else suite.exchange_bits
            yield min(key, ephemeral, 512 if "EXPORT" in suite.name else key)


def _unworthy(letter: str, total: float) -> Iterator[Deduction]:
    if letter != "A":
        yield Deduction(letter, f"the three scores come to {total:g} of 100")


def _caps(seen: Observation) -> Iterator[Deduction]:
    """Rules that lower the letter: the guide's section on changes, 2009c to 2009r."""
    for certificate in seen.certificates:
        if certificate.untrusted:
            yield Deduction("T", f"the certificate is not trusted: {certificate.untrusted}")
        if certificate.misnamed:
            yield Deduction("M", f"the certificate is for another name: {certificate.misnamed}")
        for name in set(certificate.signature_hashes) & BROKEN_HASHES:
            yield Deduction("T" if name == "sha1" else "F", f"the certificate's chain is signed with {name.upper()}")
        if certificate.key_bits < 1024:
            yield Deduction("F", f"the key has the strength of {certificate.key_bits} bits, fewer than 1024")
        elif certificate.key_bits < 2048:
            yield Deduction("B", f"the key has the strength of {certificate.key_bits} bits, fewer than 2048")
    flaws = (
        (seen.heartbleed, "F", "Heartbleed (CVE-2014-0160) can be exploited"),
        (seen.ccs_injection, "F", "OpenSSL's CCS injection (CVE-2014-0224) can be exploited"),
        (seen.robot, "F", "ROBOT (CVE-2017-13099 and others): an oracle for RSA decryption"),
        (seen.insecure_client_renegotiation, "F", "insecure renegotiation (CVE-2009-3555) is accepted"),
        (seen.compression, "C", "TLS compression is on (CRIME, CVE-2012-4929)"),
    )
    yield from (Deduction(letter, reason) for present, letter, reason in flaws if present)
    yield from _protocol_caps(seen)
    yield from _suite_caps(seen.suites)


def _protocol_caps(seen: Observation) -> Iterator[Deduction]:
    offered = seen.protocols
    rules = (
        ("SSL 2.0" in offered, "F", "SSL 2.0 is offered"),
        ("SSL 3.0" in offered, "F", "SSL 3.0 is offered (POODLE, CVE-2014-3566)"),
        ("TLS 1.2" not in offered and "TLS 1.3" not in offered, "C", "neither TLS 1.2 nor TLS 1.3 is offered"),
        ("TLS 1.0" in offered, "B", "TLS 1.0 is offered"),
        ("TLS 1.1" in offered, "B", "TLS 1.1 is offered"),
        ("TLS 1.3" not in offered, "A-", "TLS 1.3 is not offered"),
    )
    yield from (Deduction(letter, reason) for applies, letter, reason in rules if applies)


def _suite_caps(suites: tuple[Suite, ...]) -> Iterator[Deduction]:
    modern = [suite for suite in suites if PROTOCOLS.index(suite.protocol) >= PROTOCOLS.index("TLS 1.1")]
    weak_groups = [
        suite for suite in suites if not suite.anonymous and suite.exchange_bits and suite.exchange_bits < 2048
    ]
    rules = (
        ([s for s in suites if s.anonymous], "F", "anonymous suites, which prove nobody's identity"),
        ([s for s in suites if s.bits == 0], "F", "suites that encrypt nothing"),
        ([s for s in suites if "EXPORT" in s.name], "F", "suites weakened for export (FREAK, Logjam)"),
        ([s for s in weak_groups if (s.exchange_bits or 0) < 1024], "F", "key exchange of fewer than 1024 bits"),
        ([s for s in weak_groups if (s.exchange_bits or 0) >= 1024], "B", "key exchange of fewer than 2048 bits"),
        ([s for s in modern if "_RC4_" in s.name], "C", "RC4 is offered with TLS 1.1 or newer"),
        ([s for s in suites if "_RC4_" in s.name and s not in modern], "B", "RC4 is offered"),
        ([s for s in modern if _has_small_blocks(s)], "C", "blocks of 64 bits with TLS 1.1 or newer (Sweet32)"),
    )
    for affected, letter, reason in rules:
        if affected:
            yield Deduction(letter, f"{reason}: {_named(affected)}")
    if not any(_is_forward_secret(suite) for suite in suites):
        yield Deduction("B", "no forward secrecy with today's browsers: no ECDHE suite is offered")
    if not any(mark in suite.name for suite in suites for mark in AEAD):
        yield Deduction("B", "no suite with authenticated encryption (GCM, CCM, ChaCha20-Poly1305) is offered")


def _has_small_blocks(suite: Suite) -> bool:
    return any(mark in suite.name for mark in SMALL_BLOCKS)


def _is_forward_secret(suite: Suite) -> bool:
    """Today's browsers offer no DHE suites; those of TLS 1.3 are always forward secret."""
    return "_ECDHE_" in suite.name or suite.protocol == "TLS 1.3"


def _named(suites: Iterable[Suite]) -> str:
    names = list(dict.fromkeys(suite.name for suite in suites))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _warnings(seen: Observation) -> Iterator[Deduction]:
    if not seen.secure_renegotiation and not seen.insecure_client_renegotiation:
        yield Deduction("A-", "secure renegotiation (RFC 5746) is not supported")


def _short_of_the_best(seen: Observation) -> Iterator[Deduction]:
    """What an A+ needs beyond an A without a warning."""
    if seen.hsts_seconds is None:
        yield Deduction("A", "no Strict-Transport-Security is sent")
    elif seen.hsts_seconds < LONG_HSTS_SECONDS:
        yield Deduction("A", f"HSTS lasts {seen.hsts_seconds} s, less than half a year ({LONG_HSTS_SECONDS} s)")
