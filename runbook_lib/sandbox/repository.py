"""The demo application as a git repository with one tag for each release.

``application/<tag>/`` holds the files that this release adds or changes; a release is all folders up to its own, laid
over each other in order. Author, dates and settings are fixed, so that the commits are the same on every machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import command
from runbook_lib.errors import ConfigurationError

APPLICATION = Path(__file__).parent / "application"
_BUILT = shutil.ignore_patterns("__pycache__", "*.pyc", "node_modules", "dist", ".venv", ".coverage", ".*_cache")


@dataclass(frozen=True)
class Version:
    """A release of the demo application: its tag, what its commit says, and when that was made (UTC)."""

    tag: str
    message: str
    date: str


VERSIONS = (
    Version("v0.9.0", "Scan payment requests, list providers", "2025-09-01T09:00:00+00:00"),
    Version("v1.0.0", "Keep amounts, name the provider", "2025-11-03T09:00:00+00:00"),
    Version("v1.0.1-broken", "Expect a reporting replica in production", "2025-11-17T09:00:00+00:00"),
)


def create(folder: Path) -> None:
    """Make the repository at `folder`, whole or not at all; one that is there with the same tags stays untouched.

    Raises ConfigurationError where something else is there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _build(building)
        if not folder.exists():
            building.chmod(0o755)
            building.rename(folder)
        elif not (folder / ".git").is_dir() or _commits(folder) != _commits(building):
            raise ConfigurationError(
                f"{folder} is not the demo application of this version of the kit; remove it to have it made anew."
            )
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _build(folder: Path) -> None:
    # An empty template: hooks of the user's own would be copied into the repository and run.
    _git(folder, "init", "--quiet", "--template=", "--initial-branch=main")
    for version in VERSIONS:
        shutil.copytree(
            APPLICATION / version.tag, folder, ignore=_BUILT, copy_function=shutil.copyfile, dirs_exist_ok=True
        )
        _git(folder, "add", "--force", "--all", ".", date=version.date)
        _git(folder, "commit", "--quiet", "--no-verify", f"--message={version.message}", date=version.date)
        _git(folder, "tag", "--annotate", f"--message={version.tag}", version.tag, date=version.date)


def _commits(folder: Path) -> dict[str, str]:
    """The object that each release's tag names; empty where the tag is missing."""
    listed = _git(folder, "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/tags")
    found = dict(line.split() for line in listed.splitlines())
    return {version.tag: found.get(version.tag, "") for version in VERSIONS}


def _git(folder: Path, *arguments: str, date: str = "") -> str:
    # File modes and line endings are left to nobody's settings or umask.
    settings = ("core.fileMode=false", "core.autocrlf=false", f"core.attributesFile={os.devnull}", "gc.auto=0")
    options = [word for setting in settings for word in ("-c", setting)]
    completed = command.run(["git", *options, *arguments], cwd=folder, env=_environment(folder, date), timeout=60.0)
    if not completed.ok:
        raise ConfigurationError(f"git {arguments[0]} failed in {folder}: {completed.tail(2)}")
    return completed.output


def _environment(folder: Path, date: str) -> dict[str, str]:
    """Fixed author and dates; nothing of the user's configuration, nor of a git command that may have started us."""
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "Twiga Scan"), ("EMAIL", "developers@twiga-scan.example"), ("DATE", date))
    }
    return {
        **who,
        "GIT_DIR": str(folder / ".git"),
        "GIT_INDEX_FILE": str(folder / ".git" / "index"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "0",
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_DEFAULT_HASH": "sha1",
    }
