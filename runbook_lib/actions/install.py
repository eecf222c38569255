"""A release's checkout and its dependencies, in its own folder."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runbook_lib import command, programs
from runbook_lib.checks.dependencies import backend_folder, frontend_folder
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.installers import installer
from runbook_lib.release import Release
from runbook_lib.step import Finding, action, progress

COMMIT: Final = ".runbook-commit"
"""In a checkout: the commit that it was made of."""
INSTALLED: Final = ".runbook-installed"
"""In an installation: the digest of the files that asked for it, written when it was complete."""
LOCKS: Final = ("package-lock.json", "npm-shrinkwrap.json")


@action("Install {release}'s back end into its own virtual environment")
def backend(env: Environment, release: Release) -> Finding:
    """Check the release out if it is not, make its virtual environment, ``pip install -r requirements.txt``.

    An environment that holds exactly the requirements is left alone; any other is made anew.

    Raises
    ------
    Unanswerable
        The tag has moved since it was checked out, or git or pip cannot be run.
    """
    checkout(env, release)
    folder = backend_folder(env, release)
    requirements = folder / env.application.backend.requirements
    if not requirements.is_file():
        return Finding(False, f"{requirements.name} is missing", "a requirements file", remedy="add it to the release")
    # Requirements may refer to others beside them.
    wanted = digest_of([requirements, *sorted(folder.glob("*.txt"))])
    venv = folder / ".venv"
    if _installed(venv, wanted) and _fits_together(env, venv):
        return Finding(True, "the virtual environment holds exactly the requirements already", "installed")
    progress("making the virtual environment")
    by = installer(env)
    made = command.run(by.create(venv), timeout=env.limits.install)
    if not made.ok:
        raise Unanswerable(f"no virtual environment: {made.tail(3)}", remedy="install Python's venv module")
    progress(f"{env.application.backend.installer} install -r {requirements.name}")
    installed = command.run(by.install(venv / "bin" / "python", requirements), timeout=env.limits.install)
    if installed.ok:
        (venv / INSTALLED).write_text(wanted, encoding="utf-8")
    return Finding(
        ok=installed.ok,
        observed={"install": installed.tail(1), "exit code": installed.returncode},
        expected=f"{env.application.backend.installer} installs {requirements.name}",
        remedy="read its output: a version that does not exist, an index that does not answer, a failing build",
        evidence=(installed.evidence("pip-install.log"),),
    )


@action("Install {release}'s front end")
def frontend(env: Environment, release: Release) -> Finding:
    """``npm ci`` where a lock file exists, else ``npm install``; left alone where exactly that is installed.

    Raises
    ------
    Unanswerable
        npm is missing, or the tag has moved since it was checked out.
    NotApplicable
        The environment declares no front end.
    """
    folder = frontend_folder(env, release)
    checkout(env, release)
    locks = [folder / name for name in LOCKS if (folder / name).is_file()]
    # Where nothing is locked, nothing is written either: the checkout stays the tag's.
    verb = ("ci",) if locks else ("install", "--no-package-lock")
    wanted = digest_of([folder / "package.json", *locks])
    modules = folder / "node_modules"
    if _installed(modules, wanted):
        return Finding(True, "node_modules holds exactly what is asked for already", "installed")
    argv, path = programs.node(["npm", *verb, "--no-audit", "--no-fund"])
    installed = command.run(argv, cwd=folder, env={**path, "CI": "1"}, timeout=env.limits.install)
    if installed.ok and modules.is_dir():
        (modules / INSTALLED).write_text(wanted, encoding="utf-8")
    return Finding(
        ok=installed.ok,
        observed={f"npm {verb[0]}": installed.tail(1), "exit code": installed.returncode},
        expected=f"npm {verb[0]} succeeds",
        remedy="read npm's output; where the lock file and package.json differ, run npm install in the application",
        evidence=(installed.evidence("npm.log"),),
    )


def checkout(env: Environment, release: Release) -> None:
    """Make `release.folder` from the tag if it is not there; it appears whole or not at all.

    Raises
    ------
    Unanswerable
        The folder holds another commit, or was not made by this function; or git failed.
    """
    if release.folder.exists():
        _require_commit(release)
        return
    progress(f"checking out {release.tag}")
    release.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=release.folder.parent, prefix=".checkout-") as temporary:
        archive, tree = Path(temporary) / "release.tar", Path(temporary) / "tree"
        made = command.run(
            ["git", "-C", env.application.repository, "archive", f"--output={archive}", release.commit], timeout=120.0
        )
        if not made.ok:
            raise Unanswerable(f"git archive of {release.tag} failed: {made.tail(2)}", remedy="see git's output")
        with tarfile.open(archive) as tar:
            tar.extractall(tree, filter="data")
        (tree / COMMIT).write_text(f"{release.commit}\n", encoding="utf-8")
        tree.rename(release.folder)


def _require_commit(release: Release) -> None:
    marker = release.folder / COMMIT
    found = marker.read_text(encoding="utf-8").strip() if marker.is_file() else ""
    if found != release.commit:
        held = f"commit {found[:12]}" if found else "a tree of unknown origin"
        raise Unanswerable(
            f"{release.folder} holds {held}, tag {release.tag} is commit {release.commit[:12]}",
            remedy="a released tag must not move: find out why it did; remove the folder to have it checked out anew",
        )


def digest_of(files: Iterable[Path]) -> str:
    """One SHA-256 over the names and contents of `files`, each once."""
    sum_of_all = hashlib.sha256()
    for file in dict.fromkeys(files):
        sum_of_all.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return sum_of_all.hexdigest()


def _fits_together(env: Environment, venv: Path) -> bool:
    words = installer(env).inspect(venv / "bin" / "python", "check")
    return command.run(words, timeout=env.limits.install).ok


def _installed(folder: Path, wanted: str) -> bool:
    stamp = folder / INSTALLED
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted
