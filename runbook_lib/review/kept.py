"""Evidence as a page shows it: text by its beginning, pictures whole, until the page has taken enough of either."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from runbook_lib.errors import RecordError
from runbook_lib.load.comparison import SAMPLES
from runbook_lib.record import manifest
from runbook_lib.record.archive import Run

SERIES_ROWS = 600
TEXT_SHOWN = 1500
"""Characters of one file."""
TEXT_BUDGET, PICTURE_BUDGET = 600_000, 1_300_000
"""Bytes of a whole page, so that it stays under 3 MB whatever was archived."""


@dataclass(frozen=True)
class Shown:
    """One kept file: its address from the run's folder; `remark` says why its content is not shown, or not whole."""

    path: str
    address: str
    size: int
    sha256: str
    text: str = ""
    picture: str = ""
    remark: str = ""


@dataclass
class Reader:
    """Reads a run's evidence for one page, and keeps count of what the page has taken."""

    run: Run
    text: int = TEXT_BUDGET
    pictures: int = PICTURE_BUDGET
    missing: list[str] = field(default_factory=list)

    def show(self, file: Mapping[str, Any]) -> Shown:
        """The file as the page shows it; one that is gone or is another by now is said to be."""
        name = str(file["path"])
        plain: dict[str, Any] = {
            "path": name,
            "address": quote(name),
            "size": file["size"],
            "sha256": file["sha256"],
        }
        try:
            content = content_of(self.run, file)
        except RecordError as error:
            self.missing.append(str(error))
            return Shown(**plain, remark=str(error))
        if content.startswith(b"\x89PNG"):
            if len(content) * 4 // 3 > self.pictures:
                return Shown(**plain, remark="not shown here, for the page would grow too large: open the file")
            self.pictures -= len(content) * 4 // 3
            return Shown(**plain, picture=base64.b64encode(content).decode())
        return Shown(**plain, **self._text(content))

    def _text(self, content: bytes) -> dict[str, Any]:
        try:
            whole = content.decode()
        except UnicodeDecodeError:
            return {"remark": "not text"}
        cut = whole[: min(TEXT_SHOWN, max(0, self.text))]
        self.text -= len(cut.encode())
        more = len(whole) - len(cut)
        return {"text": cut, "remark": f"{more:,} more characters stand in the file" if more else ""}


def content_of(run: Run, file: Mapping[str, Any]) -> bytes:
    """The content of a kept file. Raises RecordError where it is gone, or is not what was kept."""
    path = run.file(file["path"])
    if manifest.digest(path) != file["sha256"]:
        state = "is not what was kept" if path.exists() else "is missing"
        raise RecordError(f"{file['path']} {state}")
    return path.read_bytes()


def series(run: Run, files: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """A load test by the second: its beginning, requests due, failed, p50 and p95 in ms; nothing where none is kept.

    A long test by as many seconds as make :data:`SERIES_ROWS` rows at most.
    """
    from runbook_lib.load import samples

    kept = next((file for file in files if str(file["path"]).endswith(SAMPLES)), None)
    if kept is None:
        return []
    import numpy as np

    try:
        found, _ = samples.archived(content_of(run, kept))
    except (RecordError, ValueError):
        return []
    whole = found.rows["due"].astype(int)
    second = whole - whole % max(1, -(-int(whole.max(initial=0) + 1) // SERIES_ROWS))
    rows: list[tuple[Any, ...]] = []
    for number in np.unique(second):
        here = found.where(second == number)
        low, high = here.percentile(50, 95)
        rows.append((int(number), len(here), int(here.failed.sum()), f"{low:.1f}", f"{high:.1f}"))
    return rows
