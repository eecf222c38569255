"""What a person sees in the terminal: a line for each item as it happens, a live bar below, a table at the end."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column, Table

from runbook_lib.card import ICONS
from runbook_lib.checklist import Phase
from runbook_lib.planning import PlannedItem
from runbook_lib.record.result import Waived
from runbook_lib.record.summary import PhaseSummary, RunSummary
from runbook_lib.step import Status

STYLES: Mapping[str, str] = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.ERROR: "bold yellow",
    Status.SKIPPED: "dim",
    Status.PENDING: "yellow",
    Status.WAIVED: "magenta",
    Status.PLANNED: "blue",
}


class TerminalWatcher:
    """Shows a run while it happens.

    Parameters
    ----------
    explained:
        The statuses of steps of which it is told why.
    """

    def __init__(self, console: Console, explained: Collection[Status] = (Status.FAILED, Status.ERROR)) -> None:
        self._console, self._explained = console, explained
        self._bar: Progress | None = None
        self._task = TaskID(0)

    @contextmanager
    def live(self) -> Iterator[TerminalWatcher]:
        """Keep the phase's bar below everything printed within; where there is no terminal there is none."""
        with _bar(self._console) as self._bar:
            self._task = self._bar.add_task("", total=None, latest="starting")
            yield self

    def tell(self, message: str) -> None:
        """Show `message` beside the bar."""
        if self._bar is not None:
            self._bar.update(self._task, latest=" ".join(visible(message).split()))

    def begin(self, phase: Phase) -> None:
        """Let the bar stand for the items of `phase`, none of which has ended."""
        if self._bar is not None:
            name = f"{phase.number} {phase.title}"
            self._bar.reset(self._task, total=len(phase.items), description=name, latest="")

    def advance(self) -> None:
        """Let the bar say that one item more has ended."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, latest="")

    def phase_started(self, phase: Phase) -> None:
        """Print the phase's heading."""
        self._console.print(f"[bold]{phase.number} {escape(phase.title)}[/bold]")
        self.begin(phase)

    def result(self, bundle: Mapping[str, Any]) -> None:
        """Print an item that ended; show one that runs in the live line."""
        if "gate" in bundle:
            return
        if bundle["status"] == "running":
            latest = bundle["message"].rpartition("\n")[2]
            self.tell(f"{bundle['id']} {bundle['text']} {latest}")
            return
        self.advance()
        status = Status(bundle["status"])
        seconds = sum(step["seconds"] for step in bundle["steps"])
        style = STYLES[status]
        head = f"[{style}]{ICONS[status]} {status:8}[/{style}]"
        self._console.print(f"  {head} {bundle['id']:<7} {_shown(bundle['text'])} [dim]{seconds:.1f} s[/dim]")
        if bundle["waiver"]:
            self._console.print(f"      {_shown(str(Waived(**bundle['waiver'])))}")
        for step in bundle["steps"]:
            if step["status"] in self._explained:
                self._console.print(f"      {_shown(step['title'])}: {_shown(_why(step))}")
                if step["remedy"]:
                    self._console.print(f"      do next: {_shown(step['remedy'])}")

    def phase_ended(self, summary: PhaseSummary) -> None:
        """Say so where the phase did not pass."""
        if summary.outcome != "passed":
            self._console.print(f"  [bold red]phase {_shown(summary.outcome)}[/bold red]: {_shown(summary.reason)}")


def _bar(console: Console) -> Progress:
    """One line as wide as the terminal, of which nothing stays; what it shows is text, never markup."""
    return Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(12),
        TaskProgressColumn("{task.completed:.0f} of {task.total}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[latest]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    )


def visible(text: str) -> str:
    """`text` with control and format characters by their codes: what a target sends may not steer the terminal."""
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs")
        else character
        for character in text
    )


def _shown(text: str) -> str:
    """`text` as markup that shows it letter by letter."""
    return escape(visible(text))


def _why(step: Mapping[str, Any]) -> str:
    text = step["reason"] or f"observed {step['observed']}, expected {step['expected']}"
    return text if len(text) <= 600 else f"{text[:600]} … (whole in the notebook)"


def run_table(summary: RunSummary) -> Table:
    """Phase by phase: how many items have each status, and seconds."""
    title = f"{summary.run.environment} {summary.opened.get('release', '')} run {summary.run.id}"
    table = Table(title=_shown(title))
    table.add_column("phase")
    for status in ("passed", "failed", "error", "pending", "other"):
        table.add_column(status, justify="right")
    table.add_column("seconds", justify="right")
    shown = (Status.PASSED, Status.FAILED, Status.ERROR, Status.PENDING)
    for phase in summary.phases:
        other = sum(phase.counts.values()) - sum(phase.counts[status] for status in shown)
        numbers = [str(phase.counts[status] or "·") for status in shown]
        mark = "" if phase.outcome == "passed" else f" ({_shown(phase.outcome)})"
        table.add_row(
            f"{phase.phase.number:2} {phase.phase.title}{mark}", *numbers, str(other or "·"), f"{phase.seconds:.1f}"
        )
    return table


def plan_lines(planned: Iterable[PlannedItem]) -> Iterator[str]:
    """The plan as lines of markup: phase, item, and each of its steps."""
    for phase, items in groupby(planned, key=lambda entry: entry.phase):
        yield f"[bold]{phase.number} {escape(phase.title)}[/bold]  [dim]{phase.notebook}[/dim]"
        for entry in items:
            if all(step.name == "not_built" for step in entry.steps):
                yield f"  {entry.item.id:<7} {escape(entry.item.text)}  [yellow]pending: not built[/yellow]"
                continue
            yield f"  {entry.item.id:<7} {escape(entry.item.text)}"
            for step in entry.steps:
                yield f"          [dim]{step.kind:6}[/dim] {_shown(step.title)}"
