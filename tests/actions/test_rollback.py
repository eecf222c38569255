from __future__ import annotations

import re
import shutil
from dataclasses import asdict, replace

import psycopg
import pytest

from runbook_lib import platforms
from runbook_lib.actions import backup, exchange, predecessor, rollback
from runbook_lib.checks import database, dumps
from runbook_lib.environment import Secret
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import Image


class Platform:
    """A platform in memory, which says what it was asked to do."""

    def __init__(self, *, deployed="v0.9.0", tagged=True, up=None):
        self.running, self.has_images, self.fault, self.done = deployed, tagged, up, []

    def deployed(self):
        return self.running

    def tagged(self, release):
        return (Image("backend", "sha256:a", 1, 0.0),) if self.has_images else ()

    def down(self):
        self.done.append("down")

    def up(self, release):
        self.done.append(f"up {release.tag}")
        if self.fault:
            raise self.fault
        self.running = release.tag


@pytest.fixture
def platform(monkeypatch):
    def use(**options):
        used = Platform(**options)
        monkeypatch.setattr(platforms, "connect", lambda env: used)
        return used

    return use


@pytest.fixture
def live(env, live, named):
    """The scratch database of a hundred scans, at the revision of v0.9.0; what a rollback puts aside goes with it."""
    name = psycopg.conninfo.conninfo_to_dict(database.url(live))["dbname"]
    yield named(live)
    with database.connected(env) as connection:
        aside = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (f"{name}_before",)
        ).fetchall()
        for (left,) in aside:
            connection.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(left)))


@pytest.fixture
def point(live, release):
    return dumps.rollback_point(backup.rollback_point(live, release).run().facts)


@pytest.fixture
def deployed(live, point, record):
    """The run that deployed v1.0.0 in place of v0.9.0, and moved the schema; one scan was written since."""

    def recorded(**changed):
        recording = record(live)
        recording.deployed(rollback_point=asdict(replace(point, **changed)))
        return recording.run

    run(live, "UPDATE alembic_version SET version_num = '0002'; CREATE TABLE domains AS SELECT 1 AS id")
    run(live, "INSERT INTO scans VALUES (101)")
    return recorded


def run(env, statement):
    with database.connected(env) as connection:
        return connection.execute(statement)


def holds(env, address=""):
    with database.connected(env, address) as connection:
        return database.revision(connection), database.row_counts(connection)["public.scans"]


def databases(env):
    with database.connected(env) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def other(env, name):
    return database.with_database(database.url(env), name)


MOVED = ("0002", 101)


def test_what_ran_before_is_started(live, deployed, platform):
    used = platform(deployed="v1.0.0")
    finding = rollback.previous_release(live, deployed()).run()
    assert finding.ok
    assert used.done == ["up v0.9.0"]
    assert finding.facts["rolled_back"] == {"run": "000-v1.0.0", "from": "v1.0.0", "to": "v0.9.0"}


def test_a_release_without_images_is_not_gone_back_to_and_nothing_is_stopped(live, deployed, platform):
    used = platform(deployed="v1.0.0", tagged=False)
    with pytest.raises(Unanswerable, match=r"v0\.9\.0 has no images any more; nothing was stopped"):
        rollback.previous_release(live, deployed()).run()
    assert used.done == []


def test_what_runs_goes_on_while_an_image_of_what_ran_before_is_missing(live, deployed, platform):
    used = platform(deployed="v1.0.0", up=Unanswerable("v0.9.0 names no image of frontend"))
    with pytest.raises(Unanswerable, match=r"v0\.9\.0 names no image of frontend"):
        rollback.previous_release(live, deployed()).run()
    assert "down" not in used.done


class Particular(Platform):
    """One whose release starts only on its own schema."""

    def __init__(self, where, **options):
        super().__init__(**options)
        self.where = where

    def up(self, release):
        super().up(release)
        if release.tag == "v0.9.0" and holds(self.where)[0] != "0001":
            raise Unanswerable("backend is FATAL, expected RUNNING", remedy="read its log")


