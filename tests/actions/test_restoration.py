import shutil

import pytest

import runbook_lib
from runbook_lib import release as releases
from runbook_lib.actions import backup, restoration
from runbook_lib.checks import backups, database
from runbook_lib.checks.backups import metadata_of
from runbook_lib.errors import Unanswerable
from runbook_lib.record.summary import summarize


@pytest.fixture
def taken(live):
    """That environment, and its newest backup."""
    assert backup.daily(live).run().ok
    return live, backups.newest(live)


@pytest.fixture(scope="module")
def served(env, tmp_path_factory):
    """The sandbox with a backup folder of its own that holds a backup of it, and the release it runs."""
    folder = tmp_path_factory.mktemp("backups")
    own = env.model_copy(update={"backup": env.backup.model_copy(update={"folder": folder})})
    assert backup.daily(own).run().ok
    return own, releases.find(env, "v0.9.0")


def recovering(env, **settings):
    return env.model_copy(update={"recovery": env.recovery.model_copy(update=settings)})


def scratch_databases(env):
    with database.connected(env) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def rewrite(env, taken, **changed):
    metadata_of(env.backup.folder / taken.file).unlink()
    taken.model_copy(update=changed).write(env.backup.folder)


def refused(env):
    """What a failed restoration observed; no scratch database is left."""
    before = scratch_databases(env)
    finding = restoration.restore(env).run()
    assert not finding.ok
    assert scratch_databases(env) == before
    return finding.observed


def test_a_whole_backup_restores(taken):
    env, backed_up = taken
    before = scratch_databases(env)
    finding = restoration.restore(env).run()
    assert finding.ok, finding.observed
    assert finding.observed["rows restored"] == 101
    assert finding.facts["restoration"]["file"] == backed_up.file
    assert set(finding.facts["restoration"]["seconds"]) == {"verify the file", "restore", "compare"}
    assert scratch_databases(env) == before


def test_a_backup_whose_rows_were_others(taken):
    env, backed_up = taken
    tables = dict(backed_up.tables)
    tables["public.scans"] = database.TableContent(100, "0" * 32)
    rewrite(env, backed_up, tables=tables)
    assert refused(env)["tables that differ"] == ["public.scans"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_backup_file_cut_short(taken, share):
    env, backed_up = taken
    path = env.backup.folder / backed_up.file
    path.write_bytes(path.read_bytes()[: int(backed_up.size * share)])
    assert "is cut short" in refused(env)[0]


def test_a_backup_file_that_was_changed(taken):
    env, backed_up = taken
    with (env.backup.folder / backed_up.file).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    assert "its SHA-256 has changed" in refused(env)[0]


def test_a_dump_of_another_database(taken, env):
    live, _ = taken
    other = env.model_copy(update={"backup": live.backup})
    assert backup.daily(other).run().ok
    assert f"is a dump of another database: {database.name(env)}" in refused(live)[0]


def test_another_databases_file_under_our_metadata(taken, env):
    live, backed_up = taken
    other = env.model_copy(update={"backup": env.backup.model_copy(update={"folder": live.backup.folder / "other"})})
    assert backup.daily(other).run().ok
    shutil.copy(other.backup.folder / backups.newest(other).file, live.backup.folder / backed_up.file)
    assert f"is a dump of another database: {database.name(env)}" in refused(live)[0]


def test_no_backup_at_all(taken):
    env, backed_up = taken
    (env.backup.folder / backed_up.file).unlink()
    assert "no backup of sandbox" in refused(env)


def test_a_dump_that_does_not_say_what_it_is(taken):
    env, backed_up = taken
    metadata_of(env.backup.folder / backed_up.file).unlink()
    with pytest.raises(Unanswerable, match="yet it has no metadata beside it"):
        restoration.restore(env).run()


def test_a_backup_that_does_not_restore(taken):
    env, _ = taken
    before = scratch_databases(env)
    programs = env.dotenv.file.with_name("programs")
    programs.mkdir()
    real, failing = env.database.programs / "pg_restore", programs / "pg_restore"
    failing.write_text(f'#!/bin/sh\n[ "$1" = --list ] && exec {real} "$@"\necho disk full\nexit 1\n')
    failing.chmod(0o755)
    full = env.model_copy(update={"database": env.database.model_copy(update={"programs": programs})})
    with pytest.raises(Unanswerable, match="ended with 1: disk full"):
        restoration.restore(full).run()
    assert scratch_databases(env) == before


def test_the_service_runs_on_the_newest_backup(served):
    env, release = served
    before = scratch_databases(env)
    finding = restoration.recover(env, release).run()
    assert finding.ok, finding.observed
    steps = finding.facts["recovery"]["steps"]
    assert set(steps) == {"verify the file", "restore", "migrate", "start the service"}
    assert finding.facts["recovery"]["seconds"] == pytest.approx(sum(steps.values()), abs=0.01)
    assert "GET /health" in finding.evidence[0].content
    assert scratch_databases(env) == before


def test_a_release_without_migrations_needs_none(served, monkeypatch):
    env, release = served

    def none(*_):
        raise AssertionError("there is no Alembic to ask")

    monkeypatch.setattr(restoration.database, "has_migrations", lambda *_: False)
    monkeypatch.setattr(restoration.migrate, "alembic", none)
    finding = restoration.recover(env, release).run()
    assert finding.ok, finding.observed


def test_a_service_that_does_not_start(served):
    env, release = served
    before = scratch_databases(env)
    finding = restoration.recover(recovering(env, serve=("-c", "raise SystemExit('no configuration')")), release).run()
    assert not finding.ok
    assert finding.observed["problems"][0] == "the service ended with exit code 1"
    assert "no configuration" in finding.evidence[0].content
    assert scratch_databases(env) == before


def test_a_service_that_never_answers(served):
    env, release = served
    silent = recovering(env, serve=("-c", "import time; time.sleep(600)"), start_seconds=0.2)
    finding = restoration.recover(silent, release).run()
    assert not finding.ok
    assert "no answer" in finding.observed["problems"][0]


def test_a_release_that_is_not_installed(served):
    env, release = served
    missing = releases.Release("v0", release.commit, release.folder.with_name("nowhere"))
    with pytest.raises(Unanswerable, match="is not installed"):
        restoration.recover(env, missing).run()


def test_a_backup_newer_than_the_releases_migrations(taken, served):
    env, release = taken[0], served[1]
    with database.connected(env) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert backup.daily(env).run().ok
    finding = restoration.recover(env, release).run()
    assert not finding.ok
    assert "Can't locate revision" in finding.observed


def test_the_live_database_is_not_touched(served):
    env, _ = served
    with database.connected(env) as connection:
        before = database.contents(connection)
        restoration.restore(env).run()
        assert database.contents(connection) == before


def test_a_dry_run_makes_no_database(mini):
    phase = runbook_lib.begin(14, environment="mini", release="v1", dry_run=True)
    phase.item("14.1.2", restoration.restore(phase.env))
    phase.item("14.2.2", restoration.recover(phase.env, phase.release))
    items = summarize(phase.run).items
    assert {id: item["status"] for id, item in items.items()} == {"14.1.2": "planned", "14.2.2": "planned"}
