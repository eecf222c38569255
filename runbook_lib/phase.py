"""A phase as a notebook carries it out: ``begin``, then its items one by one, then its ``gate``.

Each step is carried out and recorded by :mod:`runbook_lib.executor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from runbook_lib import card, checklist, exclusive, kernel
from runbook_lib import environment as environments
from runbook_lib import release as releases
from runbook_lib.display import SHOWN_IMAGES, Display, show_image
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, GateFailed
from runbook_lib.executor import Executor, blocked
from runbook_lib.planning import PlannedPhase, open_plan
from runbook_lib.record import archive, attestation, earlier
from runbook_lib.record.archive import Facts, Run, Way
from runbook_lib.record.evidence import Kept
from runbook_lib.record.masking import Mask
from runbook_lib.record.parameters import refuse_secrets
from runbook_lib.record.result import ItemResult, StepResult, Waived, worst
from runbook_lib.release import Release
from runbook_lib.step import Kind, Status, Step, reporting


class Phase(Protocol):
    """What a notebook sees of a phase."""

    env: Environment
    release: Release
    run: Run

    @property
    def facts(self) -> Mapping[str, Any]:
        """What earlier steps of this run left for later ones."""
        ...

    def item(self, id: str, *steps: Step) -> None:
        """Carry out one item: its steps in order."""
        ...

    def gate(self) -> None:
        """Give the verdict. Raises GateFailed where an item failed, is in error or never ran."""
        ...


def begin(
    number: int,
    *,
    environment: str,
    release: str = "",
    run_id: str = "",
    dry_run: bool = False,
    confirm: str = "",
) -> Phase:
    """Begin phase `number` in run `run_id`, or in a new, unsupervised run where that is empty.

    Parameters
    ----------
    environment:
        Name of the environment's TOML file.
    release:
        A tag of the application; the environment's own where empty.
    dry_run:
        Answer every check that can be answered and plan every action.
    confirm:
        In a production environment, its name: without it actions are planned, not carried out.

    Raises
    ------
    ConfigurationError
        A name is wrong; those that exist are listed. Or a parameter is, or looks like, a secret.
    Occupied
        Another run holds the environment.
    """
    phase = checklist.phase(number)
    plan = open_plan()
    given = {"environment": environment, "release": release, "run_id": run_id, "confirm": confirm}
    # By their looks first, then by what the environment knows: what is said of a wrong name repeats it.
    refuse_secrets(given, Mask())
    env = environments.load(environment)
    if plan is not None:
        return PlannedPhase(phase, env, releases.find(env, release), archive.planned(env), plan)
    mask = kernel.mask().learn(env.secrets())
    refuse_secrets(given, mask)
    wanted = releases.find(env, release)
    run = _open(env, wanted, run_id, dry_run, confirm)
    left = earlier.of_phase(run.events.read(), number)
    run.events.append("phase started", phase=number, notebook=phase.notebook)
    may_act = not dry_run and (env.kind != "production" or confirm == env.name)
    hold = exclusive.within(env, run.id)
    hold.keep(run, number)
    return LivePhase(phase, env, wanted, run, hold, mask, Executor(env, run, number, may_act, mask, left))


def _blocks(result: StepResult, step: Step) -> bool:
    """Whether `step` is not to be run after `result`: it depends on an action, or would act against what was found."""
    if result.kind == Kind.ACTION:
        return result.status != Status.PASSED
    return step.kind is Kind.ACTION and result.status in (Status.FAILED, Status.ERROR)


def _open(env: Environment, release: Release, run_id: str, dry_run: bool, confirm: str) -> Run:
    """The run that the parameters name, or a new one where they name none."""
    if not run_id:
        name = exclusive.alone(env, archive.new_id(release)).holder.run
        given = {"dry_run": dry_run, "confirm": confirm, "release": release.tag}
        return archive.create(env, release, Way.UNSUPERVISED, run_id=name, parameters=given)
    run = archive.find_open(run_id, env.name)
    opened = run.events.read()[0].data
    if opened["commit"] != release.commit:
        raise ConfigurationError(
            f"Run {run_id} is for release {opened['release']} (commit {opened['commit'][:12]}), "
            f"not for {release.tag} (commit {release.commit[:12]})."
        )
    return run


@dataclass
class LivePhase:
    """A phase that carries out its steps and records them."""

    definition: checklist.Phase
    env: Environment
    release: Release
    run: Run
    hold: exclusive.Exclusion
    mask: Mask
    executor: Executor
    _results: dict[str, ItemResult] = field(default_factory=dict)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What earlier steps of this run left for later ones, as it stands when it is read."""
        return Facts(self.run)

    def item(self, id: str, *steps: Step) -> None:
        """Carry out one item: its steps in order, until an action does not pass.

        No action follows on what a check before it in the same item has just found wrong.
        """
        item = self.definition.item(id)
        if not steps:
            raise ConfigurationError(f"Item {id} was given no step.")
        self.hold.keep(self.run, self.definition.number)
        shown = Display(card.running(item.id, item.text, ""))
        results: list[StepResult] = []
        images: list[Kept] = []
        for number, step in enumerate(steps, start=1):
            blocked_by = next((r for r in results if _blocks(r, step)), None)
            if blocked_by:
                results.append(blocked(step, blocked_by))
                continue
            with reporting(lambda line: shown.show_progress(card.running(item.id, item.text, self.mask.text(line)))):
                result, kept = self.executor.carry_out(item, steps, number)
            results.append(result)
            images += [each for each in kept if Path(each.name).suffix in SHOWN_IMAGES]
        outcome = ItemResult(item.id, item.text, tuple(results), self._waiver(item.id, worst(results)))
        self._results[id] = outcome
        self.run.events.append("item finished", phase=self.definition.number, **outcome.data())
        shown.show(card.bundle(outcome))
        for image in images:
            show_image(image)

    def _waiver(self, id: str, status: Status) -> Waived | None:
        """The environment's decision on the item, if it tolerates `status`; one that expired is told too."""
        if decided := attestation.waiver_for(self.run.events.read(), id, status):
            return decided
        today = datetime.now(UTC).date()
        fitting = [waiver for waiver in self.env.waivers if waiver.item == id and status in waiver.statuses]
        if not fitting:
            return None
        last = max(fitting, key=lambda waiver: waiver.expires)
        return Waived(
            self.mask.text(last.person),
            self.mask.text(last.reason),
            last.expires.isoformat(),
            in_force=last.expires >= today,
        )

    def gate(self) -> None:
        """Give the verdict and close the phase's part of the record."""
        sentence, passed = self._verdict()
        self.run.events.append(
            "phase ended",
            phase=self.definition.number,
            outcome="passed" if passed else "failed",
            reason="" if passed else sentence,
        )
        exclusive.release_all()
        Display(card.gate(self.definition.title, passed, sentence))
        if not passed:
            raise GateFailed(sentence)

    def _verdict(self) -> tuple[str, bool]:
        missing = [item.id for item in self.definition.items if item.id not in self._results]
        by_status = {
            status: [result.id for result in self._results.values() if result.status == status] for status in Status
        }
        counts = ", ".join(f"{len(ids)} {status}" for status, ids in by_status.items() if ids)
        bad = by_status[Status.FAILED] + by_status[Status.ERROR]
        problems = ([f"not passed: {', '.join(bad)}"] if bad else []) + (
            [f"never ran: {', '.join(missing)}"] if missing else []
        )
        return "; ".join([counts or "nothing ran", *problems]), not problems
