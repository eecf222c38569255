"""Carries out one step of an item and records it: the only place that turns what a step raises into a status."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from runbook_lib import card
from runbook_lib.checklist import Item
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unresolved, Waiting
from runbook_lib.record import attestation, evidence
from runbook_lib.record.archive import Facts, Run
from runbook_lib.record.earlier import Done, Earlier, Unknown
from runbook_lib.record.evidence import Kept
from runbook_lib.record.masking import Mask
from runbook_lib.record.result import StepResult
from runbook_lib.release import Release
from runbook_lib.step import ATTEST, Finding, Kind, Status, Step, Table


@dataclass
class Executor:
    """Carries out the steps of one phase of a run, and puts each on the run's record.

    Parameters
    ----------
    phase:
        The phase's number.
    may_act:
        Whether actions are carried out, or only planned.
    earlier:
        What an earlier pass through the phase, that was broken off, has left.
    """

    env: Environment
    run: Run
    phase: int
    may_act: bool
    mask: Mask
    earlier: Earlier = field(default_factory=Earlier)

    def carry_out(self, item: Item, steps: Sequence[Step], number: int) -> tuple[StepResult, Sequence[Kept]]:
        """Run step `number` (from 1) of the item, or go on with it where an earlier pass began it."""
        step = steps[number - 1]
        left = self.earlier.take(item.id, number, step.name) if self.may_act else None
        if left is None:
            return self._execute(item, number, step)
        return self._go_on(item, number, step, left, steps[number:])

    def _go_on(
        self, item: Item, number: int, step: Step, left: Done | Unknown, following: Sequence[Step]
    ) -> tuple[StepResult, Sequence[Kept]]:
        """An action that an earlier pass has begun: looked at, and carried out only if it is not done."""
        started = time.monotonic()
        try:
            looked = _look(step, left, following)
        except Exception as error:
            if isinstance(left, Unknown):
                return self._not_known(item, number, step, left, error)
            looked = None
        done = looked.ok if looked else isinstance(left, Done)
        seen = self.mask.value(_plain(looked.observed)) if looked else None
        self.run.events.append(
            "step re-checked",
            phase=self.phase,
            item=item.id,
            step=number,
            title=self.mask.text(step.title),
            found=str(left),
            seen=seen,
            repeated=not done,
        )
        if not done:
            result, kept = self._execute(item, number, step)
            note = f"{left}; looked at before it was carried out: {card.shorten(seen or 'nothing to look at')}"
            return replace(result, note=note), kept
        result = self._result(item, step, {}, _Ended(Status.PASSED), looked, (), started)
        if isinstance(left, Done):
            result = replace(result, **left.kept)
        result = replace(result, note=f"{left}; not done again")
        self._record(item, number, result)
        return result, ()

    def _not_known(
        self, item: Item, number: int, step: Step, left: Unknown, error: Exception
    ) -> tuple[StepResult, Sequence[Kept]]:
        """An action of which nobody can say whether it was done is not repeated: a person has to look."""
        reason = f"{left}; it could not be found out whether it was done: {error}"
        remedy = "find it out by hand, then attest it (runbook attest) or waive it (runbook waive)"
        status = Status.PENDING if isinstance(error, Waiting) else Status.ERROR
        result = self._result(item, step, {}, _Ended(status, reason, remedy), None, (), time.monotonic())
        self._record(item, number, result)
        return result, ()

    def _execute(self, item: Item, number: int, step: Step) -> tuple[StepResult, Sequence[Kept]]:
        """Run one step and record it; whatever it raises becomes a status."""
        self.mask.learn(self.env.secrets())
        arguments = self.mask.value({name: _plain(value) for name, value in step.arguments.items()})
        self.run.events.append(
            "step started",
            phase=self.phase,
            item=item.id,
            step=number,
            name=step.name,
            kind=step.kind,
            title=self.mask.text(step.title),
            arguments=arguments,
        )
        started = time.monotonic()
        finding: Finding | None = None
        try:
            if step.kind is Kind.ACTION and not self.may_act:
                ended = _Ended(Status.PLANNED, self._why_planned())
            else:
                finding = self._word(item, step) or step.run()
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
            self.mask.learn(self.env.secrets())
            self._record(item, number, self._result(item, step, arguments, ended, None, (), started))
            raise
        # An action may have made new secrets; they are known before a word of its finding is kept.
        self.mask.learn(self.env.secrets())
        kept = [evidence.masked(each, self.mask) for each in finding.evidence] if finding else []
        result = self._result(item, step, arguments, ended, finding, kept, started)
        self._record(item, number, result)
        return result, kept

    def _word(self, item: Item, step: Step) -> Finding | None:
        """What a person has attested, where that is what the step waits for."""
        if step.name != ATTEST:
            return None
        return attestation.word_for(self.run.events.read(), self.phase, item)

    def _why_planned(self) -> str:
        if self.env.kind == "production":
            return f"planned, not carried out: production needs confirm = '{self.env.name}' and no dry run"
        return "planned, not carried out: this is a dry run"

    def _result(
        self,
        item: Item,
        step: Step,
        arguments: Mapping[str, Any],
        ended: _Ended,
        finding: Finding | None,
        kept: Sequence[Kept],
        started: float,
    ) -> StepResult:
        seconds = round(time.monotonic() - started, 3)
        plain = self.mask.value
        return StepResult(
            name=step.name,
            kind=step.kind,
            title=self.mask.text(step.title),
            arguments=arguments,
            status=ended.status,
            observed=plain(_plain(finding.observed)) if finding else None,
            expected=plain(_plain(finding.expected)) if finding else None,
            reason=self.mask.text(ended.reason),
            remedy=self.mask.text(ended.remedy),
            seconds=seconds,
            tables=[self._table(table) for table in finding.tables] if finding else [],
            evidence=[self.run.keep(item.id, each.name, each.content) for each in kept],
            facts=plain(_plain(finding.facts)) if finding else {},
        )

    def _table(self, table: Table) -> dict[str, Any]:
        columns, title = self.mask.value(list(table.columns)), self.mask.text(table.title)
        return {"columns": columns, "rows": self.mask.rows(_plain(table.rows)), "title": title}

    def _record(self, item: Item, number: int, result: StepResult) -> None:
        data = {"phase": self.phase, "item": item.id, "step": number, **asdict(result)}
        # Tables are kept once, with the item.
        self.run.events.append("step finished", **{key: value for key, value in data.items() if key != "tables"})


@dataclass(frozen=True)
class _Ended:
    status: Status
    reason: str = ""
    remedy: str = ""


def blocked(step: Step, earlier: StepResult) -> StepResult:
    """A step that was not run, since the one before it that it depends on did not pass."""
    reason = f"not run: it depends on '{earlier.title}', which is {earlier.status}"
    return StepResult(step.name, step.kind, step.title, {}, earlier.status, None, None, reason, "", 0.0)


def _look(step: Step, left: Done | Unknown, following: Sequence[Step]) -> Finding | None:
    """What can be seen of an action that was begun before; None where the record alone has to do.

    Its own ``done`` decides; without one the checks that follow it are shown, and decide nothing.
    """
    if step.done is not None:
        return step.done()
    checks = list(itertools.takewhile(lambda each: each.kind is Kind.CHECK, following))
    if isinstance(left, Done) or not checks:
        return None
    try:
        seen: Any = {each.title: each.run().observed for each in checks}
    except Exception as error:
        seen = f"could not be looked at: {type(error).__name__}: {error}"
    return Finding(False, seen, "what the action leaves behind")


def _plain(value: Any) -> Any:
    """`value` as JSON values: parts of an environment by their name, everything else that is no JSON by its text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        # Nor does the canonical form that the events have (RFC 8785) know integers that a double cannot hold.
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        # JSON knows no NaN or infinity.
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, Environment | Release):
        return str(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Facts):
        # What they say is on record already, by the steps that left them.
        return list(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "item") and callable(value.item):
        return _plain(value.item())
    return str(value)
