"""The cells whose source differs, by nbdime; what papermill injected is the run's own and left out."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runbook_lib import checklist
from runbook_lib.record.archive import Run
from runbook_lib.review.difference.change import Change, Kind

Sources = list[str]


def compare(one: Run, other: Run) -> Iterator[Change]:
    """Of each notebook that both runs have, every cell that was edited, added or removed."""
    for phase in checklist.phases():
        paths = [run.notebook(phase) for run in (one, other)]
        if not all(path.is_file() for path in paths):
            continue
        before, after = (_sources(path) for path in paths)
        if before is None or after is None:
            said = ["notebook" if each is not None else "cannot be read" for each in (before, after)]
            yield Change(Kind.CELL, phase.notebook, *said, detail="its cells cannot be compared: one is no notebook")
        elif before != after:
            yield from _changes(phase.notebook, before, after)


def _changes(notebook: str, before: Sources, after: Sources) -> Iterator[Change]:
    """Numbered as in the notebook before; where cells were added, by the one that they stand in front of."""
    import nbdime

    first = _bare(before)
    for entry in nbdime.diff_notebooks(first, _bare(after)):
        for edit in entry.diff if entry.key == "cells" else ():
            number = int(edit.key)
            match edit.op:
                case "addrange":
                    old, new = [], [cell.source for cell in edit.valuelist]
                case "removerange":
                    old, new = before[number : number + edit.length], []
                case _:
                    old, new = [before[number]], [nbdime.patch(first.cells[number], edit.diff).source]
            yield _change(f"{notebook}, cell {number + 1}", "\n".join(old), "\n".join(new))


def _change(place: str, old: str, new: str) -> Change:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm="")
    return Change(Kind.CELL, place, old, new, detail="\n".join(lines))


def _bare(sources: Sources) -> Any:
    """A notebook of these sources alone: what was put out, and when, is for the items to tell.

    Of a format before cells had ids, so that nbdime finds by their text which belong together.
    """
    import nbformat

    rest: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**rest, "source": source} for source in sources]
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells})


def _sources(path: Path) -> Sources | None:
    """None of what is no notebook."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        kept = [cell for cell in cells if "injected-parameters" not in cell.get("metadata", {}).get("tags", [])]
        return ["".join(cell["source"]) for cell in kept]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
