"""Security headers of the front page: the value judged, not only the presence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from runbook_lib.checks import http
from runbook_lib.checks.content_security_policy import framed_by_others, parse_policies, weaknesses
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, check

STRICT_REFERRERS: Final = ("no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin")
REFERRERS: Final = (*STRICT_REFERRERS, "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "unsafe-url")


def _values(env: Environment, name: str) -> list[str]:
    """Every value that the front page gives for a header. Raises Unanswerable where there is no front page."""
    page = http.examine(env, Request(path=env.browser.path))
    if page.answer is None or page.problems:
        raise Unanswerable(
            f"the front page could not be looked at: {page.observed}", remedy="bring the front page up first (S.3)"
        )
    return [value.strip() for value in page.answer.headers.get_list(name)]


@check("A content security policy is set, without inline scripts and wildcards")
def content_security_policy(env: Environment) -> Finding:
    """12.2.1: judged by :mod:`content_security_policy`; several policies apply together."""
    policies = parse_policies(_values(env, "content-security-policy"))
    problems = weaknesses(policies)
    return Finding(
        ok=not problems,
        observed=problems or policies,
        expected="script-src or default-src without 'unsafe-inline', 'unsafe-eval' and wildcards, no plug-ins from "
        "anywhere, and base-uri where scripts are trusted by nonces",
        remedy="let the edge send such a Content-Security-Policy; nonces or hashes allow single inline scripts",
    )


def _one_of(env: Environment, name: str, allowed: tuple[str, ...]) -> Finding:
    """Every value given for a header is one of those allowed, and at least one is given."""
    values = _values(env, name)
    given = {part.strip().lower() for value in values for part in value.split(",")}
    return Finding(
        ok=bool(given) and given <= set(allowed),
        observed=", ".join(values) or f"no {name}",
        expected=" or ".join(allowed),
        remedy=f"let the edge send {name}: {allowed[0]}, once",
    )


@check("X-Frame-Options keeps other sites from framing the page")
def frame_options(env: Environment) -> Finding:
    """12.2.2: ``DENY`` or ``SAMEORIGIN``; differing values fail, and so does a frame-ancestors that overrides it."""
    finding = _one_of(env, "X-Frame-Options", ("deny", "sameorigin"))
    contradicts = len({part.strip().lower() for part in str(finding.observed).split(",")}) > 1
    overridden = framed_by_others(parse_policies(_values(env, "content-security-policy")))
    observed = f"{finding.observed}; {overridden}" if overridden else finding.observed
    return Finding(finding.ok and not contradicts and not overridden, observed, "DENY or SAMEORIGIN", finding.remedy)


@check("X-Content-Type-Options is nosniff")
def content_type_options(env: Environment) -> Finding:
    """12.2.3: ``nosniff``."""
    return _one_of(env, "X-Content-Type-Options", ("nosniff",))


@check("Referrer-Policy tells other sites no path")
def referrer_policy(env: Environment) -> Finding:
    """12.2.4: of a list the last value that browsers know counts, and it must be a strict one."""
    values = _values(env, "Referrer-Policy")
    known = [part.strip().lower() for value in values for part in value.split(",")]
    effective = next((policy for policy in reversed(known) if policy in REFERRERS), None)
    return Finding(
        ok=effective in STRICT_REFERRERS,
        observed=", ".join(values) or "no Referrer-Policy",
        expected=" or ".join(STRICT_REFERRERS),
        remedy="let the edge send Referrer-Policy: strict-origin-when-cross-origin",
    )


@dataclass(frozen=True)
class TransportPolicy:
    """A Strict-Transport-Security policy: for how many seconds, and whether for subdomains too."""

    seconds: int
    subdomains: bool


def parse_transport_policy(value: str) -> TransportPolicy | None:
    """The policy in one header's value, None where browsers ignore it (RFC 6797, sections 6.1 and 8.1)."""
    directives: dict[str, str] = {}
    for directive in value.split(";"):
        name, _, given = (part.strip() for part in directive.partition("="))
        if name.lower() in directives:
            return None
        if name:
            directives[name.lower()] = given
    seconds = re.fullmatch(r'"?([0-9]+)"?', directives.get("max-age", ""))
    return TransportPolicy(int(seconds[1]), "includesubdomains" in directives) if seconds else None


def hsts_seconds(env: Environment) -> int | None:
    """For how long the front page asks browsers to keep to https; None where it does not, or shows no page."""
    page = http.examine(env, Request(path=env.browser.path))
    values = page.answer.headers.get_list("strict-transport-security") if page.answer else []
    policy = parse_transport_policy(values[0]) if values else None
    return policy.seconds if policy else None


@check("HSTS keeps browsers on https")
def strict_transport_security(env: Environment) -> Finding:
    """12.1.2: for ``security.hsts_seconds`` or longer, subdomains included; of several headers the first counts.

    Raises
    ------
    Unanswerable
        There is no front page to look at.
    """
    values = _values(env, "strict-transport-security")
    policy = parse_transport_policy(values[0]) if values else None
    https = env.web.url.startswith("https://")
    return Finding(
        ok=https and policy is not None and policy.seconds >= env.security.hsts_seconds and policy.subdomains,
        observed=(", ".join(values) or "no Strict-Transport-Security") + ("" if https else "; web.url is not https"),
        expected=f"over https: max-age={env.security.hsts_seconds} or more; includeSubDomains",
        remedy=f"let the edge send Strict-Transport-Security: max-age={env.security.hsts_seconds}; includeSubDomains",
    )


@check("Plain http redirects to https")
def http_redirects(env: Environment) -> Finding:
    """12.1.2: ``web.http_url`` answers with a redirect to https, on the same host or within the environment's domains.

    Raises
    ------
    Unanswerable
        ``web.http_url`` is not declared, or nobody answered in time.
    """
    if env.web.http_url is None:
        raise Unanswerable(
            f"{env.name}.toml does not say where plain http is", remedy="declare web.http_url, usually port 80"
        )
    plain = env.model_copy(update={"web": env.web.model_copy(update={"url": env.web.http_url})})
    found = http.examine(plain, Request(path="/", status=(301, 302, 303, 307, 308)))
    target = found.answer.headers.get("location", "") if found.answer else ""
    problems = [*found.problems, *([] if found.problems else _redirect_problems(env, target))]
    return Finding(
        ok=not problems,
        observed="; ".join(problems) or f"{found.observed}, to {target}",
        expected=f"{env.web.http_url} redirects to {env.web.url}",
        remedy="let the edge answer plain http with a 308 to the same path over https, and with nothing else",
    )


def _redirect_problems(env: Environment, target: str) -> list[str]:
    try:
        parts = urlsplit(target)
    except ValueError:
        return [f"redirects to {target!r}, which is no URL"]
    host = (parts.hostname or "").lower()
    own = {(urlsplit(env.web.url).hostname or "").lower(), *(domain.lower() for domain in env.domains)}
    if parts.scheme != "https":
        return [f"redirects to {target or 'nowhere'}, which is not https"]
    inside = host in own or any(host.endswith(f".{domain}") for domain in own)
    return [] if inside else [f"redirects to {host}, outside the environment's domains"]
