from __future__ import annotations

import nbformat
import pytest

from runbook_lib import checklist
from runbook_lib.record.archive import Run
from runbook_lib.review.difference.cells import compare

CELLS = ["import one", "two()\nand_two()", "three()", "four()"]
PHASE = checklist.phase(3)


@pytest.fixture
def changes(tmp_path):
    def write(*versions: list[str]):
        runs = [Run(tmp_path / name) for name in ("one", "other")]
        for run, sources in zip(runs, versions, strict=True):
            run.folder.mkdir()
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            cells.insert(1, nbformat.v4.new_code_cell(run.id, metadata={"tags": ["injected-parameters"]}))
            nbformat.write(nbformat.v4.new_notebook(cells=cells), run.notebook(PHASE))
        return list(compare(*runs))

    return write


def test_what_papermill_injected_is_no_difference(changes):
    assert changes(CELLS, CELLS) == []


def test_an_edit_is_shown_as_a_unified_text(changes):
    (found,) = changes(CELLS, [CELLS[0], "two()\nand_three()", *CELLS[2:]])
    assert found.place == "03_database_setup.ipynb, cell 2"
    lines = ["--- before", "+++ after", "@@ -1,2 +1,2 @@", " two()", "-and_two()", "+and_three()"]
    assert str(found).splitlines() == [f"cell     {found.place}", *(f"    {line}" for line in lines)]


def test_an_edit_behind_an_added_cell_is_that_cells_own(changes):
    added, edited = changes(CELLS, [CELLS[0], "new()", *CELLS[1:3], "four(4)"])
    assert (added.place, added.before, added.after) == ("03_database_setup.ipynb, cell 2", "", "new()")
    assert (edited.before, edited.after) == ("four()", "four(4)")


def test_a_removed_cell_is_shown_as_it_was(changes):
    (found,) = changes(CELLS, [CELLS[0], *CELLS[2:]])
    assert (found.before, found.after) == (CELLS[1], "")


def test_what_is_no_notebook_is_said(changes, tmp_path):
    changes(CELLS, CELLS)
    runs = [Run(tmp_path / name) for name in ("one", "other")]
    runs[1].notebook(PHASE).write_text("[]")
    (found,) = compare(*runs)
    assert (found.before, found.after) == ("notebook", "cannot be read")
