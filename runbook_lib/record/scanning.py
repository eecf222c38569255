"""Secrets in files of any size, read in pieces: as they lie, and within what is compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from runbook_lib.record.finder import Finder

PIECE = 1 << 20
"""Bytes read at once."""
DEPTH = 3
"""How many wrappings are opened, one within the other."""
_COMPRESSED: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What the standard library raises where something compressed is cut off, damaged, or needs a password."""


def names_in(path: Path, finder: Finder) -> tuple[str, ...]:
    """The names of the secrets that the file at `path` holds, or that its own name holds."""
    own = finder.names(path.name.encode("utf-8", "backslashreplace"))
    with path.open("rb") as file:
        return tuple(dict.fromkeys([*own, *names_within(file, finder)]))


def names_within(file: IO[bytes], finder: Finder) -> tuple[str, ...]:
    """The names of the secrets that an open file holds."""
    return tuple(dict.fromkeys(name for content in _contents(file) for name in _scan(content, finder)))


def _scan(pieces: Iterable[bytes], finder: Finder) -> Iterator[str]:
    """Each name that is found, over the edges of the pieces too."""
    before = b""
    for piece in pieces:
        data = before + piece
        yield from finder.names(data)
        before = data[-finder.reach :] if finder.reach else b""


def _contents(file: IO[bytes], depth: int = DEPTH) -> Iterator[Iterable[bytes]]:
    """The file's bytes, and those of whatever is compressed in it; a damaged part is read as far as it goes."""
    yield _pieces(file)
    start = next(iter(_pieces(file)), b"")
    if depth == 0:
        return
    if start.startswith(b"PAR1"):
        yield _parquet(file)
        return
    for magic, opened in _COMPRESSED:
        if start.startswith(magic):
            file.seek(0)
            with opened(file) as inner:
                yield from _contents(inner, depth - 1)
    if start.startswith(b"PK"):
        yield from _zip(file, depth)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    try:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece
    except DAMAGED:
        return


def _zip(file: IO[bytes], depth: int) -> Iterator[Iterable[bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                yield [member.filename.encode(), member.comment]
                with archive.open(member) as inner:
                    yield from _contents(inner, depth - 1)
    except DAMAGED:
        return


def _parquet(file: IO[bytes]) -> Iterator[bytes]:
    """The names of the columns, and the bytes of their values."""
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
        yield str(table.schema_arrow).encode()
        for batch in table.iter_batches():
            for column in batch.columns:
                yield from (buffer.to_pybytes() for buffer in column.buffers() if buffer is not None)
    except arrow.ArrowException:
        return