def test_a_release_that_starts_only_on_its_own_schema_is_started_by_the_restoration(live, deployed, monkeypatch):
    used = Particular(live, deployed="v1.0.0")
    monkeypatch.setattr(platforms, "connect", lambda env: used)
    recorded = deployed()
    finding = rollback.previous_release(live, recorded).run()
    assert finding.ok
    assert finding.observed["started"].endswith("backend is FATAL, expected RUNNING")
    assert finding.facts["rolled_back"]["to"] == "v0.9.0"
    assert rollback.restore_database(live, recorded).run().ok
    assert used.done == ["up v0.9.0", "down", "up v0.9.0"]


@pytest.mark.parametrize("recorded", [True, False], ids=["on its own schema", "with no rollback point"])
def test_a_release_that_nothing_will_make_start_is_an_error(live, point, record, monkeypatch, recorded):
    def refuse(release):
        used.running = release.tag
        raise Unanswerable("backend is FATAL")

    used, recording = Platform(deployed="v1.0.0"), record(live)
    used.up = refuse
    recording.deployed(**({"rollback_point": asdict(point)} if recorded else {}))
    if not recorded:
        run(live, "UPDATE alembic_version SET version_num = '0002'")
    monkeypatch.setattr(platforms, "connect", lambda env: used)
    with pytest.raises(Unanswerable, match="backend is FATAL"):
        rollback.previous_release(live, recording.run).run()


def test_what_stood_in_the_way_is_told_where_the_release_does_not_start_either(live, deployed, monkeypatch):
    def refuse(*_):
        raise psycopg.errors.InsufficientPrivilege("must be owner of database")

    used, recorded = Particular(live), deployed()
    monkeypatch.setattr(platforms, "connect", lambda env: used)
    monkeypatch.setattr(exchange, "_rename", refuse)
    with pytest.raises(Unanswerable, match="could not change names"):
        rollback.restore_database(live, recorded).run()
    assert holds(live) == MOVED


def test_a_platform_that_starts_something_else_fails(live, deployed, platform):
    used = platform(deployed="v1.0.0")
    used.up = lambda release: None
    finding = rollback.previous_release(live, deployed()).run()
    assert not finding.ok
    assert finding.observed["deployed"] == "v1.0.0"


def test_without_a_record_there_is_nothing_to_go_back_to(live, record, platform):
    used = platform()
    with pytest.raises(Unanswerable, match=r"no run of .* has recorded a deployment"):
        rollback.previous_release(live, record(live).run).run()
    assert used.done == []


def test_a_first_deployment_and_a_planned_one_are_none_to_take_back(live, record):
    record(live).deployed(previous=None)
    record(live).deployed(status="planned")
    with pytest.raises(Unanswerable, match=r"has not recorded what ran before v1\.0\.0"):
        predecessor.newest(live.name)


@pytest.fixture
def of_its_own(env, named, record):
    """Open runs of one environment, in turn."""
    where = named(env)
    return lambda: record(where)


def test_a_failed_redeployment_is_not_taken_back_to_what_an_older_deployment_replaced(of_its_own):
    older, again = of_its_own(), of_its_own()
    older.deployed("v0.9.0", deployed_at="2026-01-01T00:00:00+00:00")
    older.run.events.append("phase ended", phase=8, outcome="passed", reason="")
    again.deployed(None, deployed_at="2026-01-15T00:00:00+00:00")
    for find in (lambda: predecessor.deployment_of(again.run), lambda: predecessor.newest(again.run.environment)):
        with pytest.raises(Unanswerable, match=f"run {again.run.id} has not recorded what ran before") as caught:
            find()
        assert f"--run {older.run.id}" in caught.value.remedy
        assert "written since 2026-01-01 00:00 UTC may be lost" in caught.value.remedy


def test_what_ran_before_an_unfinished_deployment_of_the_same_release_is_carried_over(of_its_own):
    unfinished, again, once_more = of_its_own(), of_its_own(), of_its_own()
    unfinished.deployed("v0.9.0", deployed_at="2026-01-01T00:00:00+00:00")
    again.deployed(None, deployed_at="2026-01-01T00:10:00+00:00")
    once_more.deployed(None, deployed_at="2026-01-01T00:20:00+00:00")
    found = predecessor.deployment_of(once_more.run)
    assert (found.run, found.previous) == (once_more.run, "v0.9.0")


