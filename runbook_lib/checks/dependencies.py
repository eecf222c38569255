"""A release's folders, what is installed in them, and whether it fits together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runbook_lib import command, programs
from runbook_lib.command import Completed
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.installers import installer
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, check


def backend_folder(env: Environment, release: Release) -> Path:
    """The back end's folder in the release's checkout."""
    return release.folder / env.application.backend.folder


def frontend_folder(env: Environment, release: Release) -> Path:
    """The front end's folder in the release's checkout. Raises NotApplicable where none is declared."""
    if env.application.frontend is None:
        raise NotApplicable(f"{env.name}.toml declares no [application.frontend]")
    return release.folder / env.application.frontend.folder


def interpreter(env: Environment, release: Release) -> Path:
    """The Python of the release's own virtual environment. Raises Unanswerable where it is not installed yet."""
    path = backend_folder(env, release) / ".venv" / "bin" / "python"
    if not path.exists():
        raise Unanswerable(f"release {release} is not installed: {path} is missing", remedy="run phase 2 first")
    return path


@check("{release}'s installed packages fit together")
def consistent(env: Environment, release: Release) -> Finding:
    """The installer's ``check`` finds nothing broken; every resolved version is kept.

    Raises
    ------
    Unanswerable
        The release is not installed, or the installer does not answer.
    """
    listed = _inspected(env, release, "list", "--format=json")
    try:
        packages = json.loads(listed.output[listed.output.index("[") :])
    except ValueError as error:
        raise Unanswerable(f"pip list gave no list: {listed.tail(2)}", remedy="run item 2.1 again") from error
    checked = _inspected(env, release, "check")
    rows = tuple((package["name"], package["version"]) for package in packages)
    return Finding(
        ok=checked.ok,
        observed=checked.output.strip().splitlines() or f"exit code {checked.returncode}",
        expected="nothing missing, nothing incompatible",
        remedy="correct the versions in requirements.txt and release anew",
        tables=(Table(("package", "version"), rows, f"{len(rows)} packages"),),
        evidence=(Evidence("packages.json", json.dumps(packages, indent=1)), checked.evidence("pip-check.log")),
    )


@check("{release}'s front-end tree is complete")
def frontend_tree(env: Environment, release: Release) -> Finding:
    """``npm ls --all`` finds nothing missing, extraneous or invalid; the resolved tree is kept.

    Raises
    ------
    Unanswerable
        npm is missing or gives no tree.
    NotApplicable
        The environment declares no front end.
    """
    folder = frontend_folder(env, release)
    argv, path = programs.node(["npm", "ls", "--all", "--json", "--loglevel=silent"])
    listed = command.run(argv, cwd=folder, env=path, timeout=env.limits.install)
    try:
        tree: dict[str, Any] = json.loads(listed.output)
    except ValueError as error:
        raise Unanswerable(f"npm ls gave no tree: {listed.tail(2)}", remedy="run item 2.2 again") from error
    problems = tree.get("problems", [])
    direct = tuple((name, entry.get("version", "missing")) for name, entry in tree.get("dependencies", {}).items())
    return Finding(
        ok=listed.ok and not problems,
        observed=problems or f"{len(direct)} direct dependencies, exit code {listed.returncode}",
        expected="npm ls finds no problem",
        remedy="run item 2.2 again; where it repeats, correct package.json and its lock file",
        tables=(Table(("package", "version"), direct, "Direct dependencies"),),
        evidence=(Evidence("npm-ls.json", listed.output),),
    )


def _inspected(env: Environment, release: Release, *verb: str) -> Completed:
    words = installer(env).inspect(interpreter(env, release), *verb)
    return command.run(words, timeout=env.limits.install)
