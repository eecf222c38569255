"""Imports point one way, and the import that every notebook makes stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "runbook_lib"

FLOORS = [
    {"errors", "home", "observation"},
    {"step"},
    {"command"},
    {"environment", "checklist", "programs"},
    {"release", "installers"},
    {"record"},
    {"pages", "kernel", "kernels"},
    {"platforms", "load"},
    {"schedules"},
    {"checks"},
    {"exclusive"},
    {"actions"},
    {"card", "display", "planning", "loading"},
    {"executor", "form"},
    {"phase"},
    {"review"},
    {"engine", "runner", "lab"},
    {"resumption"},
    {"handbook"},
    {"terminal"},
    {"watchers"},
    {"sandbox"},
    {"cli"},
]
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The rooms of ours that a module imports, wherever it does so."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runbook_lib"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("runbook_lib.")}
    return found


SOURCES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.parent != PACKAGE / "sandbox" / "application"
    and "application" not in path.relative_to(PACKAGE).parts
    and path != PACKAGE / "__init__.py"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = room(path)
    above = {other for other in imported(path) - {own} if HEIGHT[other] > HEIGHT[own]}
    assert not above, f"{own} may not import {above}"


def test_only_the_command_line_knows_the_sandbox():
    assert {room(path) for path in SOURCES if "sandbox" in imported(path)} <= {"sandbox", "cli"}


HEAVY = (
    "pandas",
    "matplotlib",
    "numpy",
    "pyarrow",
    "papermill",
    "nbclient",
    "psycopg",
    "IPython",
    "ipywidgets",
    "redis",
    "rich",
    "sslyze",
    "playwright",
    "segno",
    "PIL",
    "distributed",
    "uvloop",
    "httptools",
    "h11",
)


def test_a_notebooks_import_loads_nothing_heavy():
    script = "import sys, runbook_lib; print([name for name in sys.argv[1:] if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script, *HEAVY], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
