"""Secrets are masked by value, in every form they can take, before anything is saved."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from runbook_lib.environment import secret_parts

SHORTEST = 6
"""Characters; a shorter value would mask half of the record and is no secret."""


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
                    self._secrets[part] = f"[masked {name}]"
                    self.__dict__.pop("_automaton", None)
        return self

    def text(self, text: str) -> str:
        """`text` with each secret replaced by ``[masked NAME]``, and this machine's paths shortened."""
        if self._root is not None:
            text = text.replace(str(self._root), ".")
        text = text.replace(sys.prefix, "<python>")
        if not self._secrets:
            return text
        automaton, labels = self._automaton
        pieces, position = [], 0
        for pattern, start, end in automaton.find_matches_as_indexes(text):
            pieces += [text[position:start], labels[pattern]]
            position = end
        return "".join([*pieces, text[position:]])

    @property
    def known(self) -> int:
        """How many secret values it knows."""
        return len(self._secrets)

    def found_in(self, path: Path) -> tuple[str, ...]:
        """The names of the secrets that the file holds, in any form."""
        return self.found(path.read_bytes().decode(errors="replace"))

    def found(self, text: str) -> tuple[str, ...]:
        """The names of the secrets that `text` holds, in any form."""
        if not self._secrets:
            return ()
        automaton, labels = self._automaton
        held = (labels[pattern] for pattern, *_ in automaton.find_matches_as_indexes(text))
        return tuple(dict.fromkeys(label.removeprefix("[masked ").removesuffix("]") for label in held))

    def value(self, value: Any) -> Any:
        """A JSON-like value with every string in it masked, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    @cached_property
    def _automaton(self) -> tuple[Any, list[str]]:
        from ahocorasick_rs import AhoCorasick, MatchKind

        forms = {form: label for secret, label in self._secrets.items() for form in _forms(secret)}
        return AhoCorasick(list(forms), matchkind=MatchKind.LeftmostLongest), list(forms.values())


def _parts(value: str) -> Iterable[str]:
    """The value itself; of URLs, one or several, what is secret in each, so that the rest stays readable."""
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


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    encoded = [base64.b64encode(b"\0" * offset + raw).decode() for offset in range(3)]
    # In Base64 a secret looks one of three ways, by its offset; the characters that neighbours share are left out.
    inner = {text[(0, 2, 3)[offset] : len(text.rstrip("=")) - 1] for offset, text in enumerate(encoded)}
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret),
        raw.hex(),
        raw.hex().upper(),
        json.dumps(secret)[1:-1],
        html.escape(secret),
        *(form for form in inner if len(form) >= SHORTEST),
    }
