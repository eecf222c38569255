from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.errors import RecordError
from runbook_lib.record import manifest
from runbook_lib.record.archive import Run
from runbook_lib.record.seal import ENVELOPE
from runbook_lib.review import index

from ..many_runs import multiply
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
    return [entry.run for entry in index.entries()]


def test_a_run_is_listed_and_found_by_what_an_item_said(one):
    (entry,) = index.entries("mini")
    assert (entry.run, entry.fault) == (one.id, "")
    assert entry.release == "v1"
    assert entry.counts == "4 passed"
    assert ("3.2", "passed") in {(hit.item, hit.status) for hit in index.search("Is sound")}
    assert index.search("Is sound", "another") == ()
    assert index.entries("another") == ()


def test_the_manifest_is_read_and_not_the_events_where_it_tells_of_all(one):
    rewrite(one, lambda overview: overview.update(release="as the manifest says"))
    assert index.entries()[0].release == "as the manifest says"
    one.events.append("run resumed")
    assert index.entries()[0].release == "v1"


def test_runs_come_and_go(one):
    assert names() == [one.id]
    other = one.folder.with_name("zz-other")
    shutil.copytree(one.folder, other)
    assert names() == [one.id, "zz-other"]
    shutil.rmtree(other)
    assert names() == [one.id]
    assert {hit.run for hit in index.search("sound")} == {one.id}


def test_a_sealed_run_is_read_once_and_noticed_when_it_is_gone(one):
    (one.folder / ENVELOPE).touch()
    one.events.append("run resumed")
    before = index.entries()
    one.events.append("run resumed")
    assert index.entries() == before
    shutil.rmtree(one.folder)
    assert names() == []


@pytest.mark.parametrize("content", [b"", b"no database at all, and long enough to be looked at" * 100])
def test_a_damaged_index_is_made_anew(one, mini, content):
    index.entries()
    (mini.outputs / index.NAME).write_bytes(content)
    assert names() == [one.id]


def test_an_index_that_lacks_a_table_is_made_anew(one, mini):
    index.entries()
    database = sqlite3.connect(mini.outputs / index.NAME)
    database.execute("DROP TABLE said")
    database.close()
    assert {hit.run for hit in index.search("sound")} == {one.id}


def test_an_index_of_another_schema_is_made_anew(one, mini):
    index.entries()
    database = sqlite3.connect(mini.outputs / index.NAME)
    database.executescript("DROP TABLE loads; PRAGMA user_version = 999")
    database.close()
    assert names() == [one.id]


def test_a_run_that_cannot_be_read_is_listed_and_breaks_no_other(one):
    other = one.folder.with_name("zz-other")
    other.mkdir()
    (other / "events.jsonl").write_text("not an event\n")
    entries = index.entries()
    assert [(entry.run, bool(entry.fault)) for entry in entries] == [(one.id, False), ("zz-other", True)]


def test_a_run_that_was_changed_is_found_first_and_once(one):
    other = one.folder.with_name("zz-other")
    shutil.copytree(one.folder, other)
    assert [hit.run for hit in index.search("sound", limit=1)] == ["zz-other"]
    one.events.append("run resumed")
    assert {entry.outcome for entry in index.entries() if entry.run == one.id} == {"open"}
    assert [hit.run for hit in index.search("sound", limit=1)] == [one.id]
    assert len({(hit.run, hit.item) for hit in index.search("sound")}) == len(index.search("sound"))


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


@given(st.text(alphabet=st.characters() | st.sampled_from('"*^:()-+\0 ')))
def test_every_text_is_a_query_that_fts_takes(text):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE said USING fts5(text)")
    query = index.quoted(text)
    if query:
        database.execute("SELECT * FROM said WHERE said MATCH ?", (query,)).fetchall()
    database.close()


def test_the_newest_runs_are_listed_and_the_others_counted(one):
    multiply(one, 3, lambda number, overview: None, "mini")
    listed = subprocess.run([RUNBOOK, "list", "--limit", "2"], capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0, listed.stderr
    assert "2 earlier runs are not shown: --limit 4" in listed.stdout
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == [f"mini/{run}" for run in names()[-2:]]


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EROFS])
def test_who_may_only_read_the_archive_gets_answers_too(one, monkeypatch, fault):
    def refuse(*_):
        raise OSError(fault, "no", "lock")

    written = one.folder.parent.parent / index.NAME
    written.unlink()
    monkeypatch.setattr(index, "FileLock", refuse)
    assert {hit.item for hit in index.search("Is sound")} >= {"3.2"}
    assert not written.exists()


def test_a_disk_that_does_not_answer_is_said(one, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "no", "lock")

    monkeypatch.setattr(index, "FileLock", refuse)
    with pytest.raises(RecordError, match="cannot be brought up to date"):
        index.entries()
