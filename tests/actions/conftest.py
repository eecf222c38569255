"""What the tests of actions share."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from runbook_lib import checklist
from runbook_lib import release as releases
from runbook_lib.actions import backup, dotenv_file
from runbook_lib.checks import database
from runbook_lib.environment import Dotenv, Environment, Secret
from runbook_lib.home import home
from runbook_lib.record import archive
from runbook_lib.record.archive import Run, Way


@pytest.fixture(scope="session")
def on_database(env):
    """Give the environment another database, and a backup folder and a .env file of its own in `folder`."""

    def give(folder, address):
        file = folder / ".env"
        shutil.copy(env.dotenv.file, file)
        dotenv_file.write(file, {"DATABASE_URL": address})
        url = Secret(file=file, key="DATABASE_URL")
        return env.model_copy(
            update={
                "dotenv": Dotenv(file=file),
                "database": env.database.model_copy(update={"url": url}),
                "backup": env.backup.model_copy(update={"folder": folder / "backups"}),
            }
        )

    return give


@pytest.fixture
def live(env, tmp_path, on_database):
    """An environment whose database is a scratch one with two tables, one of them Alembic's."""
    with backup.scratch_database(env) as address:
        with database.connected(env, address) as connection:
            connection.execute("CREATE TABLE scans (id int); INSERT INTO scans SELECT generate_series(1, 100)")
            connection.execute("CREATE TABLE alembic_version (version_num text)")
            connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        yield on_database(tmp_path, address)


@dataclass(frozen=True)
class Recording:
    """A run, and the events that phases would have written to it."""

    run: Run

    def phase(self, number: int, outcome: str = "") -> None:
        """A phase that began, and ended where `outcome` says how."""
        self.run.events.append("phase started", phase=number, notebook=checklist.phase(number).notebook)
        if outcome:
            self.run.events.append("phase ended", phase=number, outcome=outcome, reason="")

    def step(
        self,
        phase: int,
        item: str,
        name: str,
        *,
        kind: str = "check",
        status: str = "passed",
        facts: Mapping[str, Any] | None = None,
        **told: Any,
    ) -> None:
        """An item of one step."""
        step = {"name": name, "kind": kind, "title": name, "status": status, "seconds": 1.5, "reason": "", "remedy": ""}
        step |= {"observed": None, "expected": None, "evidence": [], "facts": dict(facts or {}), **told}
        common = {"phase": phase, "item": item, "step": 1}
        self.run.events.append("step started", **common, name=name, kind=kind, title=name)
        self.run.events.append("step finished", **common, **step)
        text = checklist.phase(phase).item(item).text
        self.run.events.append("item finished", phase=phase, id=item, text=text, status=status, steps=[step])

    def deployed(self, previous: str | None = "v0.9.0", *, status: str = "passed", **facts: Any) -> None:
        """8.1 as it is recorded: what ran before, then an action."""
        recorded = {"deployed_at": "2026-01-02T03:04:05+00:00"} | facts
        recorded |= {"previous_release": previous} if previous else {}
        self.phase(8)
        self.step(8, "8.1", "deployment.before", facts=recorded)
        self.step(8, "8.1", "deployment.deploy", kind="action", status=status)


@pytest.fixture
def named(env):
    """An environment of another name, so that its runs are its own; they are removed afterwards."""
    name = f"recorded-{secrets.token_hex(4)}"
    yield lambda where: where.model_copy(update={"name": name})
    shutil.rmtree(home().outputs / name, ignore_errors=True)


@pytest.fixture
def record():
    """Open a run of an environment."""

    def opened(env: Environment, tag: str = "v1.0.0") -> Recording:
        number = len(archive.runs(env.name))
        release = releases.find(env, tag)
        return Recording(archive.create(env, release, Way.HEADLESS, run_id=f"{number:03}-{tag}"))

    return opened
