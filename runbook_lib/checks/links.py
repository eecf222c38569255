"""Links that the environment declares: each answers, or is named with what is wrong with it."""

from __future__ import annotations

import errno
import posixpath
import re
import socket
import ssl
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urlsplit

from runbook_lib import command
from runbook_lib.checks import http
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, check, progress

if TYPE_CHECKING:
    import httpx

REDIRECTS: Final = 10
"""How many redirects are followed; browsers follow twenty, and no sound link needs half of that."""

READABLE: Final = range(200, 300)
LOGIN: Final = (*READABLE, 401)
"""A dashboard that asks for a password is there."""

PLACEHOLDER: Final = re.compile(
    r"your-(?:domain|org|company)|[\[<{][^\]>}:]*[\]>}]|\b(?:TODO|FIXME|TBD)\b", re.IGNORECASE
)
"""What an example has where the real thing belongs."""


Cause = TypeVar("Cause", bound=BaseException)


class Outcome(StrEnum):
    """What a link came to."""

    ANSWERS = "yes"
    BROKEN = "no"
    UNKNOWN = "could not find out"


@dataclass(frozen=True)
class Link:
    """A name, and the address that stands beside it in the TOML; None where it does not."""

    name: str
    address: str | None


@dataclass(frozen=True)
class Visit:
    """A link, what was seen there in words, and the body of the page where one answered."""

    link: Link
    outcome: Outcome
    seen: str
    body: str = ""


def visit(env: Environment, link: Link, *, accepted: Container[int] = READABLE) -> Visit:
    """Look where a link leads: the web is asked, of ``mailto:`` and ``tel:`` the shape is judged.

    Parameters
    ----------
    accepted:
        Status codes that count as an answer.

    Raises
    ------
    Unanswerable
        The environment's own certificate authority is missing.
    """
    problem = _unusable(link.address)
    if problem:
        return Visit(link, Outcome.BROKEN, problem)
    address = link.address or ""
    scheme = urlsplit(address).scheme.lower()
    if scheme in ("http", "https"):
        progress(f"asking {address}")
        return _ask(env, link, accepted)
    if scheme in _SHAPES:
        shape, wanted = _SHAPES[scheme]
        if shape.fullmatch(unquote(address).partition(":")[2].partition("?")[0]):
            return Visit(link, Outcome.ANSWERS, f"{address}: the shape is right; a {scheme}: link has no answer to see")
        return Visit(link, Outcome.BROKEN, f"{address!r} is no {wanted}")
    return Visit(link, Outcome.UNKNOWN, f"the kit cannot ask a {scheme}: link")


# RFC 6068 takes more addresses than these, and RFC 3966 more numbers; support channels have plain ones.
_SHAPES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "mailto": (re.compile(r"[^@\s,]+@[^@\s,.]+(?:\.[^@\s,.]+)*"), "mail address: name@host"),
    "tel": (re.compile(r"\+?(?:[().-]*\d){3,15}[().-]*"), "telephone number: an optional +, and 3 to 15 digits"),
}


def _unusable(address: str | None) -> str:
    """Why the address cannot even be tried, or nothing. A password in it is not repeated."""
    if address is None:
        return "is not declared"
    if not address.strip():
        return "is empty"
    if PLACEHOLDER.search(address):
        return f"{address!r} still is a placeholder"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if not parts.scheme:
        return f"{address!r} is no URL: it has no scheme such as https:"
    if parts.password:
        return "holds a password, which everybody who reads the link would know"
    if parts.scheme in ("http", "https") and not host:
        return f"{address!r} names no host"
    return ""


def _ask(env: Environment, link: Link, accepted: Container[int]) -> Visit:
    """Follow an http or https link to its end."""
    import httpx

    try:
        with client(env) as via:
            return _follow(via, link, accepted, env.limits.request)
    except httpx.InvalidURL as error:
        return Visit(link, Outcome.BROKEN, f"{link.address!r} is no URL: {error}")
    except httpx.TimeoutException:
        return Visit(link, Outcome.UNKNOWN, f"did not answer within {env.limits.request:g} s")
    except httpx.RequestError as error:
        outcome, seen = _explain(error)
        return Visit(link, outcome, seen)


def client(env: Environment) -> httpx.Client:
    """A client for addresses anywhere: the environment's authority vouches for its own hosts alone."""
    import httpx

    own = httpx.HTTPTransport(verify=http.tls_context(env), trust_env=False)
    hosts = {*env.domains, urlsplit(env.web.url).hostname or ""} - {""}
    return httpx.Client(
        mounts={f"all://{prefix}{host}": own for host in sorted(hosts) for prefix in ("", "*.")},
        timeout=env.limits.request,
        headers={http.HEADER: http.MARK},
        trust_env=False,
    )


