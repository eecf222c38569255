"""The manifest: what files the run consists of, each with its SHA-256, as an in-toto Statement.

Source of the form: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from runbook_lib.errors import RecordError
from runbook_lib.record import overview
from runbook_lib.record.archive import Run, write_atomically
from runbook_lib.record.envelope import STATEMENT
from runbook_lib.record.overview import Overview
from runbook_lib.record.summary import RunSummary, summarize

NAME = "manifest.json"
PREDICATE = "https://runbook.invalid/run/v1"
DERIVED = frozenset({NAME, "manifest.dsse.json", "review.html", "junit.xml", ".events.jsonl.lock"})
"""What lies in a run's folder and is not hashed: it is made from what is, or signs it."""
CHECKPOINTS = ".ipynb_checkpoints"
"""JupyterLab's own copies of what it has open."""


@dataclass(frozen=True)
class Witness:
    """A run of the environment that was not sealed yet: how many events it had, and the last one's digest."""

    run: str
    events: Annotated[int, Field(ge=1)]
    digest: str


@dataclass(frozen=True)
class Chain:
    """A sealed run's place: its number from 1, the sealed run before it and that one's manifest's SHA-256."""

    number: Annotated[int, Field(ge=1)]
    previous: str | None
    digest: str | None
    witnessed: tuple[Witness, ...] = ()


@dataclass(frozen=True)
class _Predicate:
    overview: Overview


@dataclass(frozen=True)
class _Statement:
    predicate: _Predicate


_OVERVIEW: Final[TypeAdapter[_Statement]] = TypeAdapter(_Statement)


def write(run: Run, chain: Chain | None = None) -> Path:
    """Write the run's manifest as it stands now; `chain` is given at the sealing alone."""
    path = run.folder / NAME
    write_atomically(path, (json.dumps(statement(run, chain), indent=1, ensure_ascii=False) + "\n").encode())
    return path


def statement(run: Run, chain: Chain | None = None) -> dict[str, Any]:
    """The statement: subjects are the notebooks, the evidence and the events; the predicate says what was run."""
    size = run.events.path.stat().st_size
    summary = summarize(run)
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in digests(run).items()],
        "predicateType": PREDICATE,
        "predicate": {
            **summary.opened,
            "run": run.id,
            "started": summary.started,
            "outcome": summary.outcome,
            "phases": {str(phase.phase.number): phase.outcome for phase in summary.phases},
            "results": results(summary),
            "events": len(run.events.read()),
            "overview": seen_over(summary, size),
            "chain": asdict(chain) if chain else None,
        },
    }


def seen_over(summary: RunSummary, size: int) -> dict[str, Any] | None:
    """The overview of a run whose events.jsonl has `size` bytes; None where there can be none, for lists do without."""
    try:
        return dict(overview.OVERVIEW.dump_python(overview.of(summary, size), mode="json"))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def results(summary: RunSummary) -> dict[str, str]:
    """What each item counts as, by its id."""
    return {item: str(result["status"]) for item, result in summary.items.items()}


def read(run: Run) -> dict[str, Any]:
    """The run's statement as it was written. Raises RecordError where there is none that can be read."""
    path = run.folder / NAME
    try:
        content = json.loads(path.read_bytes())
        if content["_type"] == STATEMENT and content["predicateType"] == PREDICATE and content["predicate"]:
            return dict(content)
    except OSError as error:
        raise RecordError(f"{run}: {NAME} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RecordError(f"{run}: {NAME} is no manifest of a run")


def overview_of(run: Run) -> Overview:
    """The overview in the run's manifest, all else in which is skipped. Raises RecordError where it holds none."""
    try:
        return _OVERVIEW.validate_json((run.folder / NAME).read_bytes()).predicate.overview
    except OSError as error:
        raise RecordError(f"{run}: {NAME} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{run}: {NAME} holds no overview of this version") from error


def chain(run: Run) -> Chain:
    """The run's place among those sealed. Raises RecordError where its manifest does not tell."""
    try:
        place: Chain = TypeAdapter(Chain).validate_python(read(run)["predicate"]["chain"])
    except (TypeError, KeyError, ValueError) as error:
        raise RecordError(f"{run}: {NAME} does not tell the run's place in the chain") from error
    return place


def files(run: Run) -> list[Path]:
    """The files that the manifest names: all but derived ones, and JupyterLab's own."""
    return [
        path
        for path in everything(run)
        if str(path.relative_to(run.folder)) not in DERIVED and CHECKPOINTS not in path.relative_to(run.folder).parts
    ]


def everything(run: Run) -> list[Path]:
    """Every file below the run's folder, and every link, which is not followed."""
    found: list[Path] = []
    for root, folders, names in os.walk(run.folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links]
        found += [Path(root) / name for name in (*names, *links)]
    return sorted(found)


def digests(run: Run) -> dict[str, str]:
    """The SHA-256 of each of the run's files, by its path from the run's folder."""
    paths = files(run)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(digest, paths))
    return {str(path.relative_to(run.folder)): sha256 for path, sha256 in zip(paths, found, strict=True)}


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; what is no plain file is said to be none."""
    if path.is_symlink() or not path.is_file():
        return "not a plain file"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
