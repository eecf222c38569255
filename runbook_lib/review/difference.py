"""What differs between two runs: verdicts, what was seen and expected, settings, versions, and the notebooks' cells."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runbook_lib import checklist
from runbook_lib.record.archive import SETTINGS, Run
from runbook_lib.record.summary import RunSummary, summarize


class Kind(StrEnum):
    """What differs."""

    RUN = "run"
    VERDICT = "verdict"
    OBSERVED = "observed"
    EXPECTED = "expected"
    SETTING = "setting"
    VERSION = "version"
    CELL = "cell"


@dataclass(frozen=True)
class Change:
    """One difference: `place` is an item with its step, a setting's line, a program, or a notebook's cell."""

    kind: Kind
    place: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.kind:8} {self.place}: {self.before or '(nothing)'} → {self.after or '(nothing)'}"


OF_A_RUN = ("environment", "kind", "release", "commit", "way")


def compare(one: Run, other: Run) -> tuple[Change, ...]:
    """All that differs; nothing for two runs that say the same. Raises RecordError where a record is damaged."""
    before, after = summarize(one), summarize(other)
    return (
        *_of_the_run(before, after),
        *_items(before, after),
        *_settings(one, other),
        *_versions(before, after),
        *_cells(one, other),
    )


def _of_the_run(before: RunSummary, after: RunSummary) -> Iterator[Change]:
    yield from _mappings(
        Kind.RUN,
        {name: before.opened.get(name) for name in OF_A_RUN} | {"outcome": before.outcome},
        {name: after.opened.get(name) for name in OF_A_RUN} | {"outcome": after.outcome},
    )


def _versions(before: RunSummary, after: RunSummary) -> Iterator[Change]:
    yield from _mappings(Kind.VERSION, before.opened.get("versions", {}), after.opened.get("versions", {}))


def _mappings(kind: Kind, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in (*before, *(name for name in after if name not in before)):
        if before.get(name) != after.get(name):
            yield Change(kind, name, _text(before.get(name)), _text(after.get(name)))


def _items(before: RunSummary, after: RunSummary) -> Iterator[Change]:
    for phase in checklist.phases():
        for item in phase.items:
            old, new = before.items.get(item.id), after.items.get(item.id)
            if old is None or new is None:
                if old is not new:
                    said = [_text(each and each["status"]) for each in (old, new)]
                    yield Change(Kind.VERDICT, item.id, *said)
                continue
            if old["status"] != new["status"]:
                yield Change(Kind.VERDICT, item.id, str(old["status"]), str(new["status"]))
            yield from _steps(item.id, old["steps"], new["steps"])


def _steps(id: str, before: list[Mapping[str, Any]], after: list[Mapping[str, Any]]) -> Iterator[Change]:
    """Of each step that both have, by its name, what was seen and what was expected."""
    earlier = {(step["name"], number): step for number, step in enumerate(before)}
    for number, step in enumerate(after):
        old = earlier.get((step["name"], number))
        if old is None:
            continue
        place = f"{id} {step['title']}"
        seen = [each["reason"] or each["observed"] for each in (old, step)]
        if seen[0] != seen[1]:
            yield Change(Kind.OBSERVED, place, *map(_text, seen))
        if old["expected"] != step["expected"] and not (old["reason"] or step["reason"]):
            yield Change(Kind.EXPECTED, place, _text(old["expected"]), _text(step["expected"]))


def _settings(one: Run, other: Run) -> Iterator[Change]:
    """The lines of the environment's TOML that one run has and the other has not."""
    before, after = _lines(one), _lines(other)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, begin, end, other_begin, other_end in matcher.get_opcodes():
        if tag != "equal":
            old, new = before[begin:end], after[other_begin:other_end]
            yield Change(Kind.SETTING, f"line {begin + 1}", "\n".join(old), "\n".join(new))


def _lines(run: Run) -> list[str]:
    path = run.folder / SETTINGS
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _cells(one: Run, other: Run) -> Iterator[Change]:
    """The cells whose source differs, by nbdime; what papermill injected is the run's own and left out."""
    for phase in checklist.phases():
        before, after = (run.notebook(phase) for run in (one, other))
        if not before.is_file() or not after.is_file():
            continue
        sources = [_sources(path.read_text(encoding="utf-8")) for path in (before, after)]
        if sources[0] != sources[1]:
            yield from _cell_changes(phase.notebook, *sources)


def _cell_changes(notebook: str, before: list[str], after: list[str]) -> Iterator[Change]:
    import nbformat
    from nbdime import diff_notebooks

    def bare(sources: list[str]) -> Any:
        cells = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
        return nbformat.v4.new_notebook(cells=cells)

    for entry in diff_notebooks(bare(before), bare(after)):
        for change in entry.diff if entry.key == "cells" else ():
            number = int(change.key)
            old, new = before[number : number + 1], []
            if change.op == "addrange":
                old, new = [], [cell.source for cell in change.valuelist]
            elif change.op == "removerange":
                old = before[number : number + change.length]
            else:
                new = after[number : number + 1]
            yield Change(Kind.CELL, f"{notebook}, cell {number + 1}", "\n".join(old), "\n".join(new))


def _sources(text: str) -> list[str]:
    try:
        cells = json.loads(text)["cells"]
    except (ValueError, KeyError, TypeError):
        return []
    kept = (cell for cell in cells if "injected-parameters" not in cell.get("metadata", {}).get("tags", []))
    return ["".join(cell["source"]) for cell in kept]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
