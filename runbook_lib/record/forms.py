"""The forms in which a secret may stand in a text: how it may be quoted, escaped and encoded, and broken over lines.

Two readings make the forms few. The *loose* reading of a text drops whatever escaping, quoting and wrapping add
(backslashes, quotes, blanks, line breaks, colours, frames), so that JSON within JSON or a wrapped line is no form of
its own; the *strict* reading drops backslashes and quotes alone, and tells "se cret" from a secret that was wrapped.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

_QUOTING = b"\\\"'`\0"
_DROPPED = _QUOTING + b" \t\r\n\v\f,|"
_FRAME = "│".encode()
_COLOUR = re.compile(rb"(?:\x1b|\\+u001b|\\+x1b|\\+033|#x1B)(?:\[[0-9;]*(?:m|\Z)|\Z)")
_ENTITY_BREAK = re.compile(rb"&#(?:10|13|x0?[aAdD]);")
_MARGIN = re.compile(rb"\n[ E\0]*[-+?>] ")
"""What pytest and diffs put before each line of a text."""
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_UNICODE = re.compile(r"\\u[0-9a-f]{4}")

_ENTITIES: tuple[dict[str, str], ...] = (
    {},
    {'"': "&quot;", "'": "&#x27;"},
    {'"': "&quot;", "'": "&#39;"},
    {'"': "&quot;", "'": "&apos;"},
    {'"': "&#34;", "'": "&#39;"},
    {'"': "&#34;", "'": "&#39;", "+": "&#43;"},
    {'"': "&#x22;", "'": "&#x27;"},
    {'"': "&quot;", "'": "&#39;", "/": "&#x2F;", "`": "&#x60;", "=": "&#x3D;"},
)
"""How writers of HTML spell quotes and their like: Python, Jinja, XML, Go, Mustache."""

_LEFT_AS_THEY_ARE = ("", "/", "!*'()", "!$&'()*+,;=:@/", "!$&'()*+,;=:@/?", ";,/?:@&=+$!*'()#")
"""What writers of URLs leave unquoted: all of RFC 3986's reserved characters, paths, queries, and JavaScript's two."""


def as_bytes(text: str) -> bytes:
    """`text` in UTF-8; half of a surrogate pair, which UTF-8 cannot hold, by its code."""
    return text.encode("utf-8", "backslashreplace")


def soften(data: bytes) -> bytes:
    """`data`, byte for byte as long: escaped line breaks and margins are line breaks, frames and colours are gone."""
    if b"\\" in data:
        data = data.replace(b"\\n", b"\n\n").replace(b"\\r", b"\n\n").replace(b"\\t", b"\t\t")
    # Single bytes are looked for many times faster than words.
    number = b"#" in data
    if number and b"&#" in data:
        data = _ENTITY_BREAK.sub(lambda match: b"\n" * len(match[0]), data)
    if _FRAME[:1] in data:
        data = data.replace(_FRAME, b" " * len(_FRAME))
    if b"\x1b" in data or b"\\" in data or (number and b"#x1B" in data):
        data = _COLOUR.sub(lambda match: b"\0" * len(match[0]), data)
    return _MARGIN.sub(lambda match: b"\n" * len(match[0]), data)


def loose(softened: bytes) -> bytes:
    """The loose reading of what :func:`soften` gave."""
    return softened.translate(None, _DROPPED)


def strict(softened: bytes) -> bytes:
    """The strict reading of what :func:`soften` gave, without what stands around it."""
    return softened.translate(None, _QUOTING).strip(_DROPPED)


def is_dropped(byte: int) -> bool:
    """Whether the loose reading drops this byte."""
    return byte in _DROPPED


def forms(secret: str) -> set[bytes]:
    """Every form that `secret` may take, but for what the loose reading drops anyway."""
    raw = as_bytes(secret)
    written = {secret, *_json(secret), repr(secret)[1:-1], ascii(secret)[1:-1], repr(raw)[2:-1]}
    as_html = {_escaped(text, entities) for text in written for entities in _ENTITIES}
    found = {*written, *_urls(secret), *as_html, *map(html.escape, as_html)}
    encoded = {inner for text in (secret, *_json(secret), quote(secret, safe="")) for inner in _base64(as_bytes(text))}
    found |= encoded | {quote(text, safe="") for text in encoded}
    found |= {case(raw.hex(*grouped)) for grouped in ((), (" ",), (":",), (" ", -2)) for case in (str.lower, str.upper)}
    return {as_bytes(form) for form in found}


def _json(text: str) -> Iterator[str]:
    """As JSON strings: with and without ASCII alone, and with the signs of HTML by their codes, as Go writes them."""
    for ascii_only in (True, False):
        plain = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        signs = plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        for form in (plain, signs):
            yield form
            yield _UNICODE.sub(lambda match: "\\u" + match[0][2:].upper(), form)


def _escaped(text: str, entities: dict[str, str]) -> str:
    escaped = html.escape(text, quote=False)
    for sign, entity in entities.items():
        escaped = escaped.replace(sign, entity)
    return escaped


def _urls(text: str) -> Iterable[str]:
    """URL-quoted, once and twice, with capital and small digits."""
    quoted = {quote(as_bytes(text), safe=safe) for safe in _LEFT_AS_THEY_ARE} | {quote_plus(as_bytes(text))}
    quoted |= {quote(form, safe="") for form in quoted}
    return quoted | {_PERCENT.sub(lambda match: match[0].lower(), form) for form in quoted}


def _base64(raw: bytes) -> Iterator[str]:
    """In Base64 a text looks one of three ways, by its offset; the characters that neighbours share are left out."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset, shared in enumerate((0, 2, 3)):
            text = encode(b"\0" * offset + raw).decode()
            inner = text[shared : len(text.rstrip("=")) - 1]
            if len(inner) >= 6:
                yield inner
