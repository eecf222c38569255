"""Whether the edge lets users in."""

from __future__ import annotations

from runbook_lib.checks import http
from runbook_lib.checks.http import Examination
from runbook_lib.environment import Environment, WebBehindEdge
from runbook_lib.step import Finding, check


def behind(env: Environment) -> Environment:
    """`env` with requests that pass a closed edge; the same where no edge is declared, which nobody can close."""
    if env.edge is None:
        return env
    web = WebBehindEdge(**{**dict(env.web), "bypass": env.edge.bypass})
    return env.model_copy(update={"web": web})


@check("Users are turned away")
def is_stopped(env: Environment) -> Finding:
    """R.1.1: a request without the bypass is answered 503, with Retry-After."""
    seen = _as_a_user(env)
    status = seen.answer.status if seen.answer else None
    retry = seen.answer.headers.get("Retry-After") if seen.answer else None
    return Finding(
        ok=status == 503 and retry is not None,
        observed=f"{status or seen.observed}; Retry-After: {retry or 'missing'}",
        expected="503; Retry-After: some seconds",
        remedy="the edge does not heed [edge]: see its configuration, and stop the traffic by hand meanwhile",
    )


@check("Users are let in")
def flows(env: Environment) -> Finding:
    """A request without the bypass is answered as ``web.health`` declares."""
    seen = _as_a_user(env)
    return http.judge([seen], remedy="the edge still turns users away: open it by hand, and see its log")


def _as_a_user(env: Environment) -> Examination:
    return http.examine(env, env.web.health[0])