def test_what_was_taken_back_already_is_not_carried_over(of_its_own):
    unfinished, own, again = of_its_own(), of_its_own(), of_its_own()
    unfinished.deployed("v0.9.0", deployed_at="2026-01-01T00:00:00+00:00")
    again.deployed(None, deployed_at="2026-01-15T00:00:00+00:00")
    own.phase(90)
    own.step(90, "R.1.2", "p", kind="action", facts={"rolled_back": {"run": unfinished.run.id, "from": "", "to": ""}})
    with pytest.raises(Unanswerable, match="has not recorded what ran before"):
        predecessor.deployment_of(again.run)


def test_another_releases_unfinished_deployment_is_not_carried_over(env, named, record):
    where = named(env)
    other, again = record(where, "v0.9.0"), record(where)
    other.deployed("v1.0.1-broken", deployed_at="2026-01-01T00:00:00+00:00")
    again.deployed(None, deployed_at="2026-01-01T00:10:00+00:00")
    with pytest.raises(Unanswerable, match="has not recorded what ran before"):
        predecessor.deployment_of(again.run)


def test_the_runs_own_deployment_counts_else_the_newest(live, record):
    old, new, own = record(live), record(live), record(live)
    old.deployed("v1.0.0", deployed_at="2026-01-01T00:00:00+00:00")
    new.deployed("v0.9.0", deployed_at="2026-02-01T00:00:00+00:00")
    assert predecessor.deployment_of(old.run).previous == "v1.0.0"
    assert predecessor.deployment_of(own.run).run == new.run


def test_a_damaged_record_stops_no_way_back_unless_it_may_hide_a_newer_deployment(live, record):
    own = record(live)
    own.deployed("v1.0.0", deployed_at="2026-01-01T00:00:00+00:00")
    damaged = own.run.folder.with_name("000-older")
    damaged.mkdir()
    (damaged / "events.jsonl").write_text("not an event\n")
    assert predecessor.newest(live.name).run == own.run
    damaged.rename(own.run.folder.with_name("zzz-newer"))
    with pytest.raises(Unanswerable, match="zzz-newer is damaged, and may hide a newer deployment") as refused:
        predecessor.newest(live.name)
    assert f"runbook rollback {live.name} --run {own.run.id}" in refused.value.remedy


def test_the_version_that_ran_before_answers(env, named, record):
    recording = record(named(env))
    recording.deployed(platforms.connect(env).deployed())
    assert rollback.previous_version_answers(env, recording.run).run().ok


def test_another_version_than_the_one_that_ran_before_fails(env, named, record):
    recording = record(named(env))
    recording.deployed("v1.0.1-broken")
    finding = rollback.previous_version_answers(env, recording.run).run()
    assert not finding.ok
    assert finding.expected == "1.0.1-broken"


def test_an_unchanged_schema_is_not_restored(live, point, record, platform):
    used, recording = platform(), record(live)
    recording.deployed(rollback_point=asdict(point))
    run(live, "INSERT INTO scans VALUES (101)")
    finding = rollback.restore_database(live, recording.run).run()
    assert finding.ok
    assert finding.observed == "revision 0001: nothing to restore"
    assert finding.facts == {}
    assert holds(live) == ("0001", 101)
    assert used.done == []


def test_a_changed_schema_is_restored_and_what_was_written_since_is_kept(live, point, deployed, platform):
    used, before = platform(), databases(live)
    with psycopg.connect(database.url(live)):  # left open by somebody
        finding = rollback.restore_database(live, deployed()).run()
    assert finding.ok, finding.observed
    assert used.done == ["down", "up v0.9.0"]
    assert holds(live) == ("0001", 100)
    assert finding.observed["rows written since the backup"] == 1
    assert finding.observed["roles whose grants are to be given again"] == "none"
    assert finding.observed["to be set again by hand, as the old database has it"] == "none"
    assert ("public.scans", 100, 101, 1, 100) in finding.tables[0].rows
    assert ("public.domains", None, 1, 0, None) in finding.tables[0].rows
    kept, aside = finding.facts["restored_database"]["kept"], finding.facts["restored_database"]["old database"]
    assert databases(live) == before | {aside}
    assert holds(live, other(live, aside)) == MOVED
    with backup.scratch_copy(live, replace(point, file=kept)) as address:
        assert holds(live, address) == MOVED


