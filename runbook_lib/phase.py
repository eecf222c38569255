"""A phase as a notebook carries it out: ``begin``, then its items one by one, then its ``gate``.

The executor here is the only place that turns what a step returns or raises into a status.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from runbook_lib import card, checklist
from runbook_lib import environment as environments
from runbook_lib import release as releases
from runbook_lib.display import SHOWN_IMAGES, Display, show_image
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, GateFailed, NotApplicable, Unresolved, Waiting
from runbook_lib.home import home
from runbook_lib.planning import PlannedPhase, open_plan
from runbook_lib.record import archive
from runbook_lib.record.archive import Facts, Run
from runbook_lib.record.masking import Mask
from runbook_lib.record.result import ItemResult, KeptFile, StepResult, Waived, worst
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Kind, Status, Step, reporting


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
        A name is wrong; those that exist are listed.
    """
    phase = checklist.phase(number)
    plan = open_plan()
    env = environments.load(environment)
    wanted = releases.find(env, release)
    if plan is not None:
        return PlannedPhase(phase, env, wanted, archive.planned(env), plan)
    run = _open(env, wanted, run_id, dry_run, confirm)
    run.events.append("phase started", phase=number, notebook=phase.notebook)
    may_act = not dry_run and (env.kind != "production" or confirm == env.name)
    return LivePhase(phase, env, wanted, run, may_act)


