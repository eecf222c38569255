"""Plan a deployment, or run it notebook by notebook through papermill."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from runbook_lib import checklist, exclusive
from runbook_lib import environment as environments
from runbook_lib import release as releases
from runbook_lib.actions import deployment, predecessor
from runbook_lib.actions.predecessor import Deployment
from runbook_lib.checklist import SIGN_OFF, Phase
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.home import home
from runbook_lib.planning import PlannedItem, planning
from runbook_lib.record import archive, manifest
from runbook_lib.record.archive import Run, Way
from runbook_lib.record.earlier import RESUMED
from runbook_lib.record.masking import Mask
from runbook_lib.record.parameters import refuse_secrets
from runbook_lib.record.summary import PhaseSummary, RunSummary, only_planned, summarize
from runbook_lib.release import Release
from runbook_lib.review import derived, junit
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
    """How a run is to be carried out; `notes` are the operator's own words for the deployment record.

    Raises ConfigurationError where a dry run is confirmed too: production would be put under load.
    """

    dry_run: bool = False
    confirm: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        """A person who gave both meant one of them."""
        if self.dry_run and self.confirm:
            raise ConfigurationError("Give --confirm or --dry-run, not both: what is confirmed is carried out.")


def select(first: int | None = None, only: Sequence[int] = ()) -> tuple[Phase, ...]:
    """The phases from number `first` on, or only those named. Raises ConfigurationError for an unknown number."""
    if first is not None and only:
        raise ConfigurationError("Give --from or --only, not both.")
    wanted = {checklist.phase(number).number for number in (*only, *((first,) if first is not None else ()))}
    if only:
        return tuple(phase for phase in checklist.forward() if phase.number in wanted)
    if first == checklist.ROLLBACK:
        raise ConfigurationError("Phase 90 is no phase to begin from; to take a deployment back: runbook rollback ENV.")
    return tuple(phase for phase in checklist.forward() if first is None or phase.number >= first)


def plan(env: Environment, release: Release, phases: Sequence[Phase]) -> list[PlannedItem]:
    """Every item with its bound steps, without touching anything: cells are run with a phase that only lists."""
    with planning() as planned:
        for phase in phases:
            # As plain JSON, for nbformat takes a second to be imported.
            notebook = json.loads((home().notebooks / phase.notebook).read_bytes())
            namespace: dict[str, Any] = {}
            for number, cell in enumerate(notebook["cells"]):
                if cell["cell_type"] != "code":
                    continue
                # The notebooks are the kit's own code, as much as this module is.
                source = compile("".join(cell["source"]), f"{phase.notebook}, cell {number + 1}", "exec")
                exec(source, namespace)  # noqa: S102
                if "parameters" in cell["metadata"].get("tags", []):
                    namespace |= {"environment": env.name, "release": release.tag}
    return planned


def open_run(
    env: Environment, release: Release, phases: Sequence[Phase], options: Options, way: Way = Way.HEADLESS
) -> Run:
    """A new run with the operator's choices recorded; its environment is this process's alone from now on.

    Raises
    ------
    Occupied
        Another run holds the environment; no folder was made.
    """
    refuse_secrets(asdict(options), Mask().learn(env.secrets()))
    hold = exclusive.alone(env, archive.new_id(release))
    opened = archive.create(
        env,
        release,
        way,
        run_id=hold.holder.run,
        parameters={
            "release": release.tag,
            "dry_run": options.dry_run,
            "confirm": options.confirm,
            "notes": options.notes,
            "phases": [phase.number for phase in phases],
        },
    )
    hold.record(opened.events)
    return opened


def open_rollback(env: Environment, name: str, options: Options) -> tuple[Run, Release]:
    """The run that is to roll back, and the release that it takes back.

    Parameters
    ----------
    name:
        The run whose deployment is taken back, which is gone on with; where empty, the newest deployment is taken back
        by a run of its own.

    Raises
    ------
    ConfigurationError
        There is no such run, it has deployed nothing, or no run has; or what ran before is not on record.
    Occupied
        A run holds the environment, be it the one named.
    """
    phases = (checklist.phase(checklist.ROLLBACK),)
    if not name:
        release = _release_of(env, _to_take_back(lambda: predecessor.newest(env.name)))
        return open_run(env, release, phases, options), release
    refuse_secrets(asdict(options), Mask().learn(env.secrets()))
    source = archive.find_open(name, env.name)
    if not deployment.has_begun(source):
        raise ConfigurationError(f"Run {source} has deployed nothing, so there is nothing to roll back.")
    _to_take_back(lambda: predecessor.deployment_of(source))
    release = _release_of(env, source)
    hold = exclusive.alone(env, source.id)
    source.events.append(
        RESUMED, phases=[phase.number for phase in phases], operator=archive.operator(), **asdict(options)
    )
    hold.record(source.events)
    return source, release


def _to_take_back(find: Callable[[], Deployment]) -> Run:
    """The run whose deployment `find` finds. Raises ConfigurationError where there is no way back."""
    try:
        return find().run
    except Unanswerable as error:
        raise ConfigurationError(f"Nothing can be rolled back: {error}; {error.remedy}.") from error


def _release_of(env: Environment, run: Run) -> Release:
    return releases.find(env, run.events.read()[0].data["release"])


def run(
    run: Run,
    release: Release,
    phases: Sequence[Phase],
    options: Options,
    watcher: Watcher,
    *,
    rollback_on_failure: bool = False,
) -> ExitCode:
    """Execute the phases' notebooks one after the other, until a gate does not pass; the run is closed in any case.

    Parameters
    ----------
    rollback_on_failure:
        Where a gate does not pass after phase 8 has changed something, execute notebook 90 in the same run; unless
        what ran before is not on record, for then it would turn users away and put nothing back.

    Raises
    ------
    Occupied
        Another run holds the environment; nothing was run.
    """
    with exclusive.alone(environments.load(run.environment), run.id):
        return _run(run, release, phases, options, watcher, rollback_on_failure)


def _run(
    run: Run,
    release: Release,
    phases: Sequence[Phase],
    options: Options,
    watcher: Watcher,
    rollback_on_failure: bool,
) -> ExitCode:
    from runbook_lib.kernels import Kernels

    outcome, failed = "broken", False
    try:
        with Kernels(count=len(phases)) as kernels:

            def carry_out(phase: Phase) -> str:
                watcher.phase_started(phase)
                stopped = _execute(run, phase, parameters(run, release, options, phase), kernels, watcher)
                watcher.phase_ended(summarize(run).phases[-1])
                return "interrupted" if stopped else _outcome(run)

            for phase in phases:
                # Whatever ends a phase without a word, it has not come to what the one before it came to.
                outcome = "broken"
                outcome = carry_out(phase)
                if outcome not in ("passed", "pending"):
                    break
            failed = outcome in ("failed", "rollback failed")
            if outcome == "failed" and rollback_on_failure and deployment.has_begun(run) and not _no_way_back(run):
                outcome = "broken"
                outcome = carry_out(checklist.phase(checklist.ROLLBACK))
    except KeyboardInterrupt:
        outcome = "interrupted"
    finally:
        run.events.append("run closed", outcome=outcome)
        manifest.write(run)
        junit.write(run)
        derived.refresh(run)
    return _exit_code(run, outcome, failed)


_EXIT = {
    "passed": ExitCode.PASSED,
    "pending": ExitCode.WAITING,
    "failed": ExitCode.GATE_FAILED,
    "rollback failed": ExitCode.GATE_FAILED,
    "interrupted": ExitCode.INTERRUPTED,
    "broken": ExitCode.INTERRUPTED,
}


def _exit_code(run: Run, outcome: str, failed: bool) -> ExitCode:
    """What to end with; a rollback that was asked for, and that only persons have still to attest, is waiting."""
    if outcome != "rolled back":
        return _EXIT[outcome]
    if failed:
        return ExitCode.GATE_FAILED
    return ExitCode.WAITING if summarize(run).phases[-1].counts[Status.PENDING] else ExitCode.PASSED


def _outcome(run: Run) -> str:
    """What the run has come to, judged by its last phase and all of its items."""
    summary = summarize(run)
    if not summary.phases:
        return "broken"
    last = summary.phases[-1]
    if last.phase.number == checklist.ROLLBACK and not last.counts[Status.PLANNED]:
        return {"passed": "rolled back", "failed": "rollback failed"}.get(last.outcome, _stopped(last.outcome))
    if last.outcome == "passed":
        return "pending" if {Status.PENDING, Status.PLANNED} & set(summary.counts) else "passed"
    return _stopped(last.outcome)


def _stopped(outcome: str) -> str:
    return outcome if outcome in ("failed", "interrupted") else "broken"


def advice(run: Run) -> str:
    """What a person at the terminal has to know about rolling back; empty where there is nothing to say."""
    summary = summarize(run)
    again = predecessor.command_for(run)
    if summary.phases and summary.phases[-1].phase.number == checklist.ROLLBACK:
        if summary.outcome == "rolled back":
            return f"Rolled back. What happened and what was restored: {_post_mortem(summary)}"
        if _only_planned(run):
            return f"Nothing was carried out, the rollback was only planned. To carry it out: {again}"
        return (
            "The rollback did not finish, and the edge may still turn users away. What state things are in, and "
            f"what is to be done by hand: {_post_mortem(summary)}. When that is mended: {again}"
        )
    match summary.outcome:
        case "failed" | "interrupted" | "broken" if deployment.has_begun(run):
            if reason := _no_way_back(run):
                return f"The deployment has begun, and nothing can be rolled back: {reason}."
            return f"The deployment has begun and is not rolled back. Mend it, or: {again}"
        case "failed":
            return "This run has deployed nothing, so there is nothing to roll back."
    return ""


def _only_planned(run: Run) -> bool:
    """Whether the last pass through notebook 90 has planned its actions, and carried out none."""
    events = run.events.read()
    begun = [event.name == "phase started" and event.data["phase"] == checklist.ROLLBACK for event in events]
    return only_planned(events[len(begun) - 1 - begun[::-1].index(True) :], checklist.ROLLBACK)


def _no_way_back(run: Run) -> str:
    """Why the deployment of `run` cannot be taken back, and what to do; empty where it can."""
    try:
        predecessor.deployment_of(run)
    except Unanswerable as error:
        return f"{error}; {error.remedy}"
    return ""


def _post_mortem(summary: RunSummary) -> str:
    """Where the newest post-mortem lies under the run's folder, or what to look at where there is none."""
    kept = [file["path"] for step in summary.items.get("R.3.1", {}).get("steps", ()) for file in step["evidence"]]
    return kept[0] if kept else "see the cards of 90_rollback.ipynb, for no post-mortem was written"


