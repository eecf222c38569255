import os
import shutil
import stat
import time
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from runbook_lib.actions import backup, dotenv_file
from runbook_lib.checks import backups, database, dumps
from runbook_lib.environment import Database, Secret
from runbook_lib.errors import Unanswerable


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


def test_a_session_that_may_not_idle_is_dumped_all_the_same(live, release, monkeypatch):
    dump = backup._dump

    def slow(env, connection, *rest):
        # Longer than the server lets a transaction idle.
        time.sleep(0.5)
        dump(env, connection, *rest)

    monkeypatch.setattr(backup, "_dump", slow)
    with database.connected(live) as connection:
        role = connection.info.user
        connection.execute(f"ALTER ROLE {role} SET idle_in_transaction_session_timeout = '100ms'")
    try:
        assert backup.rollback_point(live, release).run().ok
    finally:
        run(live, f"ALTER ROLE {role} RESET idle_in_transaction_session_timeout")


def test_a_connection_that_is_lost_during_the_dump_is_said_in_a_sentence(live, release, monkeypatch):
    def cut(env, connection, *_):
        run(live, f"SELECT pg_terminate_backend({connection.info.backend_pid})")

    monkeypatch.setattr(backup, "_dump", cut)
    with pytest.raises(Unanswerable, match="the database broke off while it was dumped"):
        backup.rollback_point(live, release).run()
    assert list(live.backup.folder.iterdir()) == []


def test_what_killed_backups_have_left_is_removed_and_what_is_being_written_is_not(live, release):
    live.backup.folder.mkdir(exist_ok=True)
    abandoned, fresh = (live.backup.folder / f".{live.name}-{name}.dump.partial" for name in ("old", "new"))
    for partial in (abandoned, fresh):
        partial.touch()
    long_ago = time.time() - 2 * backup.ABANDONED * live.limits.backup
    os.utime(abandoned, (long_ago, long_ago))
    assert backup.rollback_point(live, release).run().ok
    assert (abandoned.exists(), fresh.exists()) == (False, True)


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


def test_an_earlier_pass_counts_while_its_rollback_point_is_fresh(live, release, monkeypatch):
    facts = backup.rollback_point(live, release).run().facts
    done = backup.refresh(live, release, facts).done
    assert done is not None
    assert done().ok
    monkeypatch.setattr(backup, "FRESH", timedelta(0))
    assert not done().ok
    dumps.rollback_point(facts).path(live).unlink()
    assert done().observed.endswith("is gone")


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
    counted = database.contents

    def written_meanwhile(connection: psycopg.Connection, **limits: float):
        run(live, "INSERT INTO scans VALUES (101)")
        return counted(connection, **limits)

    live.backup.folder.mkdir()
    monkeypatch.setattr(database, "contents", written_meanwhile)
    assert backup.take(live, "v1/..").tables["public.scans"] == 100


def test_what_a_table_holds_counts_and_its_order_does_not(live):
    def contents():
        with database.connected(live) as connection:
            return database.contents(connection)["public.scans"]

    before = contents()
    run(live, "CREATE TABLE sorted AS SELECT * FROM scans ORDER BY id DESC; DROP TABLE scans")
    run(live, "ALTER TABLE sorted RENAME TO scans")
    assert contents() == before
    run(live, "UPDATE scans SET id = 101 WHERE id = 100")
    assert contents() != before
    run(live, "UPDATE scans SET id = 99 WHERE id = 101")
    assert contents().rows == before.rows
    assert contents().checksum != before.checksum


def test_a_table_that_may_not_be_read(live):
    run(live, "REVOKE ALL ON scans FROM CURRENT_USER")
    with database.connected(live) as connection, pytest.raises(Unanswerable, match=r"public\.scans could not be read"):
        database.contents(connection)


def test_the_daily_backup_says_what_it_is(live):
    assert backup.daily(live).run().ok
    taken = backups.newest(live)
    path = live.backup.folder / taken.file
    assert (path.stat().st_size, dumps.digest(path)) == (taken.size, taken.sha256)
    assert (taken.environment, taken.database, taken.revision) == ("sandbox", database.name(live), "0001")
    assert taken.tables["public.scans"].rows == 100
    assert {file.name for file in live.backup.folder.iterdir()} == {taken.file, f"{taken.file}.json"}
    assert stat.S_IMODE(backups.metadata_of(path).stat().st_mode) == 0o600


def test_a_scratch_database_sorts_and_encodes_as_the_live_one(env, tmp_path, on_database):
    name = f"{backup.SCRATCH_PREFIX}latin"
    create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    columns = "pg_encoding_to_char(encoding), datcollate, datctype"
    query = f"SELECT {columns} FROM pg_database WHERE datname = current_database()"
    try:
        run(env, create)
        latin = on_database(tmp_path, database.with_database(database.url(env), name))
        with backup.scratch_database(latin) as address, database.connected(latin, address) as connection:
            assert connection.execute(query).fetchone() == ("LATIN1", "C", "C")
    finally:
        run(env, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class Vacuumed:
    """A connection to a server whose autovacuum worker is in the database for so many attempts to drop it."""

    def __init__(self, attempts):
        self.attempts = attempts

    def execute(self, query):
        self.attempts -= 1
        if self.attempts >= 0:
            raise psycopg.errors.InsufficientPrivilege("permission denied to terminate process")


def test_a_scratch_database_is_dropped_once_autovacuum_has_left_it(monkeypatch):
    server = Vacuumed(2)
    backup._drop(server, "scratch")
    assert server.attempts == -1
    monkeypatch.setattr(backup, "DROP_SECONDS", 0.0)
    with pytest.raises(Unanswerable, match="scratch could not be dropped: permission denied"):
        backup._drop(Vacuumed(1000), "scratch")


def test_a_restore_target_that_is_the_live_database_is_refused(live):
    before = databases(live)
    for address in (database.url(live), database.url(live).replace("postgresql:", "postgresql+psycopg:")):
        refused = pytest.raises(Unanswerable, match="refused: the restore target is the live database")
        with refused, backup.scratch_database(with_scratch(live, address)):
            pass
    assert databases(live) == before


def test_a_restore_target_that_exists_is_refused(live, env):
    before = databases(live)
    # By another name of the same server the live database looks like a stranger's: it exists, and stays.
    for address in (database.url(env), database.url(live).replace("127.0.0.1", "localhost")):
        with pytest.raises(Unanswerable, match="exists already"), backup.scratch_database(with_scratch(live, address)):
            pass
    assert databases(live) == before


def test_a_restore_target_of_the_users_choice(live):
    before = databases(live)
    address = database.with_database(database.url(live), f"{database.name(live)}_chosen")
    with backup.scratch_database(with_scratch(live, address)) as given:
        assert given == address
        assert databases(live) - before == {f"{database.name(live)}_chosen"}
    assert databases(live) == before


def with_scratch(env, address):
    file = env.dotenv.file.with_name("scratch.env")
    file.touch(mode=0o600)
    dotenv_file.write(file, {"SCRATCH_URL": address})
    scratch = Secret(file=file, key="SCRATCH_URL")
    return env.model_copy(update={"backup": env.backup.model_copy(update={"scratch": scratch})})
