"""How good the service's TLS is: a grade by SSL Labs' guide, and the protocols that must be refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

from runbook_lib.checks import headers, tls_scan
from runbook_lib.checks.tls_grade import Grade, at_least, grade
from runbook_lib.checks.tls_scan import OLD, Attempt, Observation
from runbook_lib.environment import Environment
from runbook_lib.step import Evidence, Finding, Table, check

GUIDE: Final = "SSL Labs' SSL Server Rating Guide 2009r, over a scan from this machine"


def _without_tls(env: Environment, expected: str) -> Finding | None:
    """A failure where the service is declared without TLS, None else."""
    if env.web.url.startswith("https://"):
        return None
    return Finding(False, f"web.url is {env.web.url}: no TLS", expected, remedy="serve it over https")


@check("The TLS of {env} deserves the grade that is declared")
def graded(env: Environment) -> Finding:
    """12.1.1: ``security.minimum_grade`` by SSL Labs' guide, each deduction named; ``web.certificate_authority``
    counts as trusted.

    Raises
    ------
    Unanswerable
        The server could not be scanned, or not wholly.
    """
    expected = f"{env.security.minimum_grade} or better, by {GUIDE}"
    plain = _without_tls(env, expected)
    if plain:
        return plain
    seen = tls_scan.observe(env, hsts_seconds=headers.hsts_seconds(env))
    given = grade(seen)
    return Finding(
        ok=at_least(given.letter, env.security.minimum_grade),
        observed={
            "grade": given.letter,
            "total of 100": given.total,
            "deductions": [f"{deduction.letter}: {deduction.reason}" for deduction in given.deductions],
        },
        expected=expected,
        remedy="let the edge or the certificate's issuer mend each deduction, the first one first",
        tables=_tables(seen, given),
        evidence=(Evidence("tls-scan.json", json.dumps(asdict(seen), indent=1, default=str)),),
    )


def _tables(seen: Observation, given: Grade) -> tuple[Table, ...]:
    return (
        Table(("category", "score of 100"), tuple(given.scores.items()), "Scores"),
        Table(
            ("at most", "because"),
            tuple((deduction.letter, deduction.reason) for deduction in given.deductions),
            "Deductions",
        ),
        Table(
            ("certificate", "strength in bits of RSA", "valid until"),
            tuple((one.subject, one.key_bits, one.not_after) for one in seen.certificates),
            "Certificates",
        ),
        Table(
            ("protocol", "suite", "cipher in bits", "key exchange in bits of RSA"),
            tuple((suite.protocol, suite.name, suite.bits, suite.exchange_bits) for suite in seen.suites),
            "Suites",
        ),
    )


@check("{env} speaks TLS 1.2 and newer only")
def only_modern(env: Environment) -> Finding:
    """12.1.3: SSL 2.0, SSL 3.0, TLS 1.0 and TLS 1.1 are each tried with every suite known for them, and refused.

    Raises
    ------
    Unanswerable
        The server could not be asked, or neither takes nor refuses one of them.
    """
    expected = f"{', '.join(OLD)} refused; TLS 1.2 or TLS 1.3 accepted"
    plain = _without_tls(env, expected)
    if plain:
        return plain
    attempts = tls_scan.try_protocols(env)
    accepted = [attempt.protocol for attempt in attempts if attempt.accepted]
    return Finding(
        ok=bool(accepted) and not set(accepted) & set(OLD),
        observed={"accepted": accepted, "refused": [one.protocol for one in attempts if not one.accepted]},
        expected=expected,
        remedy="set the edge's oldest protocol to TLS 1.2 (Caddy: tls { protocols tls1.2 tls1.3 })",
        tables=(Table(("protocol", "suites tried", "suites accepted", "refused by"), tuple(map(_row, attempts))),),
    )


def _row(attempt: Attempt) -> tuple[str, int, int, str]:
    return attempt.protocol, attempt.tried, len(attempt.accepted), "; ".join(attempt.refusals)