def test_a_rollback_point_of_a_schema_that_was_left_half_deployed_is_not_restored(live, point, record, platform):
    run(live, "UPDATE alembic_version SET version_num = '0002'")
    late = backup.take(live, "v1.0.0")
    used, recording = platform(), record(live)
    recording.deployed(rollback_point=asdict(late))
    for finding in (
        rollback.restore_database(live, recording.run).run(),
        rollback.schema_fits(live, recording.run).run(),
    ):
        assert not finding.ok
        assert f"restore {point.file} by hand, the newest dump of revision 0001" in finding.remedy
        assert "run the migrations" not in finding.remedy
    assert holds(live) == ("0002", 100)
    assert used.done == []


def test_where_no_dump_is_of_the_wanted_revision_no_migration_is_advised(live, record, platform):
    platform()
    recording = record(live)
    recording.deployed()
    run(live, "UPDATE alembic_version SET version_num = '0002'")
    finding = rollback.schema_fits(live, recording.run).run()
    assert not finding.ok
    assert "says that it is of revision 0001" in finding.remedy


def test_the_schema_fits_the_release_that_was_put_back(live, deployed, platform):
    recorded = deployed()
    assert not rollback.schema_fits(live, recorded).run().ok
    platform()
    assert rollback.restore_database(live, recorded).run().ok
    assert rollback.schema_fits(live, recorded).run().ok


def test_restore_tests_elsewhere_do_not_keep_the_rollback_from_the_live_server(live, deployed, platform):
    platform()
    elsewhere = live.backup.model_copy(update={"scratch": Secret(env="NOT_SET_ANYWHERE")})
    finding = rollback.restore_database(live.model_copy(update={"backup": elsewhere}), deployed()).run()
    assert finding.ok
    assert holds(live) == ("0001", 100)


def untouched(live, used, before):
    assert holds(live) == MOVED
    assert used.done == []
    assert databases(live) == before


def cut_short(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut_short, "it was cut short"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "its SHA-256 has changed"),
        (lambda path: path.unlink(), "is missing from the backup folder"),
    ],
    ids=["cut short", "overwritten", "missing"],
)
def test_a_damaged_backup_is_refused_before_anything_is_touched(live, point, deployed, platform, damage, sentence):
    used, recorded, before = platform(), deployed(), databases(live)
    damage(point.path(live))
    finding = rollback.restore_database(live, recorded).run()
    assert not finding.ok
    assert sentence in finding.observed[0]
    untouched(live, used, before)


def test_a_dump_of_another_database_is_refused_before_anything_is_touched(env, live, deployed, platform, release):
    live.backup.folder.mkdir(exist_ok=True)
    elsewhere = env.model_copy(update={"backup": live.backup})
    foreign = backup.take(elsewhere, "foreign")
    used, recorded, before = platform(), deployed(**asdict(foreign)), databases(live)
    finding = rollback.restore_database(live, recorded).run()
    assert not finding.ok
    assert "it is a dump of the database twiga_scan" in finding.observed[0]
    untouched(live, used, before)


def test_a_backup_that_holds_other_rows_than_recorded_is_refused(live, point, deployed, platform):
    used, before = platform(), databases(live)
    recorded = deployed(tables={**point.tables, "public.scans": 99})
    finding = rollback.restore_database(live, recorded).run()
    assert not finding.ok
    assert finding.observed["rows"]["public.scans"] == 100
    untouched(live, used, before)


def test_a_restore_that_fails_leaves_the_live_database_as_it_was(live, point, deployed, platform):
    path = point.path(live)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    used, before = platform(), databases(live)
    recorded = deployed(size=path.stat().st_size, sha256=dumps.digest(path))
    with pytest.raises(Unanswerable, match="pg_restore"):
        rollback.restore_database(live, recorded).run()
    untouched(live, used, before)


