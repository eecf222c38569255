import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.actions import backup, retention
from runbook_lib.checks import backups
from runbook_lib.checks.backups import Backup, Kept, expired, metadata_of
from runbook_lib.errors import Unanswerable

NOW = datetime(2030, 6, 1, tzinfo=UTC)
HORIZON = NOW - timedelta(days=30)


def dump(number, age, file_age, says):
    taken = NOW - timedelta(hours=age)
    modified = NOW - timedelta(hours=file_age)
    path = Path(f"{number}.dump")
    written = Backup(
        file=path.name, sha256="", size=1, taken_at=taken, seconds=1, environment="e", database="d", revision=None,
        tables={},
    )  # fmt: skip
    return Kept(path, modified, written if says else None)


HOURS = st.integers(-100, 2000)
DUMPS = st.lists(st.tuples(HOURS, HOURS, st.booleans(), st.booleans()), max_size=12)


@given(DUMPS)
def test_what_retention_never_does(rows):
    found = [dump(number, age, file_age, says) for number, (age, file_age, says, _) in enumerate(rows)]
    whole = {each.path for each, row in zip(found, rows, strict=True) if row[3]}
    gone = expired(found, HORIZON, lambda each: each.path in whole)
    stays = [each for each in found if each not in gone]
    assert not gone or max(found, key=lambda each: (each.taken, each.path.name)) in stays
    assert all(each.backup and each.backup.taken_at < HORIZON and each.modified < HORIZON for each in gone)
    restorable = [each for each in found if each.backup and each.path in whole]
    assert not restorable or set(map(id, restorable)) & set(map(id, stays))
    assert gone == () or restorable


@given(DUMPS)
def test_what_retention_does_where_all_is_well(rows):
    found = [dump(number, age, age, says=True) for number, (age, *_) in enumerate(rows)]
    gone = expired(found, HORIZON, lambda each: True)
    newest = max(found, key=lambda each: (each.taken, each.path.name), default=None)
    assert set(map(id, gone)) == {id(each) for each in found if each.taken < HORIZON and each is not newest}


@pytest.fixture
def aged(live):
    """Take a backup and make it so many days old."""

    def take(days, label="daily"):
        path = backup.take(live, label).path(live)
        then = datetime.now(UTC) - timedelta(days=days)
        taken = Backup.model_validate_json(metadata_of(path).read_bytes())
        metadata_of(path).unlink()
        taken.model_copy(update={"taken_at": then}).write(live.backup.folder)
        os.utime(path, (then.timestamp(), then.timestamp()))
        return path

    live.backup.folder.mkdir()
    return live, take


def test_the_old_ones_go_with_their_metadata(aged):
    env, take = aged
    new, old, older = take(1), take(31), take(400)
    assert not backups.retained(env).run().ok
    finding = retention.apply(env).run()
    assert finding.ok
    assert finding.observed == {"removed": 2, "kept": 1}
    assert new.is_file()
    assert not [path for path in (old, older, metadata_of(old), metadata_of(older)) if path.exists()]
    assert backups.retained(env).run().ok


def test_the_newest_stays_whatever_its_age(aged):
    env, take = aged
    old, older = take(50), take(51)
    assert retention.apply(env).run().observed == {"removed": 1, "kept": 1}
    assert (old.is_file(), older.is_file()) == (True, False)
    assert backups.retained(env).run().ok


def test_what_a_rollback_took_back_protects_nothing_and_is_not_protected(aged):
    env, take = aged
    rejected, good, older = take(40, "v1-before-rollback"), take(41), take(42)
    assert retention.apply(env).run().observed == {"removed": 2, "kept": 1}
    assert (rejected.is_file(), good.is_file(), older.is_file()) == (False, True, False)


def test_the_only_whole_one_stays(aged):
    env, take = aged
    new, old, older = take(1), take(40), take(41)
    new.write_bytes(new.read_bytes()[:100])
    assert retention.apply(env).run().observed == {"removed": 1, "kept": 2}
    assert (old.is_file(), older.is_file()) == (True, False)
    assert backups.retained(env).run().ok


def test_what_does_not_say_that_it_is_old_stays(aged):
    env, take = aged
    _, touched, without, foreign = take(1), take(40), take(41), take(42)
    touched.touch()
    metadata_of(without).unlink()
    metadata_of(foreign).write_text("{}")
    stranger = env.backup.folder / "notes.txt"
    stranger.touch()
    os.utime(stranger, (0, 0))
    assert retention.apply(env).run().observed == {"removed": 0, "kept": 4}
    assert stranger.is_file()


def test_nothing_goes_where_the_newest_is_a_riddle(aged):
    env, take = aged
    take(1)
    old = take(40)
    (env.backup.folder / "newer.dump").touch()
    with pytest.raises(Unanswerable, match=r"newer\.dump may be the newest backup"):
        retention.apply(env).run()
    with pytest.raises(Unanswerable, match=r"newer\.dump may be the newest backup"):
        backups.retained(env).run()
    assert old.is_file()


def test_no_backup_at_all(aged):
    env, _ = aged
    assert not retention.apply(env).run().ok
    assert not backups.retained(env).run().ok
