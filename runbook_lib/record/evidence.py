"""Evidence as it may be kept: masked whatever it is, and under a name that is harmless."""

from __future__ import annotations

import gzip
import io
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.record.forms import as_bytes
from runbook_lib.record.masking import Mask
from runbook_lib.record.scanning import DAMAGED, names_within
from runbook_lib.step import Evidence

LONGEST_NAME = 120
"""Characters; file systems take 255 bytes, and the archive may put a number before it."""


@dataclass(frozen=True)
class Kept:
    """Evidence that may be kept."""

    name: str
    content: bytes


def masked(evidence: Evidence, mask: Mask) -> Kept:
    """`evidence` without secrets, in content and name; what is packed is packed anew, a Parquet file with any withheld.

    What is no text and has no secret in it stays as it was, to the byte.
    """
    content = evidence.content if isinstance(evidence.content, bytes) else as_bytes(evidence.content)
    return Kept(harmless_name(mask.text(evidence.name)), _masked(content, mask))


def _masked(content: bytes, mask: Mask) -> bytes:
    names = names_within(io.BytesIO(content), mask.finder)
    if not names:
        return mask.data(content) if _is_text(content) else content
    try:
        if content.startswith(b"\x1f\x8b"):
            return gzip.compress(_masked(gzip.decompress(content), mask), mtime=0)
        if content.startswith(b"PK"):
            return _masked_zip(content, mask)
    except DAMAGED:
        pass
    else:
        plain = mask.data(content)
        if not content.startswith(b"PAR1") and not names_within(io.BytesIO(plain), mask.finder):
            return plain
    return f"Withheld: this file held the secrets {', '.join(names)}, and could not be masked.\n".encode()


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _masked_zip(content: bytes, mask: Mask) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as after:
        for member in before.infolist():
            after.writestr(mask.text(member.filename), _masked(before.read(member), mask))
    return packed.getvalue()


def harmless_name(name: str) -> str:
    """`name` as that of a file: no folder, no control sign, not hidden (for hidden files are not in the manifest)."""
    last = name.replace("\\", "/").rpartition("/")[2]
    visible = "".join("_" if unicodedata.category(sign).startswith("C") else sign for sign in last).lstrip(". ")
    suffix = Path(visible).suffix[:20]
    if len(visible) > LONGEST_NAME:
        visible = visible[: LONGEST_NAME - len(suffix)] + suffix
    return visible or "evidence"
