"""The notebooks as code: their shape, their ids, and nothing left of a run."""

from __future__ import annotations

import ast

import nbformat
import pytest

from runbook_lib import checklist
from runbook_lib.home import home

FORBIDDEN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.For,
    ast.While,
    ast.If,
    ast.Try,
    ast.With,
    ast.Lambda,
    ast.ListComp,
    ast.GeneratorExp,
)
PARAMETERS = {"environment": "sandbox", "release": "", "run_id": "", "dry_run": False, "confirm": ""}


@pytest.fixture(params=checklist.phases(), ids=lambda phase: phase.name)
def phase(request):
    return request.param


@pytest.fixture
def notebook(phase):
    return nbformat.read(home().notebooks / phase.notebook, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_valid_and_carries_nothing_of_a_run(notebook, phase):
    nbformat.validate(notebook)
    assert notebook.metadata.runbook == {"phase": phase.number}
    assert set(notebook.metadata) == {"kernelspec", "language_info", "runbook"}
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in code(notebook):
        assert (cell.outputs, cell.execution_count) == ([], None)
        assert set(cell.metadata) <= {"tags"}


def test_it_begins_with_purpose_parameters_and_setup(notebook):
    first, parameters, setup = notebook.cells[:3]
    assert first.cell_type == "markdown"
    for word in ("**Purpose**", "**Who**", "**If it fails**", "**Rollback**"):
        assert word in first.source
    assert parameters.metadata.tags == ["parameters"]
    namespace: dict = {}
    exec(parameters.source, namespace)
    assert {name: namespace[name] for name in PARAMETERS} == PARAMETERS
    assert "from runbook_lib import" in setup.source
    assert "phase = begin(" in setup.source


def test_only_the_setup_cell_imports_and_no_cell_has_logic(notebook):
    for number, cell in enumerate(code(notebook)):
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not [node for node in nodes if isinstance(node, FORBIDDEN)], cell.source
        if number != 1:
            assert not [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)], cell.source


def test_each_item_has_its_text_and_one_cell_of_at_most_six_lines(notebook, phase):
    body = notebook.cells[3:-1]
    assert len(body) == 2 * len(phase.items)
    for item, text, cell in zip(phase.items, body[::2], body[1::2], strict=True):
        assert text.cell_type == "markdown"
        assert item.id in text.source
        assert item.text in text.source
        assert cell.source.startswith(f'phase.item("{item.id}",')
        assert len(cell.source.splitlines()) <= 6


def test_it_ends_with_its_gate(notebook):
    assert notebook.cells[-1].source == "phase.gate()"
