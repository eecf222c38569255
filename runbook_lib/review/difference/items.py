"""The items whose verdict differs, and of the others what was seen and what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from runbook_lib import checklist
from runbook_lib.record.summary import RunSummary
from runbook_lib.review.difference.change import Change, Kind, text
from runbook_lib.review.difference.noise import Noise

Result = Mapping[str, Any]


def compare(before: RunSummary, after: RunSummary) -> Iterator[Change]:
    """Item by item; where the verdict differs, what each step that changed has seen stands with it."""
    noises = Noise(before.run.id), Noise(after.run.id)
    # One of another version's checklist counts too.
    for id in dict.fromkeys((*(item.id for item in checklist.items()), *before.items, *after.items)):
        old, new = before.items.get(id), after.items.get(id)
        if old is None or new is None:
            if old is not new:
                yield Change(Kind.VERDICT, id, *(text(each and each["status"]) for each in (old, new)))
        else:
            yield from _item(id, old, new, noises)
            yield from _words(id, old, new)


def _item(id: str, old: Result, new: Result, noises: tuple[Noise, Noise]) -> Iterator[Change]:
    steps = tuple(_aligned(old["steps"], new["steps"]))
    if old["status"] != new["status"]:
        seen = [f"{b['title']}: {_said(a)} → {_said(b)}" for a, b in steps if a and b and a["status"] != b["status"]]
        yield Change(Kind.VERDICT, id, str(old["status"]), str(new["status"]), detail="\n".join(seen))
    for earlier, later in steps:
        if not earlier or not later:
            yield from _replaced(id, earlier, later)
        elif earlier["status"] == later["status"]:
            yield from _step(id, earlier, later, noises)
        elif old["status"] == new["status"]:
            statuses = str(earlier["status"]), str(later["status"])
            yield Change(Kind.VERDICT, _place(id, later), *statuses, detail=f"{_said(earlier)} → {_said(later)}")


def _aligned(old: Sequence[Result], new: Sequence[Result]) -> Iterator[tuple[Result | None, Result | None]]:
    """Steps side by side that are the same, by their names; one that the other run lacks stands alone."""
    before, after = ([str(step["name"]) for step in steps] for steps in (old, new))
    for tag, begin, end, other, others in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        here, there = old[begin:end], new[other:others]
        if tag == "equal":
            yield from zip(here, there, strict=True)
        else:
            yield from ((step, None) for step in here)
            yield from ((None, step) for step in there)


def _words(id: str, old: Result, new: Result) -> Iterator[Change]:
    """What persons vouched for, without when they did."""
    for name, parts in (("attested", ("person", "note")), ("waiver", ("person", "reason", "expires"))):
        said = [{part: (each.get(name) or {}).get(part) for part in parts} for each in (old, new)]
        said = [{part: value for part, value in each.items() if value} for each in said]
        files = [[file["sha256"] for file in (each.get(name) or {}).get("files", ())] for each in (old, new)]
        if said[0] != said[1] or files[0] != files[1]:
            shown = [
                text({**words, "files": kept}) if kept else text(words or None)
                for words, kept in zip(said, files, strict=True)
            ]
            yield Change(Kind.WORD, f"{id} {name}", *shown)


def _replaced(id: str, earlier: Result | None, later: Result | None) -> Iterator[Change]:
    """Another step in its place, or none: what the two have seen cannot be compared."""
    if earlier:
        yield Change(Kind.VERDICT, _place(id, earlier), str(earlier["status"]), "")
    if later:
        yield Change(Kind.VERDICT, _place(id, later), "", str(later["status"]))


def _step(id: str, earlier: Result, later: Result, noises: tuple[Noise, Noise]) -> Iterator[Change]:
    place = _place(id, later)
    seen = [each["reason"] or each["observed"] for each in (earlier, later)]
    if noises[0].observed(seen[0]) != noises[1].observed(seen[1]):
        yield Change(Kind.OBSERVED, place, *map(text, seen))
    wanted = [each["expected"] for each in (earlier, later)]
    reasons = earlier["reason"] or later["reason"]
    if noises[0].expected(wanted[0]) != noises[1].expected(wanted[1]) and not reasons:
        yield Change(Kind.EXPECTED, place, *map(text, wanted))


def _said(step: Result) -> str:
    return text(step["reason"] or step["observed"])


def _place(id: str, step: Result) -> str:
    return f"{id} {step['title']}"
