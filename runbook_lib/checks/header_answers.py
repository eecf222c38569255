"""The answers whose headers phase 12 judges: one for each declared address, and errors."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from runbook_lib.checks import http
from runbook_lib.checks.http import Examination
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable

if TYPE_CHECKING:
    import httpx


def collect(env: Environment) -> tuple[Examination, ...]:
    """The front page's answer, and those of :func:`addresses`; by GET, which changes nothing.

    Raises
    ------
    Unanswerable
        The front page is not answered as it should be: the headers of an error page say nothing about it.
    """
    page = http.examine(env, Request(name="front page", path=env.browser.path))
    if page.answer is None or page.problems:
        raise Unanswerable(
            f"the front page could not be looked at: {page.observed}", remedy="bring the front page up first (S.3)"
        )
    with http.client(env) as via:
        return (page, *(_examine(env, request, via) for request in addresses(env)))


def addresses(env: Environment) -> tuple[Request, ...]:
    """Every address that the environment declares, apart from the front page, and two that cannot exist.

    A path that takes other methods only is answered with 405, and one that does not exist with 404: an edge may send
    its headers with some answers and not with others (nginx: ``add_header`` without ``always``, or in one location).
    """
    web, api = env.web, env.api
    declared = (
        *(request.path for request in (*web.health, api.providers, api.accepted, api.refused, *env.features)),
        *(web.version_path, web.docs_path, web.openapi_path, web.metrics_path),
        *(*env.security.admin_paths, *env.security.header_paths),
    )
    paths = [path for path in dict.fromkeys(declared) if path != env.browser.path]
    folders = dict.fromkeys(("", api.providers.path.partition("?")[0].rstrip("/").rpartition("/")[0]))
    absent = secrets.token_hex(8)
    unknown = (Request(name=f"GET {folder}/(unknown)", path=f"{folder}/runbook-{absent}") for folder in folders)
    return (*(Request(path=path) for path in paths), *unknown)


def _examine(env: Environment, request: Request, via: httpx.Client) -> Examination:
    """As :func:`http.examine`; what times out is not seen, and does not hide the other answers."""
    try:
        return http.examine(env, request, via=via)
    except Unanswerable as error:
        return Examination(request, None, (error.reason,))
