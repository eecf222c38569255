"""The lock on this machine: flock(2) on a file, which the kernel gives back when its holder dies."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from runbook_lib.errors import Occupied, RecordError
from runbook_lib.exclusive.holder import HELD, SETTLE_SECONDS, SHARED, Holder
from runbook_lib.record.archive import write_atomically
from runbook_lib.record.disk import make_folders

_POLL_SECONDS = 0.02


class MachineLock:
    """The lock of the environment whose runs lie in `folder`; beside it a note says who holds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / ".lock", thread_local=False)

    @property
    def note(self) -> Path:
        """Who holds the lock, or held it last."""
        return self._folder / ".lock.json"

    def take(self, holder: Holder) -> str:
        """Take the lock unless a process of the same run has it, and say which of the two.

        Raises
        ------
        Occupied
            Another run holds it; the text is who, and since when.
        RecordError
            The lock's file cannot be written.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._lock.is_locked:
            if self._acquire(holder):
                break
            last = self.last()
            # A note of somebody dead was left by an earlier holder: the present one is about to write his own.
            if last is not None and last.alive and last.token == holder.token:
                return SHARED
            if time.monotonic() >= deadline:
                raise Occupied(str(last) if last is not None else "a run that left no name")
            time.sleep(_POLL_SECONDS)
        return HELD

    def _acquire(self, holder: Holder) -> bool:
        try:
            make_folders(self._folder)
            self._lock.acquire(blocking=False)
            write_atomically(self.note, json.dumps(asdict(holder), indent=1).encode())
        except Timeout:
            return False
        except OSError as error:
            self.release()
            raise RecordError(f"The lock below {self._folder} cannot be taken: {error}.") from error
        return True

    def release(self) -> None:
        """Give the lock back; the note stays, and counts for nothing."""
        self._lock.release()

    def holder(self) -> Holder | None:
        """Who holds the lock at this moment; asking for it gives nobody's away."""
        if self._lock.is_locked:
            return self.last()
        try:
            with self._lock.acquire(blocking=False):
                return None
        except Timeout:
            return self.last()
        except OSError:
            return None

    def last(self) -> Holder | None:
        """Who took the lock last, dead or alive; None where nobody did, or the note cannot be read."""
        try:
            return Holder(**json.loads(self.note.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