def test_no_data_is_given_back_to_a_release_that_is_not_in_place(live, deployed, platform):
    used, recorded, before = platform(deployed="v1.0.0"), deployed(), databases(live)
    with pytest.raises(Unanswerable, match=r"v1\.0\.0 is deployed, not v0\.9\.0, .*; nothing was touched"):
        rollback.restore_database(live, recorded).run()
    untouched(live, used, before)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (psycopg.errors.ObjectInUse("is being accessed by other users"), "is in use"),
        (psycopg.errors.InsufficientPrivilege("must be owner of database"), "could not change names"),
    ],
)
def test_databases_that_cannot_change_names(live, deployed, platform, monkeypatch, fault, sentence):
    def refuse(*_):
        raise fault

    used, recorded, before = platform(), deployed(), databases(live)
    monkeypatch.setattr(exchange, "_rename", refuse)
    monkeypatch.setattr(exchange, "SWAP_SECONDS", 0.0)
    with pytest.raises(Unanswerable, match=sentence):
        rollback.restore_database(live, recorded).run()
    assert used.done == ["down", "up v0.9.0"]
    assert holds(live) == MOVED
    assert databases(live) == before


def test_a_release_that_cannot_be_stopped_as_a_whole_is_started_again(live, deployed, platform, monkeypatch):
    used, recorded, before = platform(), deployed(), databases(live)

    def half():
        used.done.append("down")
        raise Unanswerable("cache did not stop")

    monkeypatch.setattr(used, "down", half)
    with pytest.raises(Unanswerable, match="cache did not stop"):
        rollback.restore_database(live, recorded).run()
    assert used.done == ["down", "up v0.9.0"]
    assert (holds(live), databases(live)) == (MOVED, before)


def test_both_names_change_or_neither(live):
    name = psycopg.conninfo.conninfo_to_dict(database.url(live))["dbname"]
    with (
        database.connected(live, other(live, exchange.MAINTENANCE_DATABASE)) as connection,
        pytest.raises(psycopg.errors.InvalidCatalogName),
    ):
        exchange._rename(connection, name, "no_such_database", f"{name}_before")
    assert holds(live) == ("0001", 100)


def test_services_that_do_not_start_on_the_restored_database(live, deployed, platform):
    platform(up=Unanswerable("backend is FATAL", remedy="read its log"))
    with pytest.raises(Unanswerable, match=r"the database is restored, the old one kept as .*; but backend is FATAL"):
        rollback.restore_database(live, deployed()).run()
    assert holds(live) == ("0001", 100)


def test_without_a_rollback_point_a_changed_schema_is_left_alone(live, deployed, record, platform):
    used, recording = platform(), record(live)
    recording.deployed()
    with pytest.raises(Unanswerable, match=r"moved to 0002, and run .* has taken no rollback point"):
        rollback.restore_database(live, recording.run).run()
    untouched(live, used, databases(live))


def test_without_a_rollback_point_the_previous_releases_own_schema_needs_none(live, record, platform):
    platform()
    recording = record(live)
    recording.deployed()
    assert rollback.restore_database(live, recording.run).run().ok


def test_roles_with_grants_are_named(live, deployed, platform):
    platform()
    run(live, "GRANT SELECT ON scans TO pg_monitor")
    finding = rollback.restore_database(live, deployed()).run()
    assert finding.observed["roles whose grants are to be given again"] == ["pg_monitor"]


def test_what_was_set_on_the_database_itself_is_named(live, deployed, platform):
    platform()
    name = database.name(live)
    run(live, f"ALTER DATABASE {name} SET search_path = 'public', 'very-secret'")
    run(live, f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    run(live, f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET work_mem = '8MB'")
    finding = rollback.restore_database(live, deployed()).run()
    assert finding.ok
    lost = finding.observed["to be set again by hand, as the old database has it"]
    assert "ALTER DATABASE … SET search_path" in lost
    assert any(re.fullmatch(r"ALTER ROLE \S+ IN DATABASE … SET work_mem", each) for each in lost)
    assert any(each.startswith("privileges on the database: ") for each in lost)
    assert len(lost) == 3
    assert "very-secret" not in repr(finding)


def test_too_little_space_stops_it_before_anything_is_touched(live, deployed, platform, monkeypatch):
    used, recorded, before = platform(), deployed(), databases(live)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    assert not rollback.restore_database(live, recorded).run().ok
    untouched(live, used, before)
