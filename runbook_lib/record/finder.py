"""Where secrets stand in any text, in every form they can take: all of them are looked for at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from runbook_lib.record import forms

SHORTEST = 6
"""Characters; a shorter value would mask half of the record and is no secret."""
SHORTEST_READ = 4
"""Bytes that a form must have in the loose reading: what is nothing but quotes and blanks is no secret."""

Span = tuple[int, int, str]
"""Where a secret stands, and its name: start, end (behind it), name."""
_BEGINNING = itemgetter(1)
_NEAR = 64
"""Bytes that may be dropped before a secret, beyond as many as are left, if it is to be looked for at once."""


@dataclass(frozen=True)
class Pattern:
    """A form in its loose reading, and the name of the secret.

    Parameters
    ----------
    literal:
        How it looks where nothing is scattered over it, which is how it nearly always looks; empty where it ends in
        what the loose reading drops.
    readings:
        The strict readings that make it a secret, each behind the first letter that it lacks: a form that begins with
        n, r or t loses that letter in the loose reading where a backslash stands before it.
    """

    name: str
    length: int
    literal: bytes
    readings: frozenset[tuple[bytes, bytes]]

    def fits(self, data: bytes, seen: bytes, begin: int) -> bool:
        """Whether what was `seen` from `begin` on in `data` is the secret, and does not only resemble it."""
        broken = self.length >= SHORTEST and b"\n" in seen
        read = forms.strict(seen)
        return any((broken or read == form) and _lacks(data, head, begin) for head, form in self.readings)


def _lacks(data: bytes, head: bytes, begin: int) -> bool:
    return not head or data[max(0, begin - 2) : begin] == b"\\" + head


@dataclass(frozen=True)
class Finder:
    """Finds all forms of all secrets at once, with one automaton over their loose readings."""

    patterns: tuple[Pattern, ...]
    automaton: Any
    loose: tuple[bytes, ...]

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> Finder:
        """The finder of these secrets: names by value."""
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        found: dict[bytes, tuple[str, set[bytes], set[tuple[bytes, bytes]]]] = {}
        for value, name in secrets.items():
            for form in forms.forms(value):
                heads = (b"", form[:1]) if form[:1] in (b"n", b"r", b"t") else (b"",)
                for head in heads:
                    softened = forms.soften(form.removeprefix(head))
                    loose = forms.loose(softened)
                    if len(loose) >= SHORTEST_READ:
                        _, literals, readings = found.setdefault(loose, (name, set(), set()))
                        readings.add((head, forms.strict(softened)))
                        if not head:
                            literals.add(softened)
        order = tuple(sorted(found))
        patterns = tuple(
            Pattern(found[form][0], len(form), _literal(found[form][1]), frozenset(found[form][2])) for form in order
        )
        # The larger DFA reads twice as fast where there are no secrets, and half as fast where there are many.
        automaton = BytesAhoCorasick(list(order), implementation=Implementation.ContiguousNFA) if order else None
        return cls(patterns, automaton, order)

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest form in its loose reading."""
        return max((pattern.length for pattern in self.patterns), default=0)

    @property
    def reach(self) -> int:
        """Bytes over which a form may be scattered by escaping and wrapping, at the most."""
        return 8 * self.longest

    def spans(self, data: bytes) -> list[Span]:
        """Where secrets stand: start, end, and the name of the first of those that overlap; in order."""
        whole: list[Span] = []
        first = last = 0
        for hit in self._hits(data):
            start, end, name = hit
            if start >= last:
                whole.append(hit)
                first, last = start, end
            elif end > last:
                # Of those that begin together the longest has its name from itself.
                whole[-1] = (first, end, name if start == first else whole[-1][2])
                last = end
        return whole

    def names(self, data: bytes) -> tuple[str, ...]:
        """The names of the secrets that `data` holds."""
        return tuple(dict.fromkeys(name for *_, name in self._hits(data)))

    def _hits(self, data: bytes) -> Iterator[Span]:
        """Every secret, in the order in which they begin."""
        if self.automaton is None:
            return
        softened = forms.soften(data)
        hits = self.automaton.find_matches_as_indexes(forms.loose(softened), overlapping=True)
        hits.sort(key=_BEGINNING)
        looks, loose, find = self._looks, forms.loose, softened.find
        position = read = 0
        for number, start, end in hits:
            (literal, reach, name), gap = looks[number], start - read
            nearest = position + gap
            begin = find(literal, nearest, nearest + gap + reach) if literal else -1
            if begin >= 0 and len(loose(softened[position:begin])) == gap:
                yield begin, begin + len(literal), name
            else:
                pattern = self.patterns[number]
                begin = _place(softened, position, gap)
                stop = _place(softened, begin, end - 1 - start) + 1
                if pattern.fits(data, softened[begin:stop], begin):
                    yield begin, stop, pattern.name
            position, read = begin, start

    @cached_property
    def _looks(self) -> tuple[tuple[bytes, int, str], ...]:
        """Each pattern's literal, how far behind the nearest place it is looked for, and its secret's name."""
        return tuple((each.literal, _NEAR + len(each.literal), each.name) for each in self.patterns)

    def unfinished(self, data: bytes) -> int:
        """How many bytes at the end of `data` may be the beginning of a secret."""
        if self.automaton is None:
            return 0
        softened = forms.soften(data[-self.reach - 64 :])
        tail = forms.loose(softened)[-self.longest + 1 :]
        kept = next((len(tail) - at for at in self._beginning(tail) if self._begins(tail[at:])), 0)
        at = len(softened)
        while kept:
            at -= 1
            kept -= not forms.is_dropped(softened[at])
        return len(softened) - at

    def _beginning(self, tail: bytes) -> Iterator[int]:
        """Where in `tail` a form may begin: where its first bytes stand, and the last places, too short to tell."""
        for _, at, _ in self._beginnings.find_matches_as_indexes(tail, overlapping=True):
            yield at
        yield from range(max(0, len(tail) - SHORTEST_READ + 1), len(tail))

    def _begins(self, text: bytes) -> bool:
        """Whether a form begins with all of `text`, and goes on."""
        at = bisect_left(self.loose, text + b"\0")
        return at < len(self.loose) and self.loose[at].startswith(text)

    @cached_property
    def _beginnings(self) -> Any:
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        beginnings = sorted({form[:SHORTEST_READ] for form in self.loose})
        return BytesAhoCorasick(beginnings, implementation=Implementation.ContiguousNFA)


def _literal(softened: Iterable[bytes]) -> bytes:
    """The shortest of a form's looks, for it has the least escaping."""
    shortest = min(softened, key=lambda form: (len(form), form), default=b"")
    whole = shortest and not forms.is_dropped(shortest[0]) and not forms.is_dropped(shortest[-1])
    return shortest if whole else b""


def _place(softened: bytes, position: int, missing: int) -> int:
    """Where that byte of the loose reading stands that has `missing` of its bytes between `position` and itself."""
    while missing:
        piece = softened[position : position + missing]
        position += len(piece)
        missing -= len(forms.loose(piece))
    while forms.is_dropped(softened[position]):
        position += 1
    return position
