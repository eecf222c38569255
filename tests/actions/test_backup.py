import shutil
import stat
from dataclasses import replace

import psycopg
import pytest

from runbook_lib.actions import backup, dotenv_file
from runbook_lib.checks import database, dumps
from runbook_lib.environment import Database
from runbook_lib.errors import Unanswerable


@pytest.fixture
def live(env, tmp_path, on_database):
    """An environment whose database is a scratch one with two tables, one of them Alembic's."""
    with backup.scratch_database(env) as address:
        with database.connected(env, address) as connection:
            connection.execute("CREATE TABLE scans (id int); INSERT INTO scans SELECT generate_series(1, 100)")
            connection.execute("CREATE TABLE alembic_version (version_num text)")
            connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        yield on_database(tmp_path, address)


def with_database(env, **changed):
    return env.model_copy(update={"database": Database.model_validate(env.database.model_dump() | changed)})


def run(env, statement):
    with database.connected(env) as connection:
        connection.execute(statement)


def databases(env):
    with database.connected(env) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def test_a_rollback_point(live, release):
    finding = backup.rollback_point(live, release).run()
    assert finding.ok
    point = dumps.rollback_point(finding.facts)
    assert point.revision == "0001"
    assert point.tables == {"public.alembic_version": 1, "public.scans": 100}
    path = point.path(live)
    assert (path.stat().st_size, dumps.digest(path)) == (point.size, point.sha256)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert finding.evidence[0].name == "pg_restore-list.txt"
    assert dumps.readable(live, finding.facts).run().ok


def test_no_password_stands_in_an_argument_or_a_finding(live, release):
    password = live.database.url.resolve().get_secret_value().split(":")[2].split("@")[0]
    assert password not in repr(backup.rollback_point(live, release).run())


def test_too_little_space_is_no_backup(live, release):
    finding = backup.rollback_point(with_database(live, minimum_free_bytes=10**18), release).run()
    assert not finding.ok
    assert list(live.backup.folder.iterdir()) == []


def test_a_program_older_than_the_server(live, release, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    old = programs / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    old.chmod(0o755)
    with pytest.raises(Unanswerable, match=r"pg_dump is version 9, the server is version \d+"):
        backup.rollback_point(with_database(live, programs=programs), release).run()
    assert list(live.backup.folder.iterdir()) == []


def test_a_program_that_is_not_there(live, release, tmp_path):
    with pytest.raises(Unanswerable, match="does not exist"):
        backup.rollback_point(with_database(live, programs=tmp_path / "nowhere"), release).run()


def test_a_dump_that_fails_leaves_nothing(live, release, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    failing = programs / "pg_dump"
    failing.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit\nexit 3\n')
    failing.chmod(0o755)
    with pytest.raises(Unanswerable, match="pg_dump ended with 3"):
        backup.rollback_point(with_database(live, programs=programs), release).run()
    assert list(live.backup.folder.iterdir()) == []


def test_a_database_that_does_not_answer(live, release):
    dotenv_file.write(live.dotenv.file, {"DATABASE_URL": "postgresql://app:secret@127.0.0.1:1/app"})
    with pytest.raises(Unanswerable, match="refused"):
        backup.rollback_point(live, release).run()


def test_the_refreshed_point_has_the_new_rows(live, release):
    facts = backup.rollback_point(live, release).run().facts
    run(live, "INSERT INTO scans VALUES (101)")
    finding = backup.refresh(live, release, facts).run()
    assert finding.ok
    assert dumps.rollback_point(finding.facts).tables["public.scans"] == 101
    assert dumps.readable(live, finding.facts).run().ok


def test_a_schema_that_moved_meanwhile(live, release):
    facts = backup.rollback_point(live, release).run().facts
    run(live, "UPDATE alembic_version SET version_num = '0002'")
    finding = backup.refresh(live, release, facts).run()
    assert not finding.ok
    assert finding.facts == {}


def test_nothing_to_refresh(live, release):
    with pytest.raises(Unanswerable, match="no rollback point"):
        backup.refresh(live, release, {}).run()


def test_a_scratch_copy_holds_the_rows_and_goes_away(live, release):
    point = dumps.rollback_point(backup.rollback_point(live, release).run().facts)
    before = databases(live)
    with backup.scratch_copy(live, point) as address, database.connected(live, address) as connection:
        assert database.row_counts(connection) == point.tables
    with pytest.raises(ZeroDivisionError), backup.scratch_copy(live, point):
        _ = 1 / 0
    assert databases(live) == before


def test_a_dump_that_cannot_be_restored(live, release):
    point = dumps.rollback_point(backup.rollback_point(live, release).run().facts)
    before = databases(live)
    damaged = replace(point, file="damaged.dump")
    shutil.copy(point.path(live), damaged.path(live))
    content = damaged.path(live).read_bytes()
    damaged.path(live).write_bytes(content[: len(content) // 2])
    with pytest.raises(Unanswerable, match="pg_restore"), backup.scratch_copy(live, damaged):
        pass
    assert databases(live) == before


def test_row_counts_are_of_the_dumps_snapshot(live, monkeypatch):
    counted = database.row_counts

    def written_meanwhile(connection: psycopg.Connection) -> dict[str, int]:
        run(live, "INSERT INTO scans VALUES (101)")
        return counted(connection)

    live.backup.folder.mkdir()
    monkeypatch.setattr(database, "row_counts", written_meanwhile)
    assert backup.take(live, "v1/..").tables["public.scans"] == 100
