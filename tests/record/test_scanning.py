"""A secret is found in a file wherever it lies: at any offset, escaped, compressed, in its name."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma

import nbformat
import pytest

from runbook_lib.record import scanning
from runbook_lib.record.masking import Mask

from .packing import table, zipped

SECRET = 'A1b2"C3d4\\E5/F6g7<H8'


@pytest.fixture
def mask() -> Mask:
    return Mask().learn({"TOKEN": SECRET, "OTHER": "never-shown-anywhere"})


def notebook(text: str) -> bytes:
    output = nbformat.v4.new_output("stream", text=text)
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])).encode()


WITHIN = {
    "as it is": lambda text: b"\0\xff" + text.encode() + b"\xff",
    "a notebook": notebook,
    "a notebook's two lines": lambda text: notebook(f"a\n{text[:9]}\n{text[9:]}\n"),
    "JSON within JSON": lambda text: json.dumps(json.dumps({text: 1})).encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "zip": lambda text: zipped(text.encode()),
    "a zip's names": lambda text: zipped(b"", json.dumps(text)),
    "gzip within zip": lambda text: zipped(gzip.compress(text.encode())),
    "a Parquet column": lambda text: table(a=["x", text], b=[1, 2]),
    "a Parquet column's name": lambda text: table(**{text: [1]}),
}


@pytest.mark.parametrize("within", WITHIN)
def test_a_secret_is_found(mask, tmp_path, within):
    path = tmp_path / "file"
    path.write_bytes(WITHIN[within](SECRET))
    assert mask.found_in(path) == ("TOKEN",)


@pytest.mark.parametrize("within", WITHIN)
def test_what_holds_none_is_clean(mask, tmp_path, within):
    path = tmp_path / "file"
    path.write_bytes(WITHIN[within](SECRET.replace("C3", "C4")))
    assert mask.found_in(path) == ()


@pytest.mark.parametrize("offset", range(-30, 2, 3))
def test_a_secret_over_the_edge_of_two_pieces_is_found(mask, tmp_path, offset):
    path = tmp_path / "file"
    path.write_bytes(b"." * (scanning.PIECE + offset) + SECRET.encode() + b"." * scanning.PIECE)
    assert mask.found_in(path) == ("TOKEN",)


def test_a_secret_in_a_files_name_is_found(tmp_path):
    path = tmp_path / "A1b2C3d4E5F6.log"
    path.touch()
    assert Mask().learn({"TOKEN": "A1b2C3d4E5F6"}).found_in(path) == ("TOKEN",)


@pytest.mark.parametrize("within", ["gzip", "zip", "a Parquet column", "xz"])
def test_what_is_damaged_is_read_as_far_as_it_goes(mask, tmp_path, within):
    path = tmp_path / "file"
    path.write_bytes(WITHIN[within](f"{SECRET} " * 500)[:-20])
    assert mask.found_in(path) in ((), ("TOKEN",))
    path.write_bytes(path.read_bytes() + SECRET.encode())
    assert mask.found_in(path) == ("TOKEN",)


def test_where_no_secret_is_known_none_is_found(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"anything")
    assert Mask().found_in(path) == ()
