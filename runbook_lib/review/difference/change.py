"""One difference between two runs, as people and other programs read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What differs."""

    RUN = "run"
    VERDICT = "verdict"
    OBSERVED = "observed"
    EXPECTED = "expected"
    WORD = "word"
    LOAD = "load"
    SETTING = "setting"
    VERSION = "version"
    CELL = "cell"


@dataclass(frozen=True)
class Change:
    """One difference.

    Parameters
    ----------
    place:
        An item with its step, a percentile, a setting, a program, or a notebook's cell.
    detail:
        What a reader needs besides: how sure the difference is, or a cell's source as a unified text.
    remark:
        Whether it is only said, for it is no more than noise or proves nothing.
    """

    kind: Kind
    place: str
    before: str
    after: str
    detail: str = field(default="", kw_only=True)
    remark: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        if self.kind is Kind.CELL:
            return f"{self.kind:8} {self.place}\n{_indented(self.detail)}"
        said = f"{self.kind:8} {self.place}: {self.before or '(nothing)'} → {self.after or '(nothing)'}"
        return f"{said}\n{_indented(self.detail)}" if self.detail else said


def mappings(kind: Kind, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Every name whose value differs, in the order in which they stand."""
    for name in (*before, *(name for name in after if name not in before)):
        # As JSON, for to Python true is 1.
        values = [
            json.dumps(each[name], sort_keys=True, default=str) if name in each else "" for each in (before, after)
        ]
        if values[0] != values[1]:
            yield Change(kind, name, text(before.get(name)), text(after.get(name)))


def text(value: Any) -> str:
    """A JSON-like value as a reader sees it; nothing of None."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in lines.splitlines())
