"""The archive: every run under ``outputs/<environment>/<run id>/``."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from runbook_lib import checklist
from runbook_lib import environment as environments
from runbook_lib.checklist import Phase
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, RecordError
from runbook_lib.home import Home, account, home
from runbook_lib.record import secret_files
from runbook_lib.record.disk import make_folders, sync_folder
from runbook_lib.record.events import SEALED, Event, EventLog
from runbook_lib.record.masking import Mask
from runbook_lib.record.result import KeptFile
from runbook_lib.release import Release

SETTINGS = "environment.toml"
"""The environment's TOML as it was when the run was opened, secrets masked."""
SHORTEST_BEGINNING: Final = 8
"""Characters of a run's id, which begins with its day, by which it may be named."""
VERSIONED = ("runbook-kit", "papermill", "ipykernel", "nbclient", "httpx", "psycopg", "pydantic")


class Way(StrEnum):
    """By what a run is carried out: ``runbook run``, our engine alone, JupyterLab, or plain papermill."""

    HEADLESS = "headless"
    ENGINE = "engine"
    LAB = "lab"
    UNSUPERVISED = "unsupervised"


@dataclass(frozen=True)
class Run:
    """One pass of the runbook for one environment and release."""

    folder: Path

    def __str__(self) -> str:
        return f"{self.environment}/{self.id}"

    @property
    def id(self) -> str:
        """The run's name, unique within its environment."""
        return self.folder.name

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.folder.parent.name

    @cached_property
    def events(self) -> EventLog:
        """The run's log."""
        return EventLog(self.folder / "events.jsonl")

    def notebook(self, phase: Phase) -> Path:
        """Where the executed notebook of `phase` lies."""
        return self.folder / phase.notebook

    def file(self, name: str) -> Path:
        """Where a file of the record lies. Raises RecordError for a name that leads out of the record."""
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise RecordError(f"{name} lies outside of {self}")
        return path

    def set_aside(self, phase: Phase) -> None:
        """Keep the notebook of an earlier pass through `phase`, under ``superseded/``, before it is run once more."""
        path = self.notebook(phase)
        if not path.exists():
            return
        folder = self.folder / "superseded"
        make_folders(folder)
        passes = len(list(folder.glob(f"{phase.name}.*.ipynb")))
        path.rename(folder / f"{phase.name}.{passes + 1}.ipynb")
        sync_folder(folder)
        sync_folder(self.folder)

    def keep(self, item: str, name: str, content: bytes) -> KeptFile:
        """Write `content` under ``evidence/<item>/``; a name already taken gets a number, nothing is overwritten."""
        folder = self.folder / "evidence" / item
        make_folders(folder)
        safe = Path(name).name or "evidence"
        for attempt in range(1, 1000):
            path = folder / (safe if attempt == 1 else f"{attempt}-{safe}")
            try:
                with path.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except FileExistsError:
                continue
            sync_folder(folder)
            return KeptFile(str(path.relative_to(self.folder)), len(content), hashlib.sha256(content).hexdigest())
        raise RecordError(f"{folder} already holds 999 files called {safe}")


@dataclass(frozen=True)
class Facts(Mapping[str, Any]):
    """What passed steps of `run` left for later ones, read from its events at every access; the latest value counts."""

    run: Run

    def __getitem__(self, name: str) -> Any:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> dict[str, Any]:
        return facts_of(self.run.events.read())


def facts_of(events: Iterable[Event]) -> dict[str, Any]:
    """What passed steps left for later ones by `events`, each by its name; the latest value counts."""
    facts: dict[str, Any] = {}
    for event in events:
        if event.name == "step finished" and event.data["status"] == "passed":
            facts |= event.data["facts"]
    return facts


