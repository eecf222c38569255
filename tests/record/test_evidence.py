from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.record import evidence
from runbook_lib.record.masking import Mask
from runbook_lib.step import Evidence

from .packing import table, zipped

WITHIN = {
    "text": str.encode,
    "no text": lambda text: b"\0\xff" + text.encode() + b"\xff",
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "zip": lambda text: zipped(text.encode()),
    "a zip's names": lambda text: zipped(b"", text),
    "gzip within zip": lambda text: zipped(gzip.compress(text.encode())),
    "a damaged gzip": lambda text: gzip.compress(text.encode() * 9)[:-8],
    "Parquet": lambda text: table(a=[text]),
}
SECRET = "A1b2C3d4E5F6g7"


@pytest.fixture
def mask() -> Mask:
    return Mask().learn({"TOKEN": SECRET})


@pytest.mark.parametrize("name", ["a.log", "a.bin", "a.md", "a", "a.svg", "a.png"])
@pytest.mark.parametrize("within", WITHIN)
def test_evidence_of_every_kind_is_kept_without_secrets(mask, tmp_path, within, name):
    kept = evidence.masked(Evidence(name, WITHIN[within](f"x {SECRET} y")), mask)
    path = tmp_path / kept.name
    path.write_bytes(kept.content)
    assert mask.found_in(path) == ()
    assert kept.content


def test_what_is_packed_is_packed_anew(mask):
    packed = evidence.masked(Evidence("a.zip", WITHIN["gzip within zip"](f"x {SECRET} y")), mask)
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert gzip.decompress(archive.read("index.html")) == b"x [masked TOKEN] y"


def test_a_table_with_a_secret_is_withheld_and_says_so(mask):
    kept = evidence.masked(Evidence("a.parquet", table(a=[SECRET])), mask)
    assert kept.content == b"Withheld: this file held the secrets TOKEN, and could not be masked.\n"


def test_what_holds_no_secret_stays_to_the_byte(mask):
    for content in (b"\x89PNG\0\xff", table(a=[1.5]), gzip.compress(b"a"), b"plain text"):
        assert evidence.masked(Evidence("a", content), mask).content == content


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("report.html", "report.html"),
        ("../../etc/passwd", "passwd"),
        ("a\\b.txt", "b.txt"),
        (".env", "env"),
        ("..", "evidence"),
        ("", "evidence"),
        ("a\nb\x1b[31m\u202e.txt", "a_b_[31m_.txt"),
        ("a" * 300 + ".json", "a" * 115 + ".json"),
        (f"{SECRET}.log", "[masked TOKEN].log"),
    ],
)
def test_a_files_name_is_harmless(mask, name, harmless):
    assert evidence.masked(Evidence(name, ""), mask).name == harmless


@given(name=st.text(st.characters(), max_size=200))
def test_any_name_can_be_written(name):
    harmless = evidence.harmless_name(name)
    assert Path(harmless).name == harmless
    assert not harmless.startswith(".")
    assert len(harmless) <= evidence.LONGEST_NAME
    harmless.encode()
