from __future__ import annotations

import os
from pathlib import Path

import pytest

from runbook_lib.errors import Unanswerable
from runbook_lib.platforms.images import ImageStore


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    (folder / "main.py").write_text("print('hello')\n")
    (folder / "inner" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "inner" / "run.sh").chmod(0o700)
    return folder


FILES = (Path("main.py"), Path("inner/run.sh"))


def test_the_same_content_gives_the_same_digest(tmp_path: Path, source: Path) -> None:
    first = ImageStore(tmp_path / "first").build("backend", source, FILES)
    os.utime(source / "main.py", (1, 1))
    (source / "main.py").chmod(0o600)
    second = ImageStore(tmp_path / "second").build("backend", source, reversed(FILES))
    assert first.digest == second.digest
    assert first.digest.startswith("sha256:")
    assert first.size == second.size > 0


def test_other_content_gives_another_digest(tmp_path: Path, source: Path) -> None:
    store = ImageStore(tmp_path / "images")
    before = store.build("backend", source, FILES)
    (source / "main.py").write_text("print('bye')\n")
    assert store.build("backend", source, FILES).digest != before.digest


def test_an_image_unpacks_to_what_went_in(tmp_path: Path, source: Path) -> None:
    store = ImageStore(tmp_path / "images")
    image = store.build("backend", source, FILES)
    store.unpack(image, tmp_path / "out")
    assert (tmp_path / "out" / "main.py").read_text() == "print('hello')\n"
    assert os.access(tmp_path / "out" / "inner" / "run.sh", os.X_OK)


def test_a_tag_names_the_image_it_was_given_last(tmp_path: Path, source: Path) -> None:
    store = ImageStore(tmp_path / "images")
    assert store.tagged("backend", "feature/one") is None
    for text in ("one\n", "two\n"):
        (source / "main.py").write_text(text)
        image = store.build("backend", source, FILES)
        store.tag(image, "feature/one")
    found = store.tagged("backend", "feature/one")
    assert found is not None
    assert (found.digest, found.size) == (image.digest, image.size)


def test_a_damaged_archive_is_refused(tmp_path: Path, source: Path) -> None:
    store = ImageStore(tmp_path / "images")
    image = store.build("backend", source, FILES)
    with store.archive(image).open("ab") as archive:
        archive.write(b"\0")
    with pytest.raises(Unanswerable, match="SHA-256") as caught:
        store.unpack(image, tmp_path / "out")
    assert "build the images again" in caught.value.remedy


def test_an_image_that_is_not_there_gets_no_tag(tmp_path: Path, source: Path) -> None:
    image = ImageStore(tmp_path / "one").build("backend", source, FILES)
    with pytest.raises(Unanswerable, match="no image"):
        ImageStore(tmp_path / "other").tag(image, "v1")
