from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from runbook_lib.errors import Occupied
from runbook_lib.exclusive.holder import HELD, SHARED, Holder
from runbook_lib.exclusive.machine import MachineLock

OURS, THEIRS = Holder.of("ours"), Holder.of("theirs")


@pytest.fixture
def locks(tmp_path):
    made = [MachineLock(tmp_path / "mini"), MachineLock(tmp_path / "mini")]
    yield made
    for lock in made:
        lock.release()


def test_one_holds_it_until_it_is_given_back(locks):
    first, second = locks
    assert (first.take(OURS), first.take(OURS)) == (HELD, HELD)
    with pytest.raises(Occupied, match=f"run ours .* since {OURS.since[:10]}"):
        second.take(THEIRS)
    first.release()
    assert second.take(THEIRS) == HELD
    assert first.last() == THEIRS


def test_it_is_shared_by_the_processes_of_one_run(locks):
    first, second = locks
    assert (first.take(OURS), second.take(OURS)) == (HELD, SHARED)


def test_a_dead_holders_note_counts_for_nothing(locks):
    first, second = locks
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    first.take(OURS)
    # As in the instant between the lock and its holder's note: the note is still that of our own run's dead kernel.
    first.note.write_text(json.dumps(asdict(replace(THEIRS, pid=ended.pid))))
    with pytest.raises(Occupied):
        second.take(THEIRS)
    first.release()
    assert second.take(THEIRS) == HELD


@pytest.mark.parametrize("note", ["", "[]", "{", '{"run": "x"}', "\x00"])
def test_a_note_that_cannot_be_read_lets_nobody_in(locks, note):
    first, second = locks
    first.take(OURS)
    first.note.write_text(note)
    with pytest.raises(Occupied, match="a run that left no name"):
        second.take(THEIRS)
