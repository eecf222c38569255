"""What the tests of actions share."""

from __future__ import annotations

import shutil

import pytest

from runbook_lib.actions import backup, dotenv_file
from runbook_lib.checks import database
from runbook_lib.environment import Dotenv, Secret


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
