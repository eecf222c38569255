"""What we deploy: a git tag of the application."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import command
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, Unanswerable


@dataclass(frozen=True)
class Release:
    """A tag, the commit it names, and the folder that holds (or will hold) its checkout."""

    tag: str
    commit: str
    folder: Path

    def __str__(self) -> str:
        return self.tag


def tags(env: Environment) -> tuple[str, ...]:
    """The application's tags, oldest first."""
    listed = _git(env, "tag", "--sort=creatordate")
    return tuple(listed.split())


def find(env: Environment, tag: str) -> Release:
    """Resolve `tag`, or the environment's own release where it is empty.

    Raises
    ------
    ConfigurationError
        There is no such tag; those that exist are listed.
    """
    wanted = tag or env.release
    if not wanted:
        raise ConfigurationError(f"No release given, and {env.name}.toml declares none; give a tag with --release.")
    existing = tags(env)
    if wanted not in existing:
        near = difflib.get_close_matches(wanted, existing, n=1)
        guess = f" Did you mean {near[0]}?" if near else ""
        raise ConfigurationError(
            f"'{wanted}' is no tag of {env.application.repository}.{guess} Its tags: {', '.join(existing) or 'none'}."
        )
    commit = _git(env, "rev-parse", f"refs/tags/{wanted}^{{commit}}").strip()
    return Release(wanted, commit, env.application.releases / wanted)


def changes(env: Environment, earlier: str, release: Release) -> tuple[str, ...]:
    """The subjects of the commits that `release` has beyond the tag `earlier`, newest first; merges are left out.

    Raises
    ------
    ConfigurationError
        `earlier` is no tag any more, or git cannot be asked.
    """
    beyond = f"refs/tags/{earlier}..{release.commit}"
    return tuple(_git(env, "log", "--no-merges", "--format=%s", beyond, "--").splitlines())


def _git(env: Environment, *arguments: str) -> str:
    try:
        completed = command.run(["git", "-C", env.application.repository, *arguments], timeout=60.0)
    except Unanswerable as error:
        raise ConfigurationError(f"git could not be asked for releases: {error}") from error
    if not completed.ok:
        raise ConfigurationError(f"{env.application.repository} is no usable git repository: {completed.tail(1)}")
    return completed.output
