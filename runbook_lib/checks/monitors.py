"""Asking the systems that watch the service: one client for all, and one way of saying why one cannot be asked."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from runbook_lib.checks.http import Answer, bounded
from runbook_lib.environment import Environment, Secret
from runbook_lib.errors import Unanswerable
from runbook_lib.step import progress

if TYPE_CHECKING:
    import httpx

POLL_SECONDS: Final = 0.5
T = TypeVar("T")


def client(env: Environment, *, token: Secret | None = None) -> httpx.Client:
    """A client that trusts the system's authorities, and the environment's own beside them.

    Parameters
    ----------
    token:
        Sent as ``Authorization: Bearer``.

    Raises
    ------
    Unanswerable
        The token's reference leads nowhere, or the authority's file is missing.
    """
    import httpx

    trust = ssl.create_default_context()
    authority = env.web.certificate_authority
    if authority is not None:
        if not authority.is_file():
            raise Unanswerable(f"{authority} was not found", remedy="correct web.certificate_authority")
        trust.load_verify_locations(authority)
    headers = {"Authorization": f"Bearer {token.resolve().get_secret_value()}"} if token else {}
    return httpx.Client(
        transport=httpx.HTTPTransport(verify=trust, trust_env=False),
        timeout=env.limits.request,
        headers=headers,
        follow_redirects=False,
        trust_env=False,
    )


def place(address: str) -> str:
    """Scheme, host and port of `address`: its path may hold a secret."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def get(
    env: Environment,
    address: str,
    *,
    who: str,
    setting: str,
    token: Secret | None = None,
    parameters: Mapping[str, str] | None = None,
    accepted: tuple[int, ...] = (200,),
) -> Answer:
    """The answer to a GET.

    Parameters
    ----------
    who, setting:
        Whom we ask, and the setting that says where, for the reader.
    accepted:
        The status codes that are an answer.

    Raises
    ------
    Unanswerable
        Nobody answered, or not what can be used.
    """
    import httpx

    started = time.monotonic()
    with client(env, token=token) as via:
        try:
            with via.stream("GET", address, params=parameters) as response:
                body, whole = bounded(response.iter_bytes())
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Unanswerable(
                f"{who} at {place(address)} does not answer: {error or type(error).__name__}",
                remedy=f"see that {who} runs and can be reached from here; check {setting}",
            ) from error
    answer = Answer(response.status_code, response.headers, body, whole, time.monotonic() - started)
    if answer.status in accepted:
        return answer
    if answer.status in (401, 403):
        raise Unanswerable(
            f"{who} at {place(address)} refuses us with {answer.status}",
            remedy=f"check the token beside {setting}, and what it may read",
        )
    raise Unanswerable(
        f"{who} at {place(address)} answers with {answer.status}: {answer.text[:200].strip()}",
        remedy=f"check {setting}, and the log of {who}",
    )


def get_json(
    env: Environment,
    address: str,
    *,
    who: str,
    setting: str,
    token: Secret | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Any:
    """The JSON that :func:`get` is answered with. Raises Unanswerable as it does, and where the answer is no JSON."""
    answer = get(env, address, who=who, setting=setting, token=token, parameters=parameters)
    try:
        return answer.json()
    except (ValueError, RecursionError) as error:
        raise Unanswerable(
            f"{who} at {place(address)} answers with something that is {error}",
            remedy=f"check {setting}: is it the address of {who} itself?",
        ) from error


def at_path(value: Any, path: str) -> Any:
    """What stands at `path` in JSON: members and list indices with dots between, as in ``monitors.0.status``.

    Raises
    ------
    LookupError
        Nothing does; the text says how far it leads.
    """
    walked: list[str] = []
    for part in path.split(".") if path else ():
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise LookupError(f"there is no '{part}' at {'.'.join(walked) or 'the top'}")
        walked.append(part)
    return value


def wait_for(look: Callable[[], T | None], seconds: float, message: str) -> tuple[T | None, float]:
    """Look until there is something to see, at most `seconds` long; what was seen, and how long it took."""
    started = time.monotonic()
    while (seen := look()) is None and time.monotonic() - started < seconds:
        progress(f"{message} ({time.monotonic() - started:.0f} s)")
        time.sleep(min(POLL_SECONDS, seconds))
    return seen, time.monotonic() - started