def _follow(via: httpx.Client, link: Link, accepted: Container[int], seconds: float) -> Visit:
    """Ask, and ask where the answer sends us; `seconds` is the limit for all of it."""
    request: httpx.Request | None = via.build_request("GET", link.address or "")
    deadline = time.monotonic() + seconds
    trail: list[str] = []
    while request is not None:
        if len(trail) > REDIRECTS:
            circle = f", in a circle: {trail[-1]} again and again" if trail[-1] in trail[:-1] else ""
            return Visit(link, Outcome.BROKEN, f"redirects more than {REDIRECTS} times{circle}")
        trail.append(str(request.url))
        response = via.send(request, stream=True)
        try:
            request = response.next_request
            if request is None:
                body = _read(response, deadline)
        finally:
            response.close()
    if body is None:
        return Visit(link, Outcome.UNKNOWN, f"{trail[-1]} did not end its answer within {seconds:g} s")
    return _judged(link, response, trail, accepted, body)


def _read(response: httpx.Response, deadline: float) -> str | None:
    """At most :data:`http.BODY_LIMIT` bytes of the body as text; None where it takes longer than until `deadline`."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > http.BODY_LIMIT:
            break
        if time.monotonic() > deadline:
            return None
    return bytes(body[: http.BODY_LIMIT]).decode(errors="replace")


def _judged(link: Link, response: httpx.Response, trail: list[str], accepted: Container[int], body: str) -> Visit:
    code = response.status_code
    seen = f"{code} {response.reason_phrase}".rstrip() + (f" at {trail[-1]}" if len(trail) > 1 else "")
    if code in accepted:
        return Visit(link, Outcome.ANSWERS, seen, body)
    # Told to come back later, we have not seen what is there.
    return Visit(link, Outcome.UNKNOWN if code == 429 else Outcome.BROKEN, seen, body)


_OUR_NETWORK: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM)


def _explain(error: httpx.RequestError) -> tuple[Outcome, str]:
    """What a request without an answer says of the link, and what only of the way to it."""
    import httpx

    where = error.request.url.netloc.decode(errors="replace")
    untrusted = _cause(error, ssl.SSLCertVerificationError)
    if untrusted is not None:
        said = getattr(untrusted, "verify_message", "") or str(untrusted)
        return Outcome.BROKEN, f"the certificate of {where} does not verify: {said.rstrip('.')}"
    handshake = _cause(error, ssl.SSLError)
    if handshake is not None:
        return Outcome.BROKEN, f"TLS with {where} fails: {getattr(handshake, 'reason', None) or handshake}"
    if _cause(error, ConnectionRefusedError):
        return Outcome.BROKEN, f"{where} refuses the connection"
    if _cause(error, socket.gaierror):
        return Outcome.UNKNOWN, f"the name in {where} does not resolve here"
    system = _cause(error, OSError)
    if isinstance(error, httpx.ConnectError) and (system is None or system.errno in _OUR_NETWORK):
        return Outcome.UNKNOWN, f"{where} cannot be reached from here: {error}"
    if isinstance(error, httpx.UnsupportedProtocol):
        return Outcome.BROKEN, f"redirects to {error.request.url}, which is no web address"
    return Outcome.BROKEN, f"{where} does not answer in HTTP: {error or type(error).__name__}"


def _cause(error: BaseException | None, kind: type[Cause]) -> Cause | None:
    """The first of `kind` among the error and what led to it."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def in_release(env: Environment, release: Release, link: Link) -> Visit:
    """Look for a document that is declared by its path among the files of `release`.

    Raises
    ------
    Unanswerable
        Git cannot be asked, or does not know the release's commit.
    """
    path = posixpath.normpath((link.address or "").partition("#")[0].lstrip("/"))
    if path.startswith(".."):
        return Visit(link, Outcome.BROKEN, f"{path} lies outside the release")
    repository = env.application.repository
    listed = command.run(["git", "-C", repository, "ls-tree", "--long", release.commit, "--", path], timeout=60.0)
    if not listed.ok:
        raise Unanswerable(
            f"git cannot list {release.tag}: {listed.tail(1)}", remedy="see that application.repository has its commit"
        )
    found = re.match(r"\d+ blob \S+ +(\d+)\t", listed.output)
    if found is None:
        return Visit(link, Outcome.BROKEN, f"{path} is no file of {release.tag}")
    size = int(found[1])
    return Visit(link, Outcome.ANSWERS if size else Outcome.BROKEN, f"{path}, {size} bytes, in {release.tag}")


def look_up(env: Environment, release: Release, link: Link, *, accepted: Container[int] = READABLE) -> Visit:
    """Where a document is: a URL as by :func:`visit`, a path without a scheme as by :func:`in_release`."""
    address = link.address
    is_path = address and address.strip() and ":" not in address and not PLACEHOLDER.search(address)
    return in_release(env, release, link) if is_path else visit(env, link, accepted=accepted)


