"""What staging must show before production is touched."""

from __future__ import annotations

from runbook_lib import environment
from runbook_lib.checks import http, load
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.step import Finding, check

RAMP_SECONDS = 2.0


def of(env: Environment) -> Environment:
    """The environment that receives a release before `env`.

    Raises
    ------
    NotApplicable
        It declares none.
    Unanswerable
        What it declares is a production: that one is changed by a run of its own, confirmed by its own name.
    """
    if env.staging is None:
        raise NotApplicable(f"{env.name}.toml declares no staging")
    staging = environment.load(env.staging)
    if staging.kind == "production":
        raise Unanswerable(
            f"{staging.name} is production and cannot receive releases as the staging of {env.name}",
            remedy="name another environment as staging in the TOML",
        )
    return staging


@check("Smoke tests pass on staging: health, one read, one write")
def smoke(env: Environment) -> Finding:
    """7.1.2: ``web.health``, ``api.providers`` and ``api.accepted`` of the staging environment answer as declared."""
    staging = of(env)
    with http.client(staging) as via:
        return http.judge(
            [
                http.examine(staging, request, via=via)
                for request in (*staging.web.health, staging.api.providers, staging.api.accepted)
            ],
            remedy="read the logs on staging; do not deploy further",
        )


@check("Every declared feature works on staging")
def features(env: Environment) -> Finding:
    """7.1.3: as :func:`runbook_lib.checks.http.features`, on the staging environment."""
    return http.examine_features(of(env))


@check("Staging holds the objectives under a short load")
def performance(env: Environment) -> Finding:
    """7.1.4: staging's own objectives at its own rate, for ``load.staging_duration_seconds``."""
    staging = of(env)
    result = load.make(staging, duration=staging.load.staging_duration_seconds, ramp=RAMP_SECONDS)
    return load.finding(env, result, item="7.1.4")
