"""The release that the sandbox runs from the start, with data in it, so that there is something to lose."""

from __future__ import annotations

from pathlib import Path

from runbook_lib import command, release
from runbook_lib.actions import build
from runbook_lib.actions import install as actions
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.platforms.supervisor import Supervisor
from runbook_lib.release import Release
from runbook_lib.sandbox import settings
from runbook_lib.sandbox.layout import Stack
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


def install(env: Environment) -> Release:
    """Check the release out beside the others, install and build it as phases 2 and 6 would; can be repeated."""
    found = release.find(env, TAG)
    actions.checkout(env, found)
    together(lambda: _carry_out(actions.backend(env, found)), lambda: _build_frontend(env, found))
    return found


def _build_frontend(env: Environment, found: Release) -> None:
    if env.application.frontend:
        _carry_out(actions.frontend(env, found))
        _carry_out(build.frontend(env, found))


def _carry_out(step: Step) -> None:
    progress(step.title)
    finding = step.run()
    if not finding.ok:
        raise ConfigurationError(f"{step.title} failed: {finding.observed}; {finding.remedy}")


def deploy(env: Environment, stack: Stack, found: Release) -> None:
    """Migrate the stack's database, fill it, build the images and start the services."""
    progress(f"{stack.name}: migrating the database to {TAG}")
    backend = found.folder / env.application.backend.folder
    upgrade: list[str | Path] = [backend / ".venv" / "bin" / "python", "-m", "alembic", "upgrade", "head"]
    upgraded = command.run(upgrade, cwd=backend, env=settings.values(stack), timeout=env.limits.migration)
    if not upgraded.ok:
        raise ConfigurationError(f"Alembic failed on {stack.name}: {upgraded.tail(5)}")
    _fill(env)
    platform = Supervisor(env)
    platform.tag(found, platform.build(found))
    platform.up(found)


def _fill(env: Environment) -> None:
    import psycopg

    with psycopg.connect(env.database.url.resolve().get_secret_value()) as connection:
        connection.execute(_FILL, (SCANS,))
