"""The pages that are written anew whenever something has happened to a run."""

from __future__ import annotations

import sys

from runbook_lib.record.archive import Run
from runbook_lib.review import page, runs_page


def refresh(run: Run) -> None:
    """Write the run's review and the page of all runs; what cannot be written is said, and stops nothing."""
    for said in filter(None, (page.refresh(run), runs_page.refresh())):
        sys.stderr.write(f"{said}\n")
