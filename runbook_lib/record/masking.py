"""Secrets are masked by value, in every form they can take, before anything is saved."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from runbook_lib.environment import is_secret_name, secret_parts
from runbook_lib.record import forms
from runbook_lib.record.finder import SHORTEST, Finder, Span

PASSWORDS = ("pwd", "passwd", "pass")
"""What a URL's parameters call a password, beside what all secrets are called."""
LONG_LINE = 16
"""Characters from which a line of a secret of several lines is a secret too, as those of a PEM key are."""


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
            data = _shorten(data, str(self._root).encode(), b".")
        return _shorten(data, sys.prefix.encode(), b"<python>") if sys.prefix != sys.base_prefix else data

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


def _shorten(data: bytes, path: bytes, short: bytes) -> bytes:
    """`data` with a path replaced where it stands as one, and is not a part of another or of an address."""
    return _as_path(path).sub(short, data) if path in data else data


@cache
def _as_path(path: bytes) -> re.Pattern[bytes]:
    """A line's end that is written as an escape, as in JSON, may stand before it."""
    return re.compile(rb"(?:(?<=\\[nrt])|(?<=file://)|(?<![\w./-]))" + re.escape(path) + rb"(?![\w-]|\.\w)")


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


def _parts(value: str) -> Iterable[str]:
    """The value itself; of URLs, one or several, what is secret in each, so that the rest stays readable."""
    lines = [line.strip() for line in re.split(r"\n|\\n", value.strip())]
    if len(lines) > 1:
        return (value.strip(), *(line for line in lines if len(line) >= LONG_LINE and not line.startswith("-----")))
    pieces = re.split(r"[,\s]+", value.strip())
    addresses = pieces if all("://" in piece for piece in pieces) else [value]
    return tuple(part for address in addresses for part in _address_parts(address))


def _address_parts(value: str) -> Iterable[str]:
    """Of a URL its passwords, as written and as meant; of a web address also its tokens, as those of a webhook.

    The host stays readable in any case, and so does what a database's or a cache's URL names behind it, but for
    parameters that are secret by their names.
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
    pairs = (piece.partition("=") for piece in re.split("[?&;#]", value)[1:])
    found += [given for name, _, given in pairs if given and (is_secret_name(name) or name.lower() in PASSWORDS)]
    return tuple(form for part in found for form in (part, unquote(part)))
