"""What the service answers over HTTP: one client for every check, requests as declared, answers judged."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, check

if TYPE_CHECKING:
    import httpx

HEADER: Final = "X-Runbook"
MARK: Final = f"runbook {secrets.token_hex(4)}"
"""What the header says: that it was us, and which process of ours."""

BODY_LIMIT: Final = 2_000_000
"""Bytes of an answer that are read; no endpoint of the checklist needs more."""


@dataclass(frozen=True)
class Answer:
    """What came back: `body` holds at most :data:`BODY_LIMIT` bytes, `seconds` is the time until its end."""

    status: int
    headers: httpx.Headers
    body: bytes
    whole: bool
    seconds: float

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode(errors="replace")

    @property
    def kind(self) -> str:
        """The media type, without its parameters."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON. Raises ValueError, saying what it is instead."""
        import json

        if not self.whole:
            raise ValueError(f"larger than {BODY_LIMIT} bytes")
        try:
            return json.loads(self.body)
        except ValueError:
            raise ValueError(f"not JSON, but {self.kind or 'of no type'}: {self.text[:60]!r}") from None


@dataclass(frozen=True)
class Examination:
    """One request, its answer (None where none came), and what is wrong with it."""

    request: Request
    answer: Answer | None
    problems: tuple[str, ...]

    @property
    def observed(self) -> str:
        """The answer in a few words."""
        if self.answer is None:
            return "; ".join(self.problems)
        said = f"{self.answer.status} in {self.answer.seconds * 1000:.0f} ms"
        return "; ".join([said, *self.problems])


def tls_context(env: Environment) -> ssl.SSLContext:
    """Verification by the environment's own authority where it declares one, else by the system's."""
    authority = env.web.certificate_authority
    if authority is not None and not authority.is_file():
        raise Unanswerable(f"{authority} was not found", remedy="correct web.certificate_authority in the environment")
    return ssl.create_default_context(cafile=authority)


def client(env: Environment, *, local_address: str | None = None, follow_redirects: bool = False) -> httpx.Client:
    """The one client that talks to the target: marked, verified, bounded in time, deaf to proxy variables.

    Parameters
    ----------
    local_address:
        Address of this machine to speak from.
    """
    import httpx

    return httpx.Client(
        transport=httpx.HTTPTransport(verify=tls_context(env), local_address=local_address, trust_env=False),
        timeout=env.limits.request,
        headers={HEADER: MARK},
        follow_redirects=follow_redirects,
        trust_env=False,
    )


def ask(env: Environment, request: Request, *, via: httpx.Client | None = None) -> Answer:
    """Send one request, by `via` where many are to share a connection.

    Raises
    ------
    httpx.TransportError
        The target refused, broke off or showed a certificate that does not verify: that is an observation.
    Unanswerable
        Nobody answered in time, or the name does not resolve: that is none.
    """
    import httpx

    if via is None:
        with client(env) as own:
            return ask(env, request, via=own)
    address = env.web.address(request.path)
    headers = env.web.headers
    started = time.monotonic()
    try:
        with via.stream(request.method, address, json=request.json_body, headers=headers) as response:
            body, whole = bounded(response.iter_bytes())
            return Answer(response.status_code, response.headers, body, whole, time.monotonic() - started)
    except httpx.TimeoutException as error:
        raise Unanswerable(
            f"{address} did not answer within {env.limits.request:g} s",
            remedy="look at the service's load and log, or raise limits.request",
        ) from error
    except httpx.ConnectError as error:
        if is_unresolved(error):
            raise Unanswerable(f"the name in {address} does not resolve", remedy="check web.url and the DNS") from error
        raise


def bounded(chunks: Iterable[bytes]) -> tuple[bytes, bool]:
    """At most :data:`BODY_LIMIT` bytes, and whether that was all."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > BODY_LIMIT:
            return bytes(body[:BODY_LIMIT]), False
    return bytes(body), True


def is_unresolved(error: BaseException | None) -> bool:
    """Whether a name that does not resolve is behind `error`."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        # httpcore raises its own error while it handles the system's, without naming it the cause.
        error = error.__cause__ or error.__context__
    return False


def examine(env: Environment, request: Request, *, via: httpx.Client | None = None) -> Examination:
    """Send `request` and hold its answer against what the TOML expects. Raises Unanswerable as :func:`ask` does."""
    import httpx

    try:
        answer = ask(env, request, via=via)
    except httpx.TransportError as error:
        return Examination(request, None, (f"no answer: {error or type(error).__name__}",))
    return Examination(request, answer, tuple(_problems(request, answer)))


def _problems(request: Request, answer: Answer) -> list[str]:
    problems = []
    if answer.status not in request.status:
        problems.append(f"status {answer.status}, expected {_either(request.status)}")
    if request.expect:
        try:
            problems += mismatches(request.expect, answer.json())
        except ValueError as error:
            problems.append(f"the body is {error}")
    return problems


