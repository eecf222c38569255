from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from runbook_lib.errors import RecordError
from runbook_lib.record import manifest
from runbook_lib.record.archive import Run
from runbook_lib.record.seal import ENVELOPE
from runbook_lib.review import index, lookup

from ..test_runner import NEXT, SOUND, run

RUNBOOK = Path(sys.executable).with_name("runbook")


@pytest.fixture
def one(mini) -> Run:
    return run(mini, SOUND | NEXT)[1]


def rewrite(run: Run, change) -> None:
    """Change the overview in the manifest, and have it read anew."""
    path = run.folder / manifest.NAME
    statement = json.loads(path.read_bytes())
    change(statement["predicate"]["overview"])
    path.write_text(json.dumps(statement))
    (run.folder.parent.parent / index.NAME).unlink(missing_ok=True)


def names() -> list[str]:
    return [entry.run for entry in lookup.entries()]


def test_a_run_is_listed_and_found_by_what_an_item_said(one):
    (entry,) = lookup.entries("mini")
    assert (entry.run, entry.fault) == (one.id, "")
    assert entry.release == "v1"
    assert entry.counts == "4 passed"
    assert ("3.2", "passed") in {(hit.item, hit.status) for hit in lookup.search("Is sound")}
    assert lookup.search("Is sound", "another") == ()
    assert lookup.entries("another") == ()


def test_the_manifest_is_read_and_not_the_events_where_it_tells_of_all(one):
    rewrite(one, lambda overview: overview.update(release="as the manifest says"))
    assert lookup.entries()[0].release == "as the manifest says"
    one.events.append("run resumed")
    assert lookup.entries()[0].release == "v1"


def test_runs_come_and_go(one):
    assert names() == [one.id]
    other = one.folder.with_name("zz-other")
    shutil.copytree(one.folder, other)
    assert names() == [one.id, "zz-other"]
    shutil.rmtree(other)
    assert names() == [one.id]
    assert {hit.run for hit in lookup.search("sound")} == {one.id}


def test_a_sealed_run_is_read_once_and_noticed_when_it_is_gone(one):
    lookup.entries()
    (one.folder / ENVELOPE).touch()
    before = lookup.entries()
    one.events.append("run resumed")
    assert lookup.entries() == before
    shutil.rmtree(one.folder)
    assert names() == []


def test_a_sealed_run_that_could_not_be_read_is_read_once_it_can_be(one):
    (one.folder / ENVELOPE).touch()
    (one.folder / manifest.NAME).unlink()
    whole = one.events.path.read_bytes()
    one.events.path.write_bytes(b"not an event\n")
    assert [bool(entry.fault) for entry in lookup.entries()] == [True]
    one.events.path.write_bytes(whole)
    assert [(entry.fault, entry.counts) for entry in lookup.entries()] == [("", "4 passed")]


@pytest.mark.parametrize("content", [b"", b"no database at all, and long enough to be looked at" * 100])
def test_a_damaged_index_is_made_anew(one, mini, content):
    lookup.entries()
    (mini.outputs / index.NAME).write_bytes(content)
    assert names() == [one.id]


def test_an_index_that_lacks_a_table_is_made_anew(one, mini):
    lookup.entries()
    database = sqlite3.connect(mini.outputs / index.NAME)
    database.execute("DROP TABLE said")
    database.close()
    assert {hit.run for hit in lookup.search("sound")} == {one.id}


def test_an_index_of_another_schema_is_made_anew(one, mini):
    lookup.entries()
    database = sqlite3.connect(mini.outputs / index.NAME)
    database.executescript("DROP TABLE loads; PRAGMA user_version = 999")
    database.close()
    assert names() == [one.id]


def test_a_run_that_cannot_be_read_is_listed_and_breaks_no_other(one):
    other = one.folder.with_name("zz-other")
    other.mkdir()
    (other / "events.jsonl").write_text("not an event\n")
    entries = lookup.entries()
    assert [(entry.run, bool(entry.fault)) for entry in entries] == [(one.id, False), ("zz-other", True)]


def test_a_run_that_was_changed_is_found_first_and_once(one):
    other = one.folder.with_name("zz-other")
    shutil.copytree(one.folder, other)
    assert [hit.run for hit in lookup.search("sound", limit=1)] == ["zz-other"]
    one.events.append("run resumed")
    assert {entry.outcome for entry in lookup.entries() if entry.run == one.id} == {"open"}
    assert [hit.run for hit in lookup.search("sound", limit=1)] == [one.id]
    assert len({(hit.run, hit.item) for hit in lookup.search("sound")}) == len(lookup.search("sound"))


