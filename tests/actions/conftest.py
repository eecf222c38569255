"""What the tests of actions share."""

from __future__ import annotations

import shutil

import pytest

from runbook_lib.actions import dotenv_file
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
