"""A deployment that fails at 8.3 rolls back by itself: through the command line, on the sandbox."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from runbook_lib import environment, platforms, release
from runbook_lib.checks import database, http, traffic
from runbook_lib.environment import Environment
from runbook_lib.home import home
from runbook_lib.platforms.images import remove
from runbook_lib.record import archive
from runbook_lib.record.archive import Facts, Run
from runbook_lib.record.summary import summarize
from runbook_lib.runner import ExitCode
from runbook_lib.sandbox import first_release
from runbook_lib.sandbox.stack import Sandbox

RUNBOOK = Path(sys.executable).with_name("runbook")
NAME = "sandbox-rolled-back"
BROKEN = "v1.0.1-broken"
FIRST = "v0.9.0"


@pytest.fixture
def where(sandbox: Sandbox) -> Iterator[Environment]:
    """The production stack by another name and with shorter waits; put back as it was afterwards."""
    stack = sandbox.stacks[0]
    file = stack.environment.with_name(f"{NAME}.toml")
    text = stack.environment.read_text().replace(f'name = "{stack.name}"', f'name = "{NAME}"')
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
    for tag in env.platform.folder.glob(f"images/*/tags/{BROKEN}"):
        tag.unlink()
    for folder in [env.application.releases / BROKEN, *env.platform.folder.glob(f"deployments/{BROKEN}-*")]:
        remove(folder)
    remove(home().outputs / NAME)
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


def written_meanwhile(env: Environment, name: str = "") -> int:
    """How many scans of the one that was written meanwhile the database holds."""
    address = database.with_database(database.url(env), name) if name else ""
    with database.connected(env, address) as connection:
        return connection.execute("SELECT count(*) FROM scans WHERE content = 'written meanwhile'").fetchone()[0]


def wait_for(process: subprocess.Popen[str], item: str) -> Run:
    """Until the run that `process` opened has finished `item`."""
    deadline = time.monotonic() + 120
    while True:
        runs = archive.runs(NAME)
        if runs and item in summarize(runs[-1]).items:
            return runs[-1]
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, f"{item} was never finished"
        time.sleep(0.05)


def test_a_broken_release_is_rolled_back_with_all_data(where):
    before = data(where)
    arguments = ["--release", BROKEN, "--only", "1,2,3,6,8", "--rollback-on-failure"]
    process = subprocess.Popen(
        [RUNBOOK, "run", NAME, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        run = wait_for(process, "3.1")
        with database.connected(where) as connection:
            connection.execute("INSERT INTO scans (type, content, fields) VALUES ('bip21', 'written meanwhile', '{}')")
        output, _ = process.communicate(timeout=180)
    finally:
        process.kill()
        process.wait()
    summary = summarize(run)
    assert process.returncode == ExitCode.GATE_FAILED, output
    assert "Rolled back." in output, output
    assert summary.outcome == "rolled back"
    assert [(phase.phase.number, phase.outcome) for phase in summary.phases][-2:] == [(8, "failed"), (90, "passed")]
    assert [id for id, item in summary.items.items() if item["status"] == "failed"] == ["8.3"]

    assert platforms.connect(where).deployed() == FIRST
    assert traffic.flows(where).run().ok
    assert http.version_is(where, release.find(where, FIRST)).run().ok
    assert data(where) == before
    assert written_meanwhile(where) == 0
    restored = summary.items["R.1.3"]["steps"][0]
    assert restored["observed"]["rows written since the backup"] == 1
    aside = restored["facts"]["restored_database"]["old database"]
    assert written_meanwhile(where, aside) == 1
    assert (where.backup.folder / restored["facts"]["restored_database"]["kept"]).is_file()

    assert Facts(run)["rolled_back"] == {"run": run.id, "from": BROKEN, "to": FIRST}
    document = (run.folder / "evidence" / "R.3.1" / "post-mortem.md").read_text()
    assert re.search(r"## 8\.3 .*: failed", document)
    assert "version=1.0.1-broken" in document
    for value in where.secrets().values():
        assert value not in document
