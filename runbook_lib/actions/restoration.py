"""The newest backup put to the test: restored beside the live database, compared, and served from."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Final

from runbook_lib import command
from runbook_lib.actions import backup as dumping
from runbook_lib.actions import migrate
from runbook_lib.checks import backups, database, http
from runbook_lib.checks.backups import RECOVERY, Backup
from runbook_lib.checks.database import TableContent
from runbook_lib.checks.dependencies import backend_folder, interpreter
from runbook_lib.checks.dotenv import read
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, action, progress

RESTORATION: Final = "restoration"
"""The fact that 14.1.2 leaves for the recovery page."""
_LOOPBACK: Final = "127.0.0.1"
_POLL_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 10.0


@action("Restore the newest backup of {env} beside it, with every row")
def restore(env: Environment) -> Finding:
    """14.1.2: restored into a scratch database, whose tables hold the rows and checksums of the backup's snapshot.

    The scratch database is dropped afterwards, whatever happens. An action, although nothing of it stays: it makes a
    database on the live server, and loads it.

    Raises
    ------
    Unanswerable
        The newest dump does not say what it is, no scratch database can be made, or pg_restore does not succeed.
    """
    times = _Stopwatch()
    newest = _verified(env, times)
    if isinstance(newest, Finding):
        return newest
    with _restored(env, newest, times) as address:
        with database.connected(env, address) as connection:
            restored = database.contents(connection, timeout=env.limits.backup)
            revision = database.revision(connection)
        times.lap("compare")
    differing = sorted(
        table for table in {*restored, *newest.tables} if restored.get(table) != newest.tables.get(table)
    )
    rows = sum(content.rows for content in restored.values())
    ok = not differing and revision == newest.revision
    return Finding(
        ok=ok,
        observed={
            "file": newest.file,
            "rows restored": rows,
            "revision": revision,
            "tables that differ": differing,
            "seconds": times.laps,
        },
        expected=f"{len(newest.tables)} tables with the rows and checksums of the backup, revision {newest.revision}",
        remedy="the backup does not hold what it should: take another, and find out what changed it",
        tables=(_comparison(newest.tables, restored),),
        facts={
            RESTORATION: {
                "file": newest.file,
                "taken": newest.taken_at.isoformat(),
                "restored": datetime.now(UTC).isoformat(timespec="seconds"),
                "size": newest.size,
                "rows": rows,
                "seconds": times.laps,
            }
        },
    )


def _verified(env: Environment, times: _Stopwatch) -> Backup | Finding:
    """The newest backup, its file as it was written; else the finding that says what is wrong."""
    newest = backups.newest(env)
    if newest is None:
        return backups.none_taken(env)
    progress(f"verifying {newest.file}")
    found = backups.faults(env, newest)
    times.lap("verify the file")
    if not found:
        return newest
    return Finding(
        ok=False,
        observed=found,
        expected=f"the dump of {newest.database} as it was written: {newest.size:,} bytes, {newest.sha256[:12]}…",
        remedy=f"move it away and take another: runbook backup {env.name}; find out what changed it",
    )


@contextmanager
def _restored(env: Environment, backup: Backup, times: _Stopwatch) -> Iterator[str]:
    """The address of a scratch database that holds `backup`."""
    with dumping.scratch_database(env) as address:
        dumping.restore(env, env.backup.folder / backup.file, address)
        times.lap("restore")
        yield address


def _comparison(taken: Mapping[str, TableContent], restored: Mapping[str, TableContent]) -> Table:
    nothing = TableContent(0, "(no such table)")
    rows = []
    for table in sorted({*taken, *restored}):
        then, now = taken.get(table, nothing), restored.get(table, nothing)
        rows.append((table, then.rows, now.rows, then.checksum, "equal" if then == now else now.checksum))
    columns = ("table", "rows at backup", "rows restored", "checksum at backup", "checksum restored")
    return Table(columns, tuple(rows), "Tables")


@action("Run the service of {release} on the newest backup, restored")
def recover(env: Environment, release: Release) -> Finding:
    """14.2.2: file verified, restored, migrated to the release's schema, back end started on it: timed end to end.

    The back end runs on a free port of loopback, with ``recovery.settings`` in place of what is live, until its
    health and its providers have answered; then it is stopped and the scratch database dropped.

    Raises
    ------
    Unanswerable
        As :func:`restore`; or the release is not installed.
    """
    times = _Stopwatch()
    newest = _verified(env, times)
    if isinstance(newest, Finding):
        return newest
    with _restored(env, newest, times) as address:
        progress("migrating what was restored")
        upgrade = None
        if database.has_migrations(env, release):
            upgrade = migrate.alembic(env, release, address, "upgrade", "head")
        times.lap("migrate")
        if upgrade is not None and not upgrade.ok:
            return Finding(
                ok=False,
                observed=f"alembic upgrade head on the copy ended with {upgrade.returncode}: {upgrade.tail(3)}",
                expected=f"{release}'s migrations bring revision {newest.revision} to its head",
                remedy="recover with the release that wrote this backup, or correct the migration",
                evidence=(upgrade.evidence("upgrade.log"),),
            )
        with _serving(env, release, address) as trial:
            problems = trial.problems()
            times.lap("start the service")
            log = trial.log()
    seconds = round(times.total, 2)
    return Finding(
        ok=not problems,
        observed={"file": newest.file, "problems": problems, "seconds": times.laps | {"all": seconds}},
        expected="the service answers its health and lists its providers from the restored data",
        remedy="read service.log: what does the service need that it has not in a trial? See [recovery] in the TOML",
        tables=(Table(("step", "seconds"), (*times.laps.items(), ("all", seconds)), "From backup to service"),),
        evidence=(Evidence("service.log", log),),
        facts={RECOVERY: {"file": newest.file, "seconds": seconds, "steps": times.laps}},
    )


@dataclass
class _Stopwatch:
    """Seconds of each step since the watch was made."""

    laps: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> float:
        """Seconds up to the last lap."""
        return sum(self.laps.values())

    def lap(self, name: str) -> None:
        """The step `name` ends now."""
        self.laps[name] = round(time.monotonic() - self.started - self.total, 3)


@dataclass(frozen=True)
class _Trial:
    """A back end on trial: reached at `env`'s web address."""

    env: Environment
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def log(self) -> str:
        """What it has written so far."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def problems(self) -> list[str]:
        """What does not answer as the TOML says, once it does or when ``recovery.start_seconds`` are over."""
        requests = (*self.env.web.health, self.env.api.providers)
        deadline = time.monotonic() + self.env.recovery.start_seconds
        while True:
            found = [http.examine(self.env, request) for request in requests]
            problems = [f"{each.request.title}: {'; '.join(each.problems)}" for each in found if each.problems]
            ended = self.process.poll()
            if ended is not None:
                return [f"the service ended with exit code {ended}", *problems]
            if not problems or time.monotonic() >= deadline:
                return problems
            progress(problems[0])
            time.sleep(_POLL_SECONDS)


@contextmanager
def _serving(env: Environment, release: Release, address: str) -> Iterator[_Trial]:
    """The release's back end on the database at `address`, at a free port of loopback, ended afterwards."""
    port = _free_port()
    words = [word.replace("{port}", str(port)) for word in env.recovery.serve]
    settings = read(env.dotenv.file) | {"DATABASE_URL": address} | env.recovery.settings
    web = env.web.model_copy(update={"url": f"http://{_LOOPBACK}:{port}"})
    progress("starting the service on what was restored")
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [*command.dying_with_us(), interpreter(env, release), *words],
                cwd=backend_folder(env, release),
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise Unanswerable(f"the service could not be started: {error}", remedy="run phase 2 first") from error
        try:
            yield _Trial(env.model_copy(update={"web": web}), process, output)
        finally:
            _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process and its children to end, then kill what is left of them."""
    for send, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, send)
        except ProcessLookupError:
            pass
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue
