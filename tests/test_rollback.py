"""A deployment that fails at 8.3 rolls back by itself: through the command line, on the sandbox."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib import platforms, release
from runbook_lib.checks import database, http, traffic
from runbook_lib.environment import Environment
from runbook_lib.record import archive
from runbook_lib.record.archive import Facts, Run
from runbook_lib.record.summary import summarize
from runbook_lib.runner import ExitCode
from runbook_lib.sandbox.stack import Sandbox

from .production import FIRST, by_another_name, data

RUNBOOK = Path(sys.executable).with_name("runbook")
NAME = "sandbox-rolled-back"
BROKEN = "v1.0.1-broken"


@pytest.fixture
def where(sandbox: Sandbox) -> Iterator[Environment]:
    with by_another_name(sandbox, NAME, BROKEN) as env:
        yield env


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
