"""The release that the sandbox runs from the start, with data in it, so that there is something to lose."""

from __future__ import annotations

from runbook_lib import platforms, release
from runbook_lib.actions import build, install, migrate
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.release import Release
from runbook_lib.sandbox.parallel import together
from runbook_lib.step import Step, progress

TAG = "v0.9.0"
SCANS = 5_000
"""How many rows are put into the table of scans."""
_FILL = """
INSERT INTO scans (type, content, fields, created_at)
SELECT kind, kind || ' ' || md5(number::text), json_build_object('amount_sats', number * 7 %% 100000),
       now() - number * interval '5 minutes'
FROM (SELECT number, (ARRAY['bip21', 'bolt11', 'lnurl', 'lightning_address'])[1 + number %% 4] AS kind
      FROM generate_series(1, %s) AS number) AS rows
WHERE NOT EXISTS (SELECT FROM scans)
"""


def check_out(env: Environment) -> Release:
    """Check the release out beside the others where it is not; can be repeated."""
    found = release.find(env, TAG)
    install.checkout(env, found)
    return found


def prepare(env: Environment) -> Release:
    """Check the release out, install and build it as phases 2 and 6 would; can be repeated."""
    found = check_out(env)
    together(lambda: _carry_out(install.backend(env, found)), lambda: _build_frontend(env, found))
    return found


def _build_frontend(env: Environment, found: Release) -> None:
    if env.application.frontend:
        _carry_out(install.frontend(env, found))
        _carry_out(build.frontend(env, found))


def _carry_out(step: Step) -> None:
    progress(step.title)
    finding = step.run()
    if not finding.ok:
        raise ConfigurationError(f"{step.title} failed: {finding.observed}; {finding.remedy}")


def build_images(env: Environment, found: Release) -> None:
    """Build the release's images and tag them; can be repeated."""
    platform = platforms.connect(env)
    platform.tag(found, platform.build(found))


def deploy(env: Environment, found: Release) -> None:
    """Migrate the environment's database, fill it, and start the services on the release's images."""
    _carry_out(migrate.apply(env, found))
    _fill(env)
    platforms.connect(env).up(found)


def _fill(env: Environment) -> None:
    import psycopg

    with psycopg.connect(env.database.url.resolve().get_secret_value()) as connection:
        connection.execute(_FILL, (SCANS,))