def mismatches(expected: Any, observed: Any, path: str = "$") -> list[str]:
    """Where `observed` lacks something of `expected`, each with its path.

    Members and elements beyond the expected ones are welcome; an expected element may stand anywhere in its list.
    """
    if isinstance(expected, Mapping):
        if not isinstance(observed, Mapping):
            return [f"{path}: {_short(observed)}, expected an object"]
        return [
            problem
            for key, value in expected.items()
            for problem in (
                mismatches(value, observed[key], f"{path}.{key}") if key in observed else [f"{path}.{key}: is missing"]
            )
        ]
    if isinstance(expected, list):
        if not isinstance(observed, list):
            return [f"{path}: {_short(observed)}, expected a list"]
        return [
            f"{path}: no element matches {_short(value)}"
            for value in expected
            if not any(not mismatches(value, element) for element in observed)
        ]
    same = expected == observed and isinstance(expected, bool) == isinstance(observed, bool)
    return [] if same else [f"{path}: {_short(observed)}, expected {_short(expected)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _either(status: Iterable[int]) -> str:
    return " or ".join(str(code) for code in status)


def _wanted(request: Request) -> str:
    return _either(request.status) + (f" with {_short(request.expect)}" if request.expect else "")


def judge(examinations: Iterable[Examination], *, remedy: str) -> Finding:
    """One finding over several examinations, as a table; ok where none has a problem."""
    seen = tuple(examinations)
    failing = [one for one in seen if one.problems]
    rows = tuple(
        (one.request.title, _wanted(one.request), one.observed, "no" if one.problems else "yes") for one in seen
    )
    return Finding(
        ok=bool(seen) and not failing,
        observed={one.request.title: one.observed for one in failing or seen},
        expected={one.request.title: _wanted(one.request) for one in failing or seen},
        remedy=remedy,
        tables=(Table(("request", "expected", "observed", "as expected"), rows),),
    )


@check("Every health endpoint of {env} answers as expected")
def health(env: Environment) -> Finding:
    """8.3: the declared status and JSON at each of ``web.health``."""
    with client(env) as via:
        return judge(
            [examine(env, request, via=via) for request in env.web.health],
            remedy="read the log of the service behind the endpoint that differs",
        )


@check("The version that answers is {release}")
def version_is(env: Environment, release: Release) -> Finding:
    """8.3: ``web.version_key`` at ``web.version_path`` names the release; a leading ``v`` does not matter."""
    examination = examine(env, Request(path=env.web.version_path))
    version = _version(env, examination)
    return Finding(
        ok=version is not None and version.removeprefix("v") == release.tag.removeprefix("v"),
        observed=examination.observed if version is None else version,
        expected=release.tag.removeprefix("v"),
        remedy="the old release still answers, or the build carries a wrong version: look at what is deployed (8.1)",
    )


def _version(env: Environment, examination: Examination) -> str | None:
    if examination.answer is None:
        return None
    try:
        body = examination.answer.json()
    except ValueError:
        return None
    value = body.get(env.web.version_key) if isinstance(body, Mapping) else None
    return None if value is None else str(value)


@check("Every declared feature works on {env}")
def features(env: Environment) -> Finding:
    """7.1.3: each of ``features`` answers with its declared status and JSON."""
    return examine_features(env)


def examine_features(env: Environment) -> Finding:
    """One finding over every declared feature. Raises Unanswerable where none is declared."""
    if not env.features:
        raise Unanswerable(f"{env.name}.toml declares no features", remedy="declare each feature as [[features]]")
    with client(env) as via:
        return judge(
            [examine(env, request, via=via) for request in env.features],
            remedy="the rows marked 'no' differ: fix the feature, or what the TOML expects of it",
        )


@check("A valid request is accepted")
def accepts(env: Environment) -> Finding:
    """9.2.2: ``api.accepted`` is answered as declared."""
    return judge([examine(env, env.api.accepted)], remedy="read the back end's log for this request")


@check("An invalid request is refused with 4xx")
def refuses(env: Environment) -> Finding:
    """9.2.2: ``api.refused`` is answered with a client error, by the declared status where that is one."""
    declared = tuple(code for code in env.api.refused.status if 400 <= code < 500)
    request = env.api.refused.model_copy(update={"status": declared or tuple(range(400, 429))})
    finding = judge([examine(env, request)], remedy="the API takes what it must not: look at its validation")
    return finding if declared else Finding(**{**vars(finding), "expected": "a status of 400 to 428"})


@check("The providers are listed")
def providers(env: Environment) -> Finding:
    """9.2.3: ``api.providers`` answers with the declared shape, and with at least one provider."""
    examination = examine(env, env.api.providers)
    finding = judge([examination], remedy="read the back end's log, and whether the providers were loaded")
    if not finding.ok or examination.answer is None:
        return finding
    count = _largest_list(examination.answer)
    return Finding(
        ok=count > 0,
        observed=f"{examination.observed}; {count} providers",
        expected=f"{_wanted(env.api.providers)}; at least 1 provider",
        remedy=finding.remedy,
        tables=finding.tables,
    )


def _largest_list(answer: Answer) -> int:
    """The length of the list that is the body, or the longest of its members; 0 where there is none."""
    try:
        body = answer.json()
    except ValueError:
        return 0
    lists = [body] if isinstance(body, list) else list(body.values()) if isinstance(body, Mapping) else []
    return max((len(value) for value in lists if isinstance(value, list)), default=0)