def judge(visits: Iterable[Visit], *, expected: str, remedy: str) -> Finding:
    """One finding over several links, as a table; ok where each answers.

    Raises
    ------
    Unanswerable
        None is broken, and of some it could not be found out.
    """
    seen = tuple(visits)
    broken = [one for one in seen if one.outcome is Outcome.BROKEN]
    unknown = [one for one in seen if one.outcome is Outcome.UNKNOWN]
    if unknown and not broken:
        raise Unanswerable(
            "; ".join(f"{one.link.name}: {one.seen}" for one in unknown),
            remedy="open it from another machine; raise limits.request where it is only slow",
        )
    rows = tuple((one.link.name, one.link.address or "", one.seen, str(one.outcome)) for one in seen)
    return Finding(
        ok=bool(seen) and not broken,
        observed={one.link.name: one.seen for one in broken or seen} or "none is declared",
        expected=expected,
        remedy=remedy,
        tables=(Table(("name", "address", "observed", "answers"), rows),),
    )


def declared(name: str, links: Mapping[str, str]) -> Link:
    """The link called `name`, however its letters are cased."""
    return Link(name, next((url for key, url in links.items() if key.casefold() == name.casefold()), None))


@check("The dashboard {name} is declared and answers")
def dashboard(env: Environment, name: str) -> Finding:
    """C.5–C.7: ``documentation.dashboards`` names it; for the status page, ``documentation.status_page`` does too."""
    known = dict(env.documentation.dashboards)
    if env.documentation.status_page is not None:
        known.setdefault("Status Page", env.documentation.status_page)
    return judge(
        [visit(env, declared(name, known), accepted=LOGIN)],
        expected="declared, and answers with 200 to 299, or 401 where it asks for a password",
        remedy=f'correct documentation.dashboards."{name}" in {env.name}.toml, or bring the dashboard up',
    )


@check("The document {name} is declared and can be read")
def document(env: Environment, release: Release, name: str) -> Finding:
    """C.8–C.10: ``documentation.links`` names it, by a URL that answers or by the path of a file of the release."""
    return judge(
        [look_up(env, release, declared(name, env.documentation.links))],
        expected=f"declared, and answers with 200 to 299, or is a file of {release.tag} that is not empty",
        remedy=f'correct documentation.links."{name}" in {env.name}.toml, or publish the document',
    )


@check("Support channels are declared, and their links answer")
def support(env: Environment) -> Finding:
    """15.2.3: each of ``documentation.support``; of ``mailto:`` and ``tel:`` only the shape can be judged."""
    return judge(
        [visit(env, Link(name, url), accepted=LOGIN) for name, url in env.documentation.support.items()],
        expected="at least one is declared; each answers with 200 to 299 or 401, or is a sound mailto: or tel:",
        remedy=f"declare the channels in documentation.support of {env.name}.toml, and correct those marked 'no'",
    )


@check("The status page shows {release}, or that all is well")
def status_page(env: Environment, release: Release) -> Finding:
    """15.2.2: ``documentation.status_page`` answers, and says the release's name or one of ``status_shows``."""
    page = visit(env, Link("status page", env.documentation.status_page))
    if page.outcome is not Outcome.ANSWERS:
        return judge(
            [page],
            expected="declared, and answers with 200 to 299",
            remedy=f"correct documentation.status_page in {env.name}.toml, or bring the page up",
        )
    text = visible_text(page.body)
    version = re.escape(release.tag.removeprefix("v"))
    # Not within a longer version: 1.0.0 is neither 11.0.0 nor 1.0.0-rc1 nor 1.0.0.1.
    named = re.search(rf"(?<![\w.-])v?{version}(?![\w-]|\.\w)", text, re.IGNORECASE)
    states = [state for state in env.documentation.status_shows if state.casefold() in text.casefold()]
    return Finding(
        ok=bool(named or states),
        observed=f"{page.seen}; it says: {text[:300] or 'nothing that can be read without running its scripts'}",
        expected=f"{release.tag}, or one of: {', '.join(env.documentation.status_shows)}",
        remedy="update the status page; or name what it says when all is well in documentation.status_shows; where "
        "scripts draw it, declare the address of its JSON",
    )


def visible_text(body: str) -> str:
    """What a page says, without its tags, scripts and styles; any other body as it is. White space is collapsed."""
    if body.lstrip().startswith("<"):
        reader = _Text()
        reader.feed(body)
        body = " ".join(reader.parts)
    return " ".join(body.split())


class _Text(HTMLParser):
    """Collects text."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style", "template")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)
