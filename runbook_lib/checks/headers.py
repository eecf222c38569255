"""Security headers of every declared address and of errors: the value judged, not only the presence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from runbook_lib.checks import header_answers, http
from runbook_lib.checks.content_security_policy import framed_by_others, parse_policies, weaknesses
from runbook_lib.checks.http import Answer, Examination
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, check

DOCUMENTS: Final = frozenset({"", "text/html", "application/xhtml+xml", "image/svg+xml"})
"""Media types that browsers render, and run the scripts of; without one they guess."""
GOOD: Final = "yes"
NOT_JUDGED: Final = "not judged"

STRICT_REFERRERS: Final = ("no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin")
REFERRERS: Final = (*STRICT_REFERRERS, "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "unsafe-url")


def _values(answer: Answer, header: str) -> list[str]:
    return [value.strip() for value in answer.headers.get_list(header)]


def _parts(answer: Answer, header: str) -> list[str]:
    """The values of a header that is a list, in lower case."""
    return [part.strip().lower() for value in _values(answer, header) for part in value.split(",")]


def _has_content(answer: Answer) -> bool:
    """Redirects have none that a browser would show, sniff or frame."""
    return not 300 <= answer.status < 400


def _is_document(answer: Answer) -> bool:
    return _has_content(answer) and answer.kind in DOCUMENTS


@dataclass(frozen=True)
class Rule:
    """How one header is judged.

    Parameters
    ----------
    fault:
        What is wrong with an answer's header; empty where nothing is.
    applies:
        Which answers need the header at all; the front page always does.
    """

    header: str
    fault: Callable[[Answer], str]
    expected: str
    remedy: str
    applies: Callable[[Answer], bool] = _has_content

    def row(self, seen: Examination, *, always: bool) -> tuple[str, int | None, str, str]:
        """The request, the status, the header, and what is wrong with it or why it was not judged."""
        if seen.answer is None:
            return seen.request.title, None, "", f"not seen: {seen.observed}"
        judged = always or self.applies(seen.answer)
        verdict = self.fault(seen.answer) or GOOD if judged else NOT_JUDGED
        return seen.request.title, seen.answer.status, ", ".join(_values(seen.answer, self.header)), verdict


def _judge(env: Environment, rule: Rule) -> Finding:
    """One finding over the answers of :mod:`header_answers`.

    Raises
    ------
    Unanswerable
        The front page is not up; or nothing is wrong with what was seen, but an address was not seen, or no error.
    """
    seen = header_answers.collect(env)
    rows = tuple(rule.row(one, always=one is seen[0]) for one in seen)
    answered = [row for row in rows if row[1] is not None and row[3] != NOT_JUDGED]
    wrong = {title: f"{value or 'none'}: {verdict}" for title, _, value, verdict in answered if verdict != GOOD}
    alike: dict[str, list[str]] = {}
    for title, _, value, _ in answered:
        alike.setdefault(value, []).append(title)
    finding = Finding(
        ok=not wrong,
        observed=wrong or alike,
        expected=rule.expected,
        remedy=f"{rule.remedy}; with every answer, errors too (nginx: 'always', again in each location that adds any)",
        tables=(Table(("answer", "status", rule.header, "as expected"), rows),),
    )
    if finding.ok:
        _require_seen(env, seen, finding)
    return finding


def _require_seen(env: Environment, seen: Sequence[Examination], finding: Finding) -> None:
    silent = [one for one in seen if one.answer is None]
    if silent:
        raise Unanswerable(
            f"{silent[0].request.title} was not seen: {silent[0].observed}",
            remedy="see that it is answered (8.3), and run the item again",
            seen=finding,
        )
    if not any(one.answer and one.answer.status >= 400 for one in seen):
        raise Unanswerable(
            "every address was answered without an error, so that no error's headers were seen",
            remedy=f"add a path that is answered with 4xx to security.header_paths in {env.name}.toml",
            seen=finding,
        )


@check("A content security policy is set, without inline scripts and wildcards")
def content_security_policy(env: Environment) -> Finding:
    """12.2.1: each document's, judged by :mod:`content_security_policy`; several policies apply together.

    Answers that browsers do not render, such as JSON, need none.
    """
    return _judge(
        env,
        Rule(
            "Content-Security-Policy",
            lambda answer: "; ".join(weaknesses(parse_policies(_values(answer, "content-security-policy")))),
            applies=_is_document,
            expected="script-src or default-src without 'unsafe-inline', 'unsafe-eval' and wildcards, no plug-ins from "
            "anywhere, and base-uri where scripts are trusted by nonces",
            remedy="let the edge send such a Content-Security-Policy; nonces or hashes allow single inline scripts",
        ),
    )


@check("X-Frame-Options keeps other sites from framing the page")
def frame_options(env: Environment) -> Finding:
    """12.2.2: ``DENY`` or ``SAMEORIGIN``; differing values fail, and so does a frame-ancestors that overrides it."""

    def fault(answer: Answer) -> str:
        if set(_parts(answer, "x-frame-options")) not in ({"deny"}, {"sameorigin"}):
            return "neither DENY nor SAMEORIGIN, once"
        return framed_by_others(parse_policies(_values(answer, "content-security-policy")))

    return _judge(
        env,
        Rule(
            "X-Frame-Options",
            fault,
            expected="DENY or SAMEORIGIN",
            remedy="let the edge send X-Frame-Options: deny, once",
        ),
    )


@check("X-Content-Type-Options is nosniff")
def content_type_options(env: Environment) -> Finding:
    """12.2.3: ``nosniff``."""
    return _judge(
        env,
        Rule(
            "X-Content-Type-Options",
            lambda answer: "" if set(_parts(answer, "x-content-type-options")) == {"nosniff"} else "not nosniff",
            expected="nosniff",
            remedy="let the edge send X-Content-Type-Options: nosniff, once",
        ),
    )


@check("Referrer-Policy tells other sites no path")
def referrer_policy(env: Environment) -> Finding:
    """12.2.4: of a list the last value that browsers know counts, and it must be a strict one."""

    def fault(answer: Answer) -> str:
        known = [part for part in _parts(answer, "referrer-policy") if part in REFERRERS]
        return "" if known and known[-1] in STRICT_REFERRERS else "no strict policy"

    return _judge(
        env,
        Rule(
            "Referrer-Policy",
            fault,
            expected=" or ".join(STRICT_REFERRERS),
            remedy="let the edge send Referrer-Policy: strict-origin-when-cross-origin",
        ),
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
    seconds = re.fullmatch(r'"?([0-9]{1,18})"?', directives.get("max-age", ""))
    return TransportPolicy(int(seconds[1]), "includesubdomains" in directives) if seconds else None


def hsts_seconds(env: Environment) -> int | None:
    """For how long the front page asks browsers to keep to https; None where it does not, or shows no page."""
    page = http.examine(env, Request(path=env.browser.path))
    values = page.answer.headers.get_list("strict-transport-security") if page.answer else []
    policy = parse_transport_policy(values[0]) if values else None
    return policy.seconds if policy else None


@check("HSTS keeps browsers on https")
def strict_transport_security(env: Environment) -> Finding:
    """12.1.2: for ``security.hsts_seconds`` or longer, subdomains included; of several headers the first counts."""
    least = env.security.hsts_seconds
    https = env.web.url.startswith("https://")

    def fault(answer: Answer) -> str:
        policy = parse_transport_policy(next(iter(_values(answer, "strict-transport-security")), ""))
        if not https:
            return "web.url is not https"
        if policy is None:
            return "no policy that browsers take"
        return "" if policy.seconds >= least and policy.subdomains else "too short, or without subdomains"

    return _judge(
        env,
        Rule(
            "Strict-Transport-Security",
            fault,
            applies=lambda answer: True,
            expected=f"over https: max-age={least} or more; includeSubDomains",
            remedy=f"let the edge send Strict-Transport-Security: max-age={least}; includeSubDomains",
        ),
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
