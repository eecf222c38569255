"""Images for platforms without a registry: reproducible tar archives, named by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from runbook_lib.errors import Unanswerable
from runbook_lib.platforms.interface import Image

ALGORITHM = "sha256:"


@dataclass(frozen=True)
class ImageStore:
    """A folder of images: ``<service>/<digest>.tar``, and ``<service>/tags/<tag>`` as links to them."""

    folder: Path

    def build(self, service: str, source: Path, files: Iterable[Path]) -> Image:
        """Archive `files` (relative to `source`) as an image of `service`.

        The same names, contents and executable bits give the same digest, whenever and by whomever it is built.
        """
        started = time.monotonic()
        home = self.folder / service
        home.mkdir(parents=True, exist_ok=True)
        unnamed = home / f".building-{os.getpid()}"
        with tarfile.open(unnamed, "w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(files):
                _add(archive, source / name, name)
        digest = _digest(unnamed)
        image = home / f"{digest}.tar"
        unnamed.replace(image)
        return Image(service, ALGORITHM + digest, image.stat().st_size, time.monotonic() - started)

    def tag(self, image: Image, tag: str) -> None:
        """Let `tag` name `image` from now on. Raises Unanswerable where there is no such image."""
        archive = self.archive(image)
        if not archive.is_file():
            raise Unanswerable(f"{image.service} has no image {image.digest}", remedy="build the images first")
        link = self._link(image.service, tag)
        link.parent.mkdir(exist_ok=True)
        point(link, Path("..") / archive.name)

    def tagged(self, service: str, tag: str) -> Image | None:
        """The image that `tag` names, None where it names nothing. Its build time is not kept, and given as 0 s."""
        link = self._link(service, tag)
        if not link.is_file():
            return None
        return Image(service, ALGORITHM + link.readlink().stem, link.stat().st_size, 0.0)

    def archive(self, image: Image) -> Path:
        """Where the image's archive lies."""
        return self.folder / image.service / f"{image.digest.removeprefix(ALGORITHM)}.tar"

    def unpack(self, image: Image, target: Path) -> None:
        """Unpack `image` as the folder `target`. Raises Unanswerable where the archive no longer has its digest."""
        archive = self.archive(image)
        found = _digest(archive)
        if ALGORITHM + found != image.digest:
            raise Unanswerable(
                f"{archive} has the SHA-256 {found}, expected {image.digest}",
                remedy="remove the damaged archive and build the images again",
            )
        with tarfile.open(archive) as opened:
            # Named this way, the filter is optional: Python 3.11 has it from 3.11.4 on only.
            opened.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            opened.extractall(target)  # noqa: S202 (it has the digest of what we archived)

    def _link(self, service: str, tag: str) -> Path:
        return self.folder / service / "tags" / file_name(tag)


def file_name(tag: str) -> str:
    """`tag` as one file name: a git tag may hold slashes."""
    return quote(tag, safe="")


def point(link: Path, target: Path) -> None:
    """Make the symbolic link `link` point to `target`, in one step for whoever reads it meanwhile."""
    new = link.with_name(f".{link.name}-{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


def _add(archive: tarfile.TarFile, path: Path, name: Path) -> None:
    """Add one file or link, without what differs from build to build: owner, time, the umask's bits."""
    member = tarfile.TarInfo(name.as_posix())
    if path.is_symlink():
        member.type = tarfile.SYMTYPE
        member.linkname = os.fspath(path.readlink())
        archive.addfile(member)
        return
    status = path.stat()
    member.size = status.st_size
    member.mode = 0o755 if status.st_mode & 0o100 else 0o644
    with path.open("rb") as content:
        archive.addfile(member, content)


def _digest(archive: Path) -> str:
    with archive.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def remove(folder: Path) -> None:
    """Remove a folder and all in it, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)
