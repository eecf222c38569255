"""The kit's own cost: 17 phases that do nothing, run by the kit and one by one by the ``papermill`` command.

Run by hand: ``python tests/benchmarks/overhead.py``. Prints seconds and their ratio, and the times to import the
library and to print the command's help.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from runbook_lib import checklist

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def prepare(folder: Path) -> None:
    """A kit whose notebooks have the real ones' items, with nothing to do in any of them."""
    environments = folder / "notebooks" / "environments"
    environments.mkdir(parents=True)
    example = (ROOT / "notebooks/environments/staging.toml").read_text()
    (environments / "staging.toml").write_text(example.replace("../../../twiga-scan", "../../application"))
    application = folder / "application"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(application)]
    subprocess.run(["git", "init", "-q", str(application)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    for phase in checklist.forward():
        begin = (
            "from runbook_lib import begin, not_built\n"
            f"phase = begin({phase.number}, environment=environment, release=release, run_id=run_id)"
        )
        parameters = 'environment = "staging"\nrelease = "v1"\nrun_id = ""\ndry_run = False\nconfirm = ""'
        cells = [
            nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(begin),
        ]
        cells += [nbformat.v4.new_code_cell(f'phase.item("{item.id}", not_built("nothing"))') for item in phase.items]
        cells.append(nbformat.v4.new_code_cell("phase.gate()"))
        kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
        notebook = nbformat.v4.new_notebook(
            cells=cells, metadata={"kernelspec": kernel, "runbook": {"phase": phase.number}}
        )
        nbformat.write(notebook, folder / "notebooks" / phase.notebook)


def seconds(*command: str | Path) -> float:
    """How long a command takes; its exit code must be 0 or 3 (only pending items are left)."""
    started = time.monotonic()
    completed = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if completed.returncode not in (0, 3):
        raise SystemExit(completed.stdout + completed.stderr)
    return time.monotonic() - started


def main() -> None:
    """Measure, and print the ratios."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder)
        os.environ["RUNBOOK_HOME"] = str(folder)
        ours = min(seconds(PROGRAMS / "runbook", "run", "staging", "--release", "v1") for _ in range(3))
        notebooks = [folder / "notebooks" / phase.notebook for phase in checklist.forward()]
        papermill = sum(
            seconds(PROGRAMS / "papermill", path, folder / path.name, "--no-progress-bar") for path in notebooks
        )
        print(
            f"17 no-op phases: kit {ours:.1f} s, papermill one by one {papermill:.1f} s, ratio {papermill / ours:.1f}"
        )
    empty = min(seconds(sys.executable, "-c", "pass") for _ in range(5))
    library = min(seconds(sys.executable, "-c", "import runbook_lib") for _ in range(5)) - empty
    usage = min(seconds(PROGRAMS / "runbook", "--help") for _ in range(5))
    print(f"import runbook_lib {library:.2f} s; runbook --help {usage:.2f} s")


if __name__ == "__main__":
    main()
