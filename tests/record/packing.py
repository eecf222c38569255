"""Secrets where they are hard to see: packed."""

from __future__ import annotations

import io
import zipfile

import pyarrow as arrow
from pyarrow import parquet


def zipped(content: bytes, name: str = "index.html") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def table(**columns: list) -> bytes:
    content = io.BytesIO()
    parquet.write_table(arrow.table(columns), content, compression="zstd")
    return content.getvalue()