def _open(env: Environment, release: Release, run_id: str, dry_run: bool, confirm: str) -> Run:
    """The run that the parameters name, or a new one where they name none."""
    if not run_id:
        return archive.create(
            env, release, supervised=False, parameters={"dry_run": dry_run, "confirm": confirm, "release": release.tag}
        )
    run = archive.find(run_id, env.name)
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
    may_act: bool
    _results: dict[str, ItemResult] = field(default_factory=dict)
    _mask: Mask = field(default_factory=lambda: Mask(home().root))

    @property
    def facts(self) -> Mapping[str, Any]:
        """What earlier steps of this run left for later ones, as it stands when it is read."""
        return Facts(self.run)

    def item(self, id: str, *steps: Step) -> None:
        """Carry out one item: its steps in order, until an action does not pass."""
        item = self.definition.item(id)
        if not steps:
            raise ConfigurationError(f"Item {id} was given no step.")
        shown = Display(card.running(item.id, item.text, ""))
        results: list[StepResult] = []
        images: list[Evidence] = []
        for number, step in enumerate(steps, start=1):
            blocked_by = next((r for r in results if r.kind == Kind.ACTION and r.status != Status.PASSED), None)
            if blocked_by:
                results.append(_blocked(step, blocked_by))
                continue
            with reporting(lambda line: shown.show_progress(card.running(item.id, item.text, self._mask.text(line)))):
                result, finding = self._execute(item, number, step)
            results.append(result)
            images += [e for e in finding.evidence if Path(e.name).suffix in SHOWN_IMAGES] if finding else []
        outcome = ItemResult(item.id, item.text, tuple(results), self._waiver(item.id, worst(results)))
        self._results[id] = outcome
        self.run.events.append("item finished", phase=self.definition.number, **outcome.data())
        shown.show(card.bundle(outcome))
        for image in images:
            show_image(image)

    def _waiver(self, id: str, status: Status) -> Waived | None:
        """The environment's decision on the item, if it tolerates `status`; one that expired is told too."""
        today = datetime.now(UTC).date()
        fitting = [waiver for waiver in self.env.waivers if waiver.item == id and status in waiver.statuses]
        if not fitting:
            return None
        last = max(fitting, key=lambda waiver: waiver.expires)
        return Waived(
            self._mask.text(last.person),
            self._mask.text(last.reason),
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

    def _execute(self, item: checklist.Item, number: int, step: Step) -> tuple[StepResult, Finding | None]:
        """Run one step and record it; whatever it raises becomes a status."""
        self._mask.learn(self.env.secrets())
        arguments = self._mask.value({name: _plain(value) for name, value in step.arguments.items()})
        self.run.events.append(
            "step started",
            phase=self.definition.number,
            item=item.id,
            step=number,
            name=step.name,
            kind=step.kind,
            title=self._mask.text(step.title),
            arguments=arguments,
        )
        started = time.monotonic()
        finding: Finding | None = None
        try:
            if step.kind is Kind.ACTION and not self.may_act:
                ended = _Ended(Status.PLANNED, self._why_planned())
            else:
                finding = step.run()
                ended = _Ended(Status.PASSED if finding.ok else Status.FAILED, remedy=finding.remedy)
        except Waiting as error:
            ended = _Ended(Status.PENDING, error.reason, error.remedy)
        except NotApplicable as error:
            ended = _Ended(Status.SKIPPED, error.reason, error.remedy)
        except Unresolved as error:
            ended, finding = _Ended(Status.ERROR, error.reason, error.remedy), getattr(error, "seen", None)
        except Exception as error:
            ended = _Ended(
                Status.ERROR, f"{type(error).__name__}: {error}", "look at the reason; the step itself could not finish"
            )
        except KeyboardInterrupt:
            ended = _Ended(Status.ERROR, "interrupted while it ran", "see what it left behind before running it again")
            self._record(item, number, self._result(item, step, arguments, ended, None, started))
            raise
        # An action may have made new secrets; they are known before a word of its finding is kept.
        self._mask.learn(self.env.secrets())
        result = self._result(item, step, arguments, ended, finding, started)
        self._record(item, number, result)
        return result, finding

    def _why_planned(self) -> str:
        if self.env.kind == "production":
            return f"planned, not carried out: production needs confirm = '{self.env.name}' and no dry run"
        return "planned, not carried out: this is a dry run"

    def _result(
        self,
        item: checklist.Item,
        step: Step,
        arguments: Mapping[str, Any],
        ended: _Ended,
        finding: Finding | None,
        started: float,
    ) -> StepResult:
        seconds = round(time.monotonic() - started, 3)
        plain = self._mask.value
        return StepResult(
            name=step.name,
            kind=step.kind,
            title=self._mask.text(step.title),
            arguments=arguments,
            status=ended.status,
            observed=plain(_plain(finding.observed)) if finding else None,
            expected=plain(_plain(finding.expected)) if finding else None,
            reason=self._mask.text(ended.reason),
            remedy=self._mask.text(ended.remedy),
            seconds=seconds,
            tables=[plain(_plain(asdict(table))) for table in finding.tables] if finding else [],
            evidence=[self._keep(item.id, evidence) for evidence in finding.evidence] if finding else [],
            facts=plain(_plain(finding.facts)) if finding else {},
        )

    def _record(self, item: checklist.Item, number: int, result: StepResult) -> None:
        data = {"phase": self.definition.number, "item": item.id, "step": number, **asdict(result)}
        # Tables are kept once, with the item.
        self.run.events.append("step finished", **{key: value for key, value in data.items() if key != "tables"})

    def _keep(self, item: str, evidence: Evidence) -> KeptFile:
        content = evidence.content
        if isinstance(content, str):
            content = self._mask.text(content).encode()
        elif Path(evidence.name).suffix in {".html", ".txt", ".log", ".json", ".xml", ".csv", ".svg"}:
            content = self._mask.text(content.decode(errors="replace")).encode()
        return self.run.keep(item, evidence.name, content)


@dataclass(frozen=True)
class _Ended:
    status: Status
    reason: str = ""
    remedy: str = ""


def _blocked(step: Step, action: StepResult) -> StepResult:
    """A step that was not run, since the action before it did not pass."""
    reason = f"not run: it depends on '{action.title}', which is {action.status}"
    return StepResult(step.name, step.kind, step.title, {}, action.status, None, None, reason, "", 0.0)


def _plain(value: Any) -> Any:
    """`value` as JSON values: parts of an environment by their name, everything else that is no JSON by its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON knows no NaN or infinity.
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, Environment | Release):
        return str(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "item") and callable(value.item):
        return _plain(value.item())
    return str(value)
