"""What must outlive a power cut: after each new name its folder is synced, and not before the name is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runbook_lib import checklist
from runbook_lib.record import archive, disk, seal
from runbook_lib.record.archive import Run
from runbook_lib.record.events import EventLog


@pytest.fixture
def synced(monkeypatch):
    """Each folder that was synced, with the names that it had then."""
    seen, fsync = [], os.fsync

    def spy(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            seen.append((path, {each.name for each in path.iterdir()}))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    return lambda path: any(folder == path.parent and path.name in names for folder, names in seen)


def test_a_file_that_was_replaced_in_one_step(synced, tmp_path):
    archive.write_atomically(tmp_path / "manifest.json", b"{}")
    assert synced(tmp_path / "manifest.json")


def test_a_log_that_was_begun(synced, tmp_path):
    EventLog(tmp_path / "events.jsonl").append("happened")
    assert synced(tmp_path / "events.jsonl")


def test_folders_that_were_made(synced, tmp_path):
    disk.make_folders(tmp_path / "a/b/c")
    assert all(synced(tmp_path / made) for made in ("a", "a/b", "a/b/c"))


def test_evidence_that_was_kept(synced, tmp_path):
    kept = Run(tmp_path).keep("3.1", "seen.log", b"seen")
    assert all(synced(tmp_path / made) for made in ("evidence", "evidence/3.1", kept.path))


def test_a_notebook_that_was_set_aside(synced, tmp_path):
    run, phase = Run(tmp_path), checklist.phase(3)
    run.notebook(phase).write_text("{}")
    run.set_aside(phase)
    assert synced(tmp_path / "superseded" / f"{phase.name}.1.ipynb")


def test_a_run_that_was_opened_and_sealed(synced, roles):
    run = roles.ran()
    assert synced(run.folder) and synced(run.folder.parent)
    seal.seal(run, roles.mask)
    assert synced(run.folder / "manifest.json") and synced(run.folder / seal.ENVELOPE)
