"""Plan a deployment, or run it notebook by notebook through papermill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from runbook_lib import checklist
from runbook_lib.checklist import Phase
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.home import home
from runbook_lib.phase import PlannedItem, planning
from runbook_lib.record import archive, manifest
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import PhaseSummary, summarize
from runbook_lib.release import Release
from runbook_lib.step import Status


class ExitCode(IntEnum):
    """What ``runbook`` ends with."""

    PASSED = 0
    GATE_FAILED = 1
    USAGE = 2
    WAITING = 3
    INTERRUPTED = 4


class Watcher(Protocol):
    """Somebody to whom a run shows itself while it happens."""

    def phase_started(self, phase: Phase) -> None:
        """A notebook begins."""
        ...

    def result(self, bundle: Mapping[str, Any]) -> None:
        """An item runs or ended, or a gate spoke; the bundle as :mod:`runbook_lib.card` makes it."""
        ...

    def phase_ended(self, summary: PhaseSummary) -> None:
        """A notebook ended, one way or another."""
        ...


@dataclass(frozen=True)
class Options:
    """How a run is to be carried out; every field is a parameter of every notebook."""

    dry_run: bool = False
    confirm: str = ""


def select(first: int | None = None, only: Sequence[int] = ()) -> tuple[Phase, ...]:
    """The phases from number `first` on, or only those named. Raises ConfigurationError for an unknown number."""
    if first is not None and only:
        raise ConfigurationError("Give --from or --only, not both.")
    wanted = {checklist.phase(number).number for number in (*only, *((first,) if first is not None else ()))}
    if only:
        return tuple(phase for phase in checklist.forward() if phase.number in wanted)
    return tuple(phase for phase in checklist.forward() if first is None or phase.number >= first)


def plan(env: Environment, release: Release, phases: Sequence[Phase]) -> list[PlannedItem]:
    """Every item with its bound steps, without touching anything: cells are run with a phase that only lists."""
    import nbformat

    with planning() as planned:
        for phase in phases:
            notebook = nbformat.read(home().notebooks / phase.notebook, as_version=4)
            namespace: dict[str, Any] = {}
            for number, cell in enumerate(notebook.cells):
                if cell.cell_type != "code":
                    continue
                # The notebooks are the kit's own code, as much as this module is.
                exec(compile(cell.source, f"{phase.notebook}, cell {number + 1}", "exec"), namespace)  # noqa: S102
                if "parameters" in cell.metadata.get("tags", []):
                    namespace |= {"environment": env.name, "release": release.tag}
    return planned


def open_run(env: Environment, release: Release, phases: Sequence[Phase], options: Options) -> Run:
    """A new run, supervised, with the operator's choices recorded."""
    return archive.create(
        env,
        release,
        supervised=True,
        parameters={
            "release": release.tag,
            "dry_run": options.dry_run,
            "confirm": options.confirm,
            "phases": [phase.number for phase in phases],
        },
    )


def run(run: Run, release: Release, phases: Sequence[Phase], options: Options, watcher: Watcher) -> ExitCode:
    """Execute the phases' notebooks one after the other, until a gate does not pass; the run is closed in any case."""
    import papermill  # noqa: F401  # first: it loads our engine by its entry point

    from runbook_lib.engine import Kernels

    outcome = "broken"
    try:
        with Kernels(count=len(phases)) as kernels:
            for phase in phases:
                watcher.phase_started(phase)
                _execute(run, phase, parameters(run, release, options), kernels, watcher)
                outcome = _outcome(run)
                watcher.phase_ended(summarize(run).phases[-1])
                if outcome not in ("passed", "pending"):
                    break
    except KeyboardInterrupt:
        outcome = "interrupted"
    finally:
        run.events.append("run closed", outcome=outcome)
        manifest.write(run)
    return _EXIT[outcome]


_EXIT = {
    "passed": ExitCode.PASSED,
    "pending": ExitCode.WAITING,
    "failed": ExitCode.GATE_FAILED,
    "interrupted": ExitCode.INTERRUPTED,
    "broken": ExitCode.INTERRUPTED,
}


def _outcome(run: Run) -> str:
    """What the run has come to, judged by its last phase and all of its items."""
    summary = summarize(run)
    last = summary.phases[-1].outcome if summary.phases else "broken"
    if last == "passed":
        return "pending" if {Status.PENDING, Status.PLANNED} & set(summary.counts) else "passed"
    return last if last in ("failed", "interrupted") else "broken"


def parameters(run: Run, release: Release, options: Options) -> dict[str, Any]:
    """What every notebook of the run is given."""
    return {
        "environment": run.environment,
        "release": release.tag,
        "run_id": run.id,
        "dry_run": options.dry_run,
        "confirm": options.confirm,
    }


def _execute(run: Run, phase: Phase, parameters: Mapping[str, Any], kernels: Any, watcher: Watcher) -> None:
    import papermill
    from papermill.exceptions import PapermillException

    try:
        papermill.execute_notebook(
            home().notebooks / phase.notebook,
            run.notebook(phase),
            parameters=dict(parameters),
            engine_name="runbook",
            progress_bar=False,
            kernels=kernels,
            watch=watcher.result,
        )
    except PapermillException as error:
        if not any(event.data.get("phase") == phase.number for event in run.events.read()):
            run.events.append("phase started", phase=phase.number, notebook=phase.notebook)
            run.events.append("phase ended", phase=phase.number, outcome="broken", reason=str(error))


def prepare_lab(run: Run, release: Release, phases: Sequence[Phase], options: Options) -> Path:
    """Put the notebooks with their parameters into the run's own folder, to be stepped through; returns the first."""
    import papermill

    for phase in phases:
        papermill.execute_notebook(
            home().notebooks / phase.notebook,
            run.notebook(phase),
            parameters=parameters(run, release, options),
            prepare_only=True,
            progress_bar=False,
        )
    return run.notebook(phases[0])
