"""What a person sees in the terminal: a line for each item as it happens, a live line below, a table at the end."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status as Spinner
from rich.table import Table

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
    """Shows a run while it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner: Spinner | None = None
        self._phase = ""

    @contextmanager
    def live(self) -> Iterator[TerminalWatcher]:
        """Keep the live line below everything printed within."""
        with self._console.status("starting", spinner="line") as self._spinner:
            yield self

    def tell(self, message: str) -> None:
        """Show `message` in the live line."""
        if self._spinner is not None:
            line = " ".join(visible(message).split())
            self._spinner.update(escape(line[: max(20, self._console.width - 4)]))

    def phase_started(self, phase: Phase) -> None:
        """Print the phase's heading."""
        self._phase = f"{phase.number} {phase.title}"
        self._console.print(f"[bold]{escape(self._phase)}[/bold]")
        self.tell(self._phase)

    def result(self, bundle: Mapping[str, Any]) -> None:
        """Print an item that ended; show one that runs in the live line."""
        if "gate" in bundle:
            return
        if bundle["status"] == "running":
            latest = bundle["message"].rpartition("\n")[2]
            self.tell(f"{self._phase} · {bundle['id']} {bundle['text']} {latest}")
            return
        status = Status(bundle["status"])
        seconds = sum(step["seconds"] for step in bundle["steps"])
        style = STYLES[status]
        head = f"[{style}]{ICONS[status]} {status:8}[/{style}]"
        self._console.print(f"  {head} {bundle['id']:<7} {_shown(bundle['text'])} [dim]{seconds:.1f} s[/dim]")
        if bundle["waiver"]:
            self._console.print(f"      {_shown(str(Waived(**bundle['waiver'])))}")
        for step in bundle["steps"]:
            if step["status"] in (Status.FAILED, Status.ERROR):
                self._console.print(f"      {_shown(step['title'])}: {_shown(_why(step))}")
                if step["remedy"]:
                    self._console.print(f"      do next: {_shown(step['remedy'])}")

    def phase_ended(self, summary: PhaseSummary) -> None:
        """Say so where the phase did not pass."""
        if summary.outcome != "passed":
            self._console.print(f"  [bold red]phase {summary.outcome}[/bold red]: {_shown(summary.reason)}")


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
        mark = "" if phase.outcome == "passed" else f" ({phase.outcome})"
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
