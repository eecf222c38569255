from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import backups
from runbook_lib.checks.backups import Backup
from runbook_lib.errors import Unanswerable


@pytest.fixture
def having(at, tmp_path):
    """An environment whose newest backup was taken so long ago for this; more of its TOML by keyword."""

    def environment(age=timedelta(hours=1), label="daily", **parts):
        env = at("http://127.0.0.1:9", **parts)
        env.backup.folder.mkdir()
        if age is not None:
            (env.backup.folder / "a.dump").touch()
            Backup(
                file="a.dump", sha256="", size=0, taken_at=datetime.now(UTC) - age, seconds=1, environment=env.name,
                database="db", revision=None, tables={}, label=label,
            ).write(env.backup.folder)  # fmt: skip
        return env

    return environment


def test_a_backup_of_today(having):
    assert backups.recent(having()).run().ok


@pytest.mark.parametrize("age", [timedelta(hours=24, seconds=1), timedelta(days=400), timedelta(minutes=-5), None])
def test_no_backup_of_today(having, age):
    finding = backups.recent(having(age)).run()
    assert not finding.ok
    assert "runbook backup planted" in finding.remedy


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"file": "b.dump"}', "\x00"])
def test_metadata_that_says_nothing(having, text):
    env = having()
    (env.backup.folder / "a.dump.json").write_text(text)
    with pytest.raises(Unanswerable, match=r"a\.dump may be the newest backup, yet its metadata"):
        backups.recent(env).run()


def test_metadata_of_another_file(having):
    env = having()
    metadata = env.backup.folder / "a.dump.json"
    (env.backup.folder / "b.dump").touch()
    (env.backup.folder / "b.dump.json").write_text(metadata.read_text())
    (env.backup.folder / "a.dump").unlink()
    with pytest.raises(Unanswerable, match=r"its metadata is that of a\.dump"):
        backups.recent(env).run()


def test_another_environments_backups_are_its_own(having):
    env = having()
    assert backups.newest(env.model_copy(update={"name": "other"})) is None


@pytest.mark.parametrize("label", ["v1.0.0", "v1.0.0-before-rollback", ""])
def test_a_runs_own_dumps_say_nothing_of_the_schedule(having, label):
    env = having(label=label, **OBJECTIVES)
    for step in (backups.recent(env), backups.objectives(env, MEASURED)):
        finding = step.run()
        assert not finding.ok
        assert finding.observed.startswith("no daily backup of planted in")
    assert backups.newest_daily(env) is None


@pytest.mark.parametrize(("label", "is_one"), [("v1.0.0", True), ("daily", True), ("v1.0.0-before-rollback", False)])
def test_what_a_rollback_took_back_is_no_backup_to_recover_with(having, label, is_one):
    assert (backups.newest(having(label=label)) is not None) is is_one


OBJECTIVES = {"recovery": {"rto_seconds": 60, "rpo_seconds": 86_400}}
MEASURED = {"recovery": {"seconds": 12.5}}


def test_objectives_that_hold(having):
    finding = backups.objectives(having(**OBJECTIVES), MEASURED).run()
    assert finding.ok, finding.observed


@pytest.mark.parametrize(("age", "seconds"), [(timedelta(hours=25), 12.5), (timedelta(hours=1), 60.1)])
def test_objectives_that_do_not_hold(having, age, seconds):
    assert not backups.objectives(having(age, **OBJECTIVES), {"recovery": {"seconds": seconds}}).run().ok


def test_a_daily_schedule_cannot_promise_less_than_a_day(having):
    hourly = {"recovery": {**OBJECTIVES["recovery"], "rpo_seconds": 86_399}}
    assert not backups.objectives(having(timedelta(minutes=1), **hourly), MEASURED).run().ok


def test_objectives_without_a_backup(having):
    assert not backups.objectives(having(None, **OBJECTIVES), MEASURED).run().ok


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({}, "recovery.rto_seconds and recovery.rpo_seconds"),
        ({"rto_seconds": 60}, "recovery.rpo_seconds"),
        ({"rpo_seconds": 60}, "recovery.rto_seconds"),
    ],
)
def test_objectives_that_nobody_declared(having, declared, named):
    with pytest.raises(Unanswerable, match=f"does not declare {named}$"):
        backups.objectives(having(recovery=declared), MEASURED).run()


def test_objectives_that_nobody_measured(having):
    with pytest.raises(Unanswerable, match="no recovery was measured in this run"):
        backups.objectives(having(**OBJECTIVES), {}).run()


@given(st.text("abc _-$\"'", min_size=1, max_size=20))
def test_the_dumped_databases_name_is_read(name):
    listing = f";\n; Archive created at 2030-01-01\n;     dbname: {name}\n;     TOC Entries: 9\n"
    assert backups.dumped_database(listing) == name
