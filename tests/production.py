"""The sandbox's production stack for tests that deploy to it: by another name, and put back as it was afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from runbook_lib import environment, platforms, release
from runbook_lib.checks import database
from runbook_lib.environment import Environment
from runbook_lib.home import home
from runbook_lib.platforms.images import remove
from runbook_lib.sandbox import first_release
from runbook_lib.sandbox.stack import Sandbox

FIRST = "v0.9.0"


GENTLER = {
    "objectives": {"requests_per_second": 50.0, "p95_milliseconds": 5000.0},
    "load": {"duration_seconds": 3.0, "ramp_seconds": 1.0, "response_samples": 10},
    "success": {"window_seconds": 1.0},
    "platform": {"settle_seconds": 1.0},
}
"""Shorter waits, and a load beside which the other tests run: tested is the run, not how fast this machine is."""


def gentler(toml: str, name: str) -> str:
    """The environment by this name, with :data:`GENTLER` settings."""
    toml = re.sub(r'(?m)^name = ".*"', f'name = "{name}"', toml, count=1)
    for table, values in GENTLER.items():
        for key, value in values.items():
            toml = re.sub(rf"(?m)(^\[{table}\]\n(?:(?!\[).*\n)*?){key} = .*\n", r"\g<1>", toml)
            toml = toml.replace(f"[{table}]\n", f"[{table}]\n{key} = {value}\n")
    return toml


@contextmanager
def by_another_name(sandbox: Sandbox, name: str, tag: str) -> Iterator[Environment]:
    """The stack with shorter waits, for a deployment of `tag`; what that leaves is removed again."""
    stack = sandbox.stacks[0]
    file = stack.environment.with_name(f"{name}.toml")
    text = stack.environment.read_text().replace(f'name = "{stack.name}"', f'name = "{name}"')
    text = re.sub(r"(\[success\]\nwindow_seconds = )[\d.]+", r"\g<1>1.0", text)
    file.write_text(text.replace("[platform]\n", "[platform]\nsettle_seconds = 1.0\n"))
    env = environment.read(file)
    dotenv, databases_before = stack.dotenv.read_bytes(), databases(env)
    yield env
    stack.dotenv.write_bytes(dotenv)
    env.edge.file.unlink(missing_ok=True)
    platforms.connect(env).up(release.find(env, FIRST))
    for left in databases(env) - databases_before:
        with database.connected(env) as connection:
            connection.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(left)))
    for link in env.platform.folder.glob(f"images/*/tags/{tag}"):
        link.unlink()
    for folder in [env.application.releases / tag, *env.platform.folder.glob(f"deployments/{tag}-*")]:
        remove(folder)
    remove(home().outputs / name)
    file.unlink()


def databases(env: Environment) -> set[str]:
    with database.connected(env) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def data(env: Environment) -> dict[str, tuple[int, str]]:
    """Of each table that the first release knows, its rows and their checksum.

    The runbook's own requests are left out: to prove the critical paths they write, before and after a rollback.
    """
    ours = {"scans": f"id <= {first_release.SCANS}"}
    with database.connected(env) as connection:
        return {
            table: connection.execute(
                f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} AS t "
                f"WHERE {ours.get(table, 'true')}"
            ).fetchone()
            for table in ("scans", "providers", "alembic_version")
        }
