"""What happened, in order: one JSON object a line, appended and fsynced while things happen.

Each line carries the SHA-256 of the line before it, so that a line dropped, swapped or edited shows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfc8785
from filelock import FileLock

from runbook_lib.errors import RecordError
from runbook_lib.record.disk import sync_folder

GENESIS = "0" * 64
SEALED = "run sealed"
"""The last event of a run: nothing is appended after it."""


@dataclass(frozen=True)
class Event:
    """One line: its number from 1, its UTC time (ISO 8601), what happened, and the particulars."""

    number: int
    time: str
    name: str
    data: dict[str, Any]
    previous: str


class EventLog:
    """The append-only log of one run, shared by the runner and its kernels under one file lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    def append(self, name: str, /, **data: Any) -> Event:
        """Write one event to disk before returning.

        Raises
        ------
        RecordError
            The last whole line is no event of ours, or says that the run is sealed.
        """
        with self._lock, self.path.open("a+b") as file:
            last = self._mend_and_read_last(file)
            if last and last[2] == SEALED:
                raise RecordError(f"The run {self.path.parent.name} is sealed: nothing can be added to its record.")
            number, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
            event = Event(number, datetime.now(UTC).isoformat(timespec="milliseconds"), name, data, previous)
            file.write(_line(event))
            file.flush()
            os.fsync(file.fileno())
            if number == 1:
                sync_folder(self.path.parent)
        return event

    def read(self) -> tuple[Event, ...]:
        """All whole lines, without one that a power cut left unfinished. Raises RecordError on a broken chain."""
        return tuple(self._events())

    def digests(self) -> tuple[str, ...]:
        """The digest of each whole line, as the line after it carries it. Raises RecordError on a broken chain."""
        events = self.read()
        lines = self.path.read_bytes().splitlines(keepends=True) if events else []
        return tuple(digest_of(line) for line in lines[: len(events)])

    def _events(self) -> Iterator[Event]:
        previous = GENESIS
        content = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                event = Event(**json.loads(line))
            except (ValueError, TypeError, RecursionError) as error:
                raise RecordError(f"{self.path}, line {number}: is not an event") from error
            if event.number != number or event.previous != previous:
                raise RecordError(f"{self.path}, line {number}: does not follow from the line before it")
            previous = digest_of(line + b"\n")
            yield event

    def _mend_and_read_last(self, file: Any) -> tuple[int, str, str] | None:
        """The number, digest and name of the last whole line; what follows it was cut off by a crash and is removed."""
        size = file.seek(0, os.SEEK_END)
        window = 65_536
        while True:
            start = file.seek(max(0, size - window))
            tail: bytes = file.read()
            end = tail.rfind(b"\n") + 1
            begin = tail.rfind(b"\n", 0, end - 1) + 1 if end else 0
            if start == 0 or (end and begin):
                break
            window *= 4
        if start + end < size:
            file.truncate(start + end)
        if not end:
            return None
        line = tail[begin:end]
        try:
            event = json.loads(line)
            return int(event["number"]), digest_of(line), str(event["name"])
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{self.path}: its last line is not an event") from error


def _line(event: Event) -> bytes:
    return rfc8785.dumps(event.__dict__) + b"\n"


def digest_of(line: bytes) -> str:
    """The SHA-256 of a line with its end, as the next line carries it."""
    return hashlib.sha256(line).hexdigest()