def new_id(release: Release) -> str:
    """A name for a run of `release` that begins now: the UTC time to the second, and the tag."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{release.tag.replace('/', '-')}"


def create(
    env: Environment, release: Release, way: Way, *, run_id: str = "", parameters: dict[str, Any] | None = None
) -> Run:
    """Open a new run: make its folder and write its first event; `way` is how it is to be carried out.

    Raises
    ------
    RecordError
        A run of that id is there already; it is never overwritten.
    """
    name = run_id or new_id(release)
    folder = home().outputs / env.name / name
    if Path(name).name != name:
        raise ConfigurationError(f"'{name}' cannot be a run id: it must be a plain folder name.")
    make_folders(folder.parent)
    try:
        folder.mkdir()
        sync_folder(folder.parent)
    except FileExistsError as error:
        raise RecordError(f"The run {env.name}/{name} exists already and is never overwritten.") from error
    run = Run(folder)
    run.events.append(
        "run opened",
        environment=env.name,
        sources={**_settings(env, run), **notebooks()},
        secret_files=secret_files.states(env),
        kind=env.kind,
        release=release.tag,
        commit=release.commit,
        way=way,
        operator=operator(),
        parameters=parameters or {},
        versions={name: _version(name) for name in VERSIONED} | {"python": platform.python_version()},
    )
    return run


def _settings(env: Environment, run: Run) -> dict[str, str]:
    """Keep the environment's TOML with the run; its SHA-256, by its name. Nothing where it has no file."""
    if env.name not in environments.names():
        return {}
    settings = environments.find(env.name).read_bytes()
    masked = Mask(home().root).learn(env.secrets()).text(settings.decode())
    write_atomically(run.folder / SETTINGS, masked.encode())
    return {SETTINGS: hashlib.sha256(settings).hexdigest()}


def notebooks() -> dict[str, str]:
    """The SHA-256 of each phase's notebook as it stands in the kit, by its name."""
    paths = (home().notebooks / phase.notebook for phase in checklist.phases())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def operator() -> str:
    """Who is at this machine, by the account's name and the machine's."""
    return f"{account()}@{platform.node()}"


def planned(env: Environment) -> Run:
    """The run that a plan's steps are bound to; it has no folder, and nobody reads it."""
    return Run(home().outputs / env.name / "planned")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def find(name: str, environment: str = "", where: Home | None = None) -> Run:
    """The run called `name`, or ``environment/name``; a beginning of its id will do where it is the only one so.

    Raises ConfigurationError naming the newest that exist.
    """
    wanted_environment, _, wanted = name.rstrip("/").removeprefix(f"{(where or home()).outputs.name}/").rpartition("/")
    there = [
        run for run in runs(where=where) if run.environment == (wanted_environment or environment or run.environment)
    ]
    found = [run for run in there if run.id == wanted] or [
        run for run in there if len(wanted) >= SHORTEST_BEGINNING and run.id.startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        where_found = ", ".join(f"{run.environment}/{run.id}" for run in found)
        raise ConfigurationError(f"Several runs are called '{name}': {where_found}. Name one of them whole.")
    newest = ", ".join(f"{run.environment}/{run.id}" for run in runs(where=where)[-5:]) or "none"
    raise ConfigurationError(f"There is no run '{name}'. The newest that exist: {newest}.")


def find_open(name: str, environment: str = "") -> Run:
    """As :func:`find`, to go on with the run. Raises ConfigurationError also where it is sealed, or never began."""
    run = find(name, environment)
    refuse_sealed(run)
    return run


def refuse_sealed(run: Run) -> None:
    """Raise ConfigurationError where the run is sealed, or broke off before it was opened."""
    events = run.events.read()
    if not events:
        raise ConfigurationError(f"The run {run} broke off before anything was recorded. Start a new run.")
    if events[-1].name == SEALED:
        raise ConfigurationError(f"The run {run} is sealed: nothing can be added to it. Start a new run.")


@contextmanager
def closing(run: Run) -> Iterator[None]:
    """Keep others from sealing, signing or giving their word on a run of this environment meanwhile."""
    with FileLock(run.folder.parent / ".seal.lock"):
        yield


def remove_temporaries(run: Run) -> None:
    """Remove what :func:`write_atomically` has left of files that a crash cut off; the files themselves are whole."""
    for path in run.folder.glob(".*"):
        if re.fullmatch(r"\..+\.(ipynb|json|toml)\.[a-z0-9_]{8}", path.name):
            path.unlink()


def runs(environment: str = "*", where: Home | None = None) -> tuple[Run, ...]:
    """All runs, oldest first."""
    logs = (where or home()).outputs.glob(f"{environment}/*/events.jsonl")
    return tuple(sorted((Run(path.parent) for path in logs), key=lambda run: (run.id, run.environment)))


def write_atomically(path: Path, content: bytes, *, by: Path | None = None) -> None:
    """Replace `path` in one step, so that a crash leaves the old file or the new one.

    Parameters
    ----------
    by:
        The folder in which it is made, of the same file system; that of `path` where none is given.
    """
    descriptor, temporary = tempfile.mkstemp(dir=by or path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
