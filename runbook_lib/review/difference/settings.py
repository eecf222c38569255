"""The settings of the environment that differ, as each run has archived them, secrets masked."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from typing import Any

from runbook_lib.record.archive import SETTINGS, Run
from runbook_lib.review.difference.change import Change, Kind, mappings


def compare(one: Run, other: Run) -> Iterator[Change]:
    """Each setting by its key; line by line where what was archived is no TOML (a mask may have broken it)."""
    texts = [_archived(run) for run in (one, other)]
    if texts[0] == texts[1]:
        return
    try:
        before, after = (dict(_flat("", tomllib.loads(each or ""))) for each in texts)
    except tomllib.TOMLDecodeError:
        yield from _lines(*((each or "").splitlines() for each in texts))
        return
    if None in texts:
        yield Change(Kind.SETTING, SETTINGS, *("on record" if each is not None else "not on record" for each in texts))
        return
    yield from mappings(Kind.SETTING, before, after)


def _archived(run: Run) -> str | None:
    path = run.folder / SETTINGS
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every value below tables and lists of tables, by its dotted key."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}".lstrip("."), inner)
    elif isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(f"{key}[{number}]", inner)
    else:
        yield key, value


def _lines(before: list[str], after: list[str]) -> Iterator[Change]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, begin, end, other_begin, other_end in matcher.get_opcodes():
        if tag != "equal":
            old, new = before[begin:end], after[other_begin:other_end]
            yield Change(Kind.SETTING, f"line {begin + 1}", "\n".join(old), "\n".join(new))
