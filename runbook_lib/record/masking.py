"""Secrets are masked by value, in every form they can take, before anything is saved."""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from runbook_lib.environment import secret_parts
from runbook_lib.record import forms

SHORTEST = 6
"""Characters; a shorter value would mask half of the record and is no secret."""
SHORTEST_READ = 4
"""Bytes that a form must have in the loose reading: what is nothing but quotes and blanks is no secret."""
LONG_LINE = 16
"""Characters from which a line of a secret of several lines is a secret too, as those of a PEM key are."""

Span = tuple[int, int, str]
"""Where a secret stands, and its name: start, end (behind it), name."""


class Mask:
    """Replaces every known secret; grows as secrets are learned and never forgets one.

    Parameters
    ----------
    root:
        The kit's folder, whose absolute path is of this machine alone and is shown as ``.``.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._secrets: dict[str, str] = {}
        self._root = root

    def learn(self, secrets: Mapping[str, str]) -> Mask:
        """Know these too: values by name. Returns itself."""
        for name, value in secrets.items():
            for part in _parts(value):
                if len(part) >= SHORTEST and part not in self._secrets:
                    self._secrets[part] = name
                    self.__dict__.pop("finder", None)
        return self

    @cached_property
    def finder(self) -> Finder:
        """What finds the secrets known now."""
        return Finder.of(self._secrets)

    def text(self, text: str) -> str:
        """`text` with each secret replaced by ``[masked NAME]``, and this machine's paths shortened."""
        return self.data(forms.as_bytes(text)).decode()

    def data(self, data: bytes) -> bytes:
        """As :meth:`text`, for the bytes of a text in UTF-8, or of anything else."""
        return self.replace(data, self.finder.spans(data))

    def replace(self, data: bytes, spans: Iterable[Span]) -> bytes:
        """`data` with what stands at `spans` replaced, and this machine's paths shortened."""
        pieces: list[bytes] = []
        position = 0
        for start, end, name in spans:
            pieces.append(data[position:start])
            pieces.append(shown(name))
            position = end
        data = b"".join([*pieces, data[position:]]) if pieces else data
        if self._root is not None:
            data = data.replace(str(self._root).encode(), b".")
        return data.replace(sys.prefix.encode(), b"<python>")

    @property
    def known(self) -> int:
        """How many secret values it knows."""
        return len(self._secrets)

    def found(self, text: str) -> tuple[str, ...]:
        """The names of the secrets that `text` holds, in any form."""
        return self.finder.names(forms.as_bytes(text))

    def found_in(self, path: Path) -> tuple[str, ...]:
        """The names of the secrets that a file of any size holds, also compressed, or that its name holds."""
        from runbook_lib.record.scanning import names_in

        return names_in(path, self.finder)

    def value(self, value: Any) -> Any:
        """A JSON-like value with every string in it masked, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.data(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            if len(value) > 1 and all(isinstance(item, str) for item in value):
                return self._lines(value)
            return [self.value(item) for item in value]
        return value

    def rows(self, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """A table's rows, masked column by column: the lines of a text may stand in one."""
        if len({len(row) for row in rows}) != 1:
            return [self.value(list(row)) for row in rows]
        return [
            list(row) for row in zip(*(self.value(list(column)) for column in zip(*rows, strict=True)), strict=True)
        ]

    def _lines(self, texts: Sequence[str]) -> list[str]:
        """Texts that may be the lines of one, with secrets that are broken over several of them."""
        pieces = [forms.as_bytes(text) for text in texts]
        spans, masked, start = self.finder.spans(b"\n".join(pieces)), [], 0
        for piece in pieces:
            within = [(max(begin - start, 0), end - start, name) for begin, end, name in spans if end > start]
            within = [span for span in within if span[0] < len(piece)]
            masked.append(self.replace(piece, within).decode())
            start += len(piece) + 1
            spans = [span for span in spans if span[1] > start]
        return masked

    def stream(self) -> Stream:
        """A masker for a text that comes in pieces."""
        return Stream(self)


@cache
def shown(name: str) -> bytes:
    """What stands in a secret's place."""
    return f"[masked {name}]".encode()


class Stream:
    """Masks a text that comes in pieces, wherever it is cut: what may be a secret's beginning is held back."""

    LONGEST_HELD = 1 << 16
    """Bytes, beyond eight times the longest form: what goes on like that is a target's play with us."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = b""

    def feed(self, text: str) -> str:
        """What can be shown now of `text` and all that came before."""
        data = self._held + forms.as_bytes(text)
        finder = self._mask.finder
        cut = len(data) - finder.unfinished(data)
        spans = finder.spans(data)
        # Whole where one reaches over the cut: with what comes it may be part of a longer one.
        cut = next((start for start, end, _ in spans if start < cut < end), cut)
        if data[:cut].endswith((b"\\n", b"\\r", b"\\t")):
            # The letter may be a secret's first, which the backslash has nothing to do with.
            cut -= 1
        if len(data) - cut > self.LONGEST_HELD + finder.reach:
            cut = len(data)
        self._held = data[cut:]
        return self._mask.replace(data[:cut], [span for span in spans if span[1] <= cut]).decode()

    def end(self) -> str:
        """The rest."""
        data, self._held = self._held, b""
        return self._mask.data(data).decode()


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


_BEGINNING = itemgetter(1)
_NEAR = 64
"""Bytes that may be dropped before a secret, beyond as many as are left, if it is to be looked for at once."""


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


def _parts(value: str) -> Iterable[str]:
    """The value itself; of URLs, one or several, what is secret in each, so that the rest stays readable."""
    lines = [line.strip() for line in re.split(r"\n|\\n", value.strip())]
    if len(lines) > 1:
        return (value.strip(), *(line for line in lines if len(line) >= LONG_LINE and not line.startswith("-----")))
    pieces = re.split(r"[,\s]+", value.strip())
    addresses = pieces if all("://" in piece for piece in pieces) else [value]
    return tuple(part for address in addresses for part in _address_parts(address))


def _address_parts(value: str) -> Iterable[str]:
    """Of a URL its password, as written and as meant; of a web address also its tokens, as those of a webhook.

    The host stays readable in any case, and so does what a database's or a cache's URL names behind it.
    """
    if "://" not in value:
        return (value,)
    try:
        parts = urlsplit(value)
        password = parts.password
    except ValueError:
        return (value,)
    found = [password] if password else []
    if parts.scheme in ("http", "https"):
        user = parts.username if parts.username and not password else ""
        found += secret_parts(f"/{user}/{parts.path}?{parts.query}#{parts.fragment}")
    return tuple(form for part in found for form in (part, unquote(part)))