def parameters(run: Run, release: Release, options: Options, phase: Phase) -> dict[str, Any]:
    """What the notebook of `phase` is given."""
    notes = {"notes": options.notes} if phase.number == SIGN_OFF and options.notes else {}
    return notes | {
        "environment": run.environment,
        "release": release.tag,
        "run_id": run.id,
        "dry_run": options.dry_run,
        "confirm": options.confirm,
    }


def _execute(run: Run, phase: Phase, parameters: Mapping[str, Any], kernels: Any, watcher: Watcher) -> bool:
    """Run a phase's notebook; whether it was stopped from outside, for then nothing follows, whatever its gate said."""
    import papermill
    from papermill.exceptions import PapermillException

    from runbook_lib.engine import Interrupted

    before = len(run.events.read())
    run.set_aside(phase)
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
        if not any(event.data.get("phase") == phase.number for event in run.events.read()[before:]):
            run.events.append("phase started", phase=phase.number, notebook=phase.notebook)
            run.events.append("phase ended", phase=phase.number, outcome="broken", reason=str(error))
        return isinstance(error, Interrupted)
    return False


def prepare_lab(run: Run, release: Release, phases: Sequence[Phase], options: Options) -> Path:
    """Put the notebooks with their parameters into the run's own folder, to be stepped through; returns the first."""
    import papermill

    for phase in phases:
        papermill.execute_notebook(
            home().notebooks / phase.notebook,
            run.notebook(phase),
            parameters=parameters(run, release, options, phase),
            prepare_only=True,
            progress_bar=False,
        )
    return run.notebook(phases[0])
