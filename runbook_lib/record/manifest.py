"""The manifest: what files the run consists of, each with its SHA-256, as an in-toto Statement.

Source of the form: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from runbook_lib.record.archive import Run, write_atomically
from runbook_lib.record.summary import summarize

NAME = "manifest.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://runbook.invalid/run/v1"
DERIVED = frozenset({NAME, "review.html", "junit.xml"})


def write(run: Run) -> Path:
    """Write the run's manifest as it stands now."""
    path = run.folder / NAME
    write_atomically(path, (json.dumps(statement(run), indent=1, ensure_ascii=False) + "\n").encode())
    return path


def statement(run: Run) -> dict[str, Any]:
    """The statement: subjects are the notebooks, the evidence and the events; the predicate says what was run."""
    summary = summarize(run)
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": str(path.relative_to(run.folder)), "digest": {"sha256": digest(path)}} for path in files(run)
        ],
        "predicateType": PREDICATE,
        "predicate": {
            **summary.opened,
            "run": run.id,
            "outcome": summary.outcome,
            "results": {item: str(result["status"]) for item, result in summary.items.items()},
        },
    }


def files(run: Run) -> list[Path]:
    """The files that the manifest names: all but hidden and derived ones."""
    return sorted(
        path
        for path in run.folder.rglob("*")
        if path.is_file()
        and path.name not in DERIVED
        and not any(part.startswith(".") for part in path.relative_to(run.folder).parts)
    )


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