def test_what_steers_a_terminal_is_shown_as_text(one):
    rewrite(one, lambda overview: overview["items"]["3.2"].update(said="red \x1b[31m alarm"))
    said = subprocess.run([RUNBOOK, "search", "alarm"], capture_output=True, text=True, check=True).stdout
    assert f"mini/{one.id}  3.2  passed  " in said
    assert "\x1b" not in said


def test_two_processes_at_once(one):
    started = [subprocess.Popen([RUNBOOK, "search", "sound"], stdout=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert said[0] == said[1] != b""


def test_what_was_read_again_and_again_does_not_fill_the_index(one, mini, monkeypatch):
    monkeypatch.setattr(index, "GONE", 3)
    highest = 0
    for _ in range(10):
        one.events.append("run resumed")
        assert {hit.run for hit in lookup.search("sound")} == {one.id}
        with closing(sqlite3.connect(mini.outputs / index.NAME)) as database:
            highest = max(highest, *database.execute("SELECT max(id) FROM runs").fetchone())
    assert highest == 6


def test_the_words_of_later_runs_are_merged_little_by_little(one, mini):
    lookup.entries()
    with closing(sqlite3.connect(mini.outputs / index.NAME)) as database:
        settings = dict(database.execute("SELECT k, v FROM said_config"))
    assert settings["automerge"] == 4


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EROFS])
def test_who_may_only_read_the_archive_gets_answers_too(one, monkeypatch, fault):
    def refuse(*_, **__):
        raise OSError(fault, "no", "lock")

    written = one.folder.parent.parent / index.NAME
    written.unlink()
    monkeypatch.setattr(index, "FileLock", refuse)
    assert {hit.item for hit in lookup.search("Is sound")} >= {"3.2"}
    assert not written.exists()


def test_a_disk_that_does_not_answer_is_said(one, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EIO, "no", "lock")

    monkeypatch.setattr(index, "FileLock", refuse)
    with pytest.raises(RecordError, match="cannot be brought up to date"):
        lookup.entries()


def test_where_many_runs_are_read_a_terminal_shows_it(one, mini, monkeypatch, capsys):
    (mini.outputs / index.NAME).unlink()
    monkeypatch.setattr(index, "MANY", 1)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert names() == [one.id]
    assert "reading 1 runs into the index" in capsys.readouterr().err
    capsys.readouterr()
    assert names() == [one.id]
    assert capsys.readouterr().err == ""


def test_what_is_no_run_hides_none(one, mini):
    folder = mini.outputs / "mini" / os.fsdecode(b"\xff")
    folder.mkdir()
    (folder / "events.jsonl").touch()
    assert names() == [one.id]


@pytest.mark.parametrize("line", ["[" * 100_000 + "]" * 100_000, '{"facts": [1]}'], ids=["deep", "other"])
def test_an_odd_record_is_damaged_and_hides_no_other(one, line):
    other = one.folder.with_name("zz-other")
    other.mkdir()
    (other / "events.jsonl").write_text(f"{line}\n")
    assert [bool(entry.fault) for entry in lookup.entries()] == [False, True]


@pytest.mark.parametrize("error", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR])
def test_where_the_index_cannot_be_written_there_are_answers_all_the_same(one, monkeypatch, error):
    answers = index._answers

    def refuse(path, *rest):
        if path != index.MEMORY:
            refused = sqlite3.OperationalError("cannot be written")
            refused.sqlite_errorcode = error
            raise refused
        return answers(path, *rest)

    monkeypatch.setattr(index, "_answers", refuse)
    assert names() == [one.id]


def test_who_holds_the_index_for_long_stops_nobody(one, mini, monkeypatch):
    monkeypatch.setattr(index, "LOCK_SECONDS", 0.01)
    with FileLock(f"{mini.outputs / index.NAME}.lock"):
        assert names() == [one.id]


def test_a_run_that_stays_damaged_is_read_once(one, mini):
    other = one.folder.with_name("zz-other")
    other.mkdir()
    (other / "events.jsonl").write_text("not an event\n")
    (other / ENVELOPE).touch()
    lookup.entries()
    before = (mini.outputs / index.NAME).read_bytes()
    assert [bool(entry.fault) for entry in lookup.entries()] == [False, True]
    assert (mini.outputs / index.NAME).read_bytes() == before
