"""The programs that fill a release's virtual environment: pip and uv, one interface."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from runbook_lib.environment import Environment
from runbook_lib.programs import program

Words = Sequence[str | Path]


class Installer(Protocol):
    """Makes command lines; it runs none."""

    def create(self, folder: Path) -> Words:
        """Make an empty virtual environment in `folder`, in place of one that is there."""
        ...

    def install(self, python: Path, requirements: Path) -> Words:
        """Install a requirements file for the interpreter `python`."""
        ...

    def inspect(self, python: Path, *verb: str) -> Words:
        """``list`` or ``check`` what the interpreter `python` has, with the verb's options."""
        ...


class Pip:
    """Python's own."""

    def create(self, folder: Path) -> Words:
        """With pip in it."""
        return [sys.executable, "-m", "venv", "--clear", folder]

    def install(self, python: Path, requirements: Path) -> Words:
        """Modules are compiled when they are first imported; compiling them all takes as long as the rest."""
        return [*self.inspect(python, "install", "--no-compile", "--progress-bar=off"), "-r", requirements]

    def inspect(self, python: Path, *verb: str) -> Words:
        """By the environment's own pip."""
        return [python, "-m", "pip", "--no-input", "--disable-pip-version-check", *verb]


class Uv:
    """Some ten times as fast; its environments hold no pip."""

    def create(self, folder: Path) -> Words:
        """For the interpreter that runs us."""
        return [program("uv"), "venv", "--clear", "--python", sys.executable, folder]

    def install(self, python: Path, requirements: Path) -> Words:
        """As pip would."""
        return [*self.inspect(python, "install"), "-r", requirements]

    def inspect(self, python: Path, *verb: str) -> Words:
        """By uv, from outside."""
        return [program("uv"), "--color", "never", "pip", verb[0], "--python", python, *verb[1:]]


INSTALLERS: Final[Mapping[str, Installer]] = {"pip": Pip(), "uv": Uv()}


def installer(env: Environment) -> Installer:
    """The one that ``application.backend.installer`` names."""
    return INSTALLERS[env.application.backend.installer]
