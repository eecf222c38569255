"""The migrations agree with the tables, and can be undone."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from models.database import engine


def test_one_head(alembic: Config) -> None:
    assert len(ScriptDirectory.from_config(alembic).get_heads()) == 1


def test_tables_are_what_the_migrations_make(alembic: Config) -> None:
    command.check(alembic)


def test_down_and_up_again(alembic: Config) -> None:
    command.downgrade(alembic, "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    command.upgrade(alembic, "head")
    assert {"providers", "scans"} <= set(inspect(engine).get_table_names())


def test_sql_without_a_database(alembic: Config, capsys: object) -> None:
    command.upgrade(alembic, "head", sql=True)
    assert "CREATE TABLE scans" in capsys.readouterr().out
