"""The release that the sandbox runs from the start, with data in it, so that there is something to lose."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from runbook_lib import command, release
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.platforms.supervisor import Supervisor
from runbook_lib.release import Release
from runbook_lib.sandbox import environments, settings
from runbook_lib.sandbox.layout import Stack
from runbook_lib.sandbox.parallel import together
from runbook_lib.step import progress

TAG = "v0.9.0"
SCANS = 5_000
"""How many rows are put into the table of scans."""
_LIMIT_SECONDS = 900.0
_FILL = """
INSERT INTO scans (type, content, fields, created_at)
SELECT kind, kind || ' ' || md5(number::text), json_build_object('amount_sats', number * 7 %% 100000),
       now() - number * interval '5 minutes'
FROM (SELECT number, (ARRAY['bip21', 'bolt11', 'lnurl', 'lightning_address'])[1 + number %% 4] AS kind
      FROM generate_series(1, %s) AS number) AS rows
WHERE NOT EXISTS (SELECT FROM scans)
"""


def install(env: Environment) -> Release:
    """Check the release out beside the others, and install and build it; can be repeated."""
    found = release.find(env, TAG)
    if not found.folder.is_dir():
        _check_out(env, found)
    together(lambda: _install_backend(env, found), lambda: _build_frontend(env, found))
    return found


def _install_backend(env: Environment, found: Release) -> None:
    progress(f"{TAG}: installing the back end")
    folder = found.folder / env.application.backend.folder
    _run([sys.executable, "-m", "venv", ".venv"], folder)
    python = folder / ".venv" / "bin" / "python"
    _run([python, "-m", "pip", "install", "--quiet", "-r", env.application.backend.requirements], folder)


def _build_frontend(env: Environment, found: Release) -> None:
    if env.application.frontend:
        progress(f"{TAG}: building the front end")
        folder = found.folder / env.application.frontend.folder
        _run([environments.npm(), "ci", "--no-audit", "--no-fund"], folder)
        _run(env.application.frontend.build, folder)


def deploy(env: Environment, stack: Stack, found: Release) -> None:
    """Migrate the stack's database, fill it, build the images and start the services."""
    progress(f"{stack.name}: migrating the database to {TAG}")
    backend = found.folder / env.application.backend.folder
    upgrade: list[str | Path] = [backend / ".venv" / "bin" / "python", "-m", "alembic", "upgrade", "head"]
    _run(upgrade, backend, settings.values(stack))
    _fill(env)
    platform = Supervisor(env)
    platform.tag(found, platform.build(found))
    platform.up(found)


def _check_out(env: Environment, found: Release) -> None:
    progress(f"{TAG}: checking out")
    partial = found.folder.with_name(f".{TAG}")
    if partial.exists():
        shutil.rmtree(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    clone = ["git", "clone", "--quiet", "--branch", TAG, "-c", "advice.detachedHead=false"]
    _run([*clone, env.application.repository, partial], partial.parent)
    partial.rename(found.folder)


def _fill(env: Environment) -> None:
    import psycopg

    with psycopg.connect(env.database.url.resolve().get_secret_value()) as connection:
        connection.execute(_FILL, (SCANS,))


def _run(argv: Sequence[str | Path], folder: Path, values: Mapping[str, str] | None = None) -> None:
    # npm starts node by its name, so that the wheel's must be found where the system has none.
    beside = os.fspath(Path(environments.npm()).parent)
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), beside))
    completed = command.run(argv, cwd=folder, env={"PATH": path, **(values or {})}, timeout=_LIMIT_SECONDS)
    if not completed.ok:
        raise ConfigurationError(f"{completed.argv[0]} failed in {folder}:\n{completed.tail(10)}")
