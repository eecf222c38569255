"""Every trap of papermill's that the engine closes, reproduced with a real kernel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillException

from .waiting import until

PARAMETERS = 'release = "v1"\ncount = 1'


def write_notebook(folder: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
        + [nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
    )
    path = folder / "in.ipynb"
    nbformat.write(notebook, path)
    return path


def execute(path: Path, engine: str = "runbook", **options) -> Path:
    """Run `path`; whatever papermill raises is left to what the archived notebook says."""
    output = path.with_name("out.ipynb")
    papermill.execute_notebook(path, output, engine_name=engine, progress_bar=False, **options)
    return output


def statuses(path: Path) -> list[str]:
    """Of the cells that the notebook was written with."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell.metadata.papermill.status for cell in cells if "injected-parameters" not in cell.metadata.tags]


def test_a_sound_notebook_completes(tmp_path):
    output = execute(write_notebook(tmp_path, "print(release)"), parameters={"release": "v2"})
    cells = nbformat.read(output, as_version=4).cells
    assert [cell.metadata.papermill.status for cell in cells] == ["completed"] * 3
    assert cells[-1].outputs[0].text == "v2\n"


@pytest.mark.parametrize(
    ("cell", "stopped"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the kernel died"),
        ("import time; time.sleep(60)", "over its time limit"),
        ("import sys; sys.exit(0)", "raised SystemExit"),
        ("!false", "raised CalledProcessError"),
        ("1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_a_cell_that_does_not_end_well_fails_and_the_rest_never_ran(tmp_path, cell, stopped):
    path = write_notebook(tmp_path, "1 + 1", cell, "2 + 2")
    with pytest.raises(PapermillException):
        execute(path, execution_timeout=3)
    output = tmp_path / "out.ipynb"
    assert statuses(output) == ["completed", "completed", "failed", "pending"]
    assert nbformat.read(output, as_version=4).cells[2].metadata.runbook.stopped == stopped


def test_papermill_alone_calls_cells_completed_that_never_ran(tmp_path):
    """The trap itself: were papermill to close it, this engine could be smaller."""
    path = write_notebook(tmp_path, "!false", "import sys; sys.exit(0)", "2 + 2")
    output = execute(path, engine=None)
    assert statuses(output)[1:3] == ["completed", "failed"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"relaese": "v2"}, "No notebook declares the parameter 'relaese'; declared: release, count"),
        ({"release": 1.1}, "The parameter 'release' must be a str, but 1.1 was read as a float"),
    ],
)
def test_parameters_are_refused_before_anything_runs(tmp_path, given, sentence):
    with pytest.raises(PapermillException, match=sentence):
        execute(write_notebook(tmp_path), parameters=given)
    assert not (tmp_path / "out.ipynb").exists()


def test_the_archive_names_no_path_of_this_machine(tmp_path):
    output = execute(write_notebook(tmp_path, "1 + 1"))
    assert str(tmp_path) not in output.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_cell_running(tmp_path, number):
    """The papermill command itself, with our engine, is told to stop while a cell runs."""
    marker = tmp_path / "started"
    cell = f"import pathlib, time; pathlib.Path({str(marker)!r}).touch(); time.sleep(60)"
    path, output = write_notebook(tmp_path, cell, "2 + 2"), tmp_path / "out.ipynb"
    process = subprocess.Popen(
        [sys.executable, "-m", "papermill", str(path), str(output), "--engine", "runbook", "--no-progress-bar"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    until(marker.exists)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"interrupted by the operator or the system" in errors
    assert statuses(output) == ["completed", "failed", "pending"]


def test_kernels_speak_over_sockets_in_the_file_system(tmp_path):
    cell = "import json, ipykernel; print(json.load(open(ipykernel.get_connection_file()))['transport'])"
    output = execute(write_notebook(tmp_path, cell))
    assert nbformat.read(output, as_version=4).cells[-1].outputs[0].text == "ipc\n"


def test_results_reach_the_watcher(tmp_path):
    cell = (
        "from IPython.display import display\n"
        "display({'application/vnd.runbook.result.v1+json': {'status': 'passed'}}, raw=True)"
    )
    seen: list = []
    execute(write_notebook(tmp_path, cell), watch=seen.append)
    assert json.loads(json.dumps(seen)) == [{"status": "passed"}]
