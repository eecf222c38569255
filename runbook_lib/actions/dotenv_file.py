"""Editing a .env file: chosen lines only, all of them at once or none, and never a moment without a whole file.

``dotenv.set_key`` is not used: it drops blank lines and a trailing comment at the line that it sets, turns CRLF into
LF, keeps a mode that others can read, and sets one name at a time, so that a password and the URL that holds it could
part. The reading is python-dotenv's own.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.record.disk import sync_folder

MODE: Final = 0o600
_PLAIN: Final = re.compile(r"[\w./:@%+,=?~-]*", re.ASCII)
_REST: Final = re.compile(
    r"""(?: '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | [^\r\n]*? )
    (?P<rest> (?: (?:[^\S\r\n]+ | (?<=['"])) \#[^\r\n]* )? [^\S\r\n]* (?:\r\n|\r|\n|\Z) )""",
    re.DOTALL | re.VERBOSE,
)
"""A value, and what follows it on its line: blanks, a comment, the line's end."""


def edited(text: str, values: Mapping[str, str]) -> str:
    """`text` with every line that sets one of the names setting its new value, and names that are not there appended.

    Raises
    ------
    ConfigurationError
        A value cannot be held so that every reader of such files gets it back.
    """
    from dotenv.parser import parse_stream

    mark = "\ufeff" if text.startswith("\ufeff") else ""
    bindings = list(parse_stream(io.StringIO(text.removeprefix(mark), newline="")))
    lines = [
        _with_value(binding.original.string, values[binding.key])
        if binding.key is not None and binding.key in values and not binding.error
        else binding.original.string
        for binding in bindings
    ]
    ending = "\r\n" if "\r\n" in text else "\n"
    body = "".join(lines)
    missing = [name for name in values if name not in {binding.key for binding in bindings}]
    if missing and body and not body.endswith(("\n", "\r")):
        body += ending
    body += "".join(f"{name}={_quoted(values[name])}{ending}" for name in missing)
    _prove(text, mark + body, values)
    return mark + body


def _with_value(line: str, value: str) -> str:
    """One binding, blank lines before it and the comment after it kept, with another value."""
    before, equals, after = line.partition("=")
    if not equals:
        name = line.rstrip()
        return f"{name}={_quoted(value)}{line[len(name) :]}"
    padding = after[: len(after) - len(after.lstrip(" \t"))]
    match = _REST.fullmatch(after[len(padding) :])
    rest = match["rest"] if match else ""
    return f"{before}={padding}{_quoted(value)}{' ' if rest.startswith('#') else ''}{rest}"


def _quoted(value: str) -> str:
    """Bare where every reader, a shell too, takes it bare: ``docker --env-file`` knows no quotes."""
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _prove(before: str, after: str, values: Mapping[str, str]) -> None:
    """Read the edit back: the names have their values, and nothing else has changed."""
    from dotenv import dotenv_values

    def parsed(text: str) -> dict[str, str | None]:
        return dict(dotenv_values(stream=io.StringIO(text), interpolate=False))

    if any(ord(character) < 32 or ord(character) == 127 for value in values.values() for character in value):
        raise ConfigurationError("A value with a control character or a line break cannot be held in a .env file.")
    if parsed(after) != parsed(before) | dict(values):
        raise ConfigurationError(f"{', '.join(values)} cannot be set in this .env file without changing other lines.")


@dataclass(frozen=True)
class Prepared:
    """An edit that lies beside the file, whole and synced, and is not in force yet."""

    file: Path
    beside: Path

    def replace(self) -> None:
        """Put it in force in one step."""
        self.beside.replace(self.file)
        sync_folder(self.file.parent)

    def discard(self) -> None:
        """Forget it."""
        self.beside.unlink(missing_ok=True)


def prepare(file: Path, values: Mapping[str, str]) -> Prepared:
    """Write the edited file as ``<name>.next`` beside `file`, mode 0600, owner kept; a missing file counts as empty.

    Raises
    ------
    Unanswerable
        An earlier edit was interrupted, or another one is under way: ``<name>.next`` exists.
    ConfigurationError
        See :func:`edited`.
    """
    file = file.resolve()
    text = file.read_bytes().decode("utf-8", errors="surrogateescape") if file.exists() else ""
    content = edited(text, values).encode("utf-8", errors="surrogateescape")
    beside = file.with_name(f"{file.name}.next")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError as error:
        raise Unanswerable(
            f"{beside} exists: an earlier edit was interrupted, or another is under way",
            remedy=f"keep, as {file.name}, whichever of the two has the DATABASE_URL that connects; remove the other",
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, MODE)
            if file.exists() and (file.stat().st_uid, file.stat().st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, file.stat().st_uid, file.stat().st_gid)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        sync_folder(file.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return Prepared(file, beside)


def write(file: Path, values: Mapping[str, str]) -> None:
    """Set `values` in `file` in one step; raises as :func:`prepare` does."""
    prepare(file, values).replace()
