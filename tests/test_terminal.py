"""What a person sees in the terminal, with colours and without."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from runbook_lib import card, checklist, terminal
from runbook_lib.planning import PlannedItem
from runbook_lib.record.archive import Run
from runbook_lib.record.result import MIME, ItemResult, StepResult
from runbook_lib.record.summary import PhaseSummary, RunSummary
from runbook_lib.step import Finding, Kind, Status, action, attest, check, not_built
from runbook_lib.terminal import TerminalWatcher

ESCAPE = "\x1b"
STYLED = re.compile(r"\x1b\[[0-9;]*m")
CURSOR = re.compile(r"\x1b\[(?:\?25[lh]|[0-9]*[AKG])")
"""What the live line itself needs."""


class Screen:
    """A console that records, and what it was given to show."""

    def __init__(self, *, colours: bool, width: int = 100) -> None:
        self._file = io.StringIO()
        self.console = Console(
            file=self._file,
            width=width,
            record=True,
            force_terminal=colours,
            color_system="truecolor" if colours else None,
            legacy_windows=False,
            _environ={},
        )
        self.watcher = TerminalWatcher(self.console)

    @property
    def raw(self) -> str:
        return self._file.getvalue()

    @property
    def text(self) -> str:
        return STYLED.sub("", self.raw)


@pytest.fixture(params=[False, True], ids=["plain", "colours"])
def screen(request):
    return Screen(colours=request.param)


def step(status=Status.PASSED, **given):
    values = {
        "name": "module.name",
        "kind": "check",
        "title": "Is sound",
        "arguments": {},
        "status": status,
        "observed": "seen",
        "expected": "wanted",
        "reason": "",
        "remedy": "mend it",
        "seconds": 0.5,
    }
    return StepResult(**values | given)


def bundle(*steps, id="9.4", text="Redis connectivity"):
    return card.bundle(ItemResult(id, text, steps or (step(),)))[MIME]


@pytest.mark.parametrize("status", list(Status))
def test_an_item_is_one_line_with_its_status_and_seconds(screen, status):
    screen.watcher.result(bundle(step(status, seconds=1.0), step(status, seconds=0.25)))
    first = screen.text.splitlines()[0]
    assert first == f"  {card.ICONS[status]} {status:8} 9.4     Redis connectivity 1.2 s"


@pytest.mark.parametrize("status", [Status.FAILED, Status.ERROR])
def test_what_went_wrong_stands_below_with_what_to_do_next(screen, status):
    reason = "" if status is Status.FAILED else "nobody answered"
    screen.watcher.result(bundle(step(), step(status, title="The cache answers", reason=reason)))
    why = reason or "observed seen, expected wanted"
    assert screen.text.splitlines()[1:] == [f"      The cache answers: {why}", "      do next: mend it"]


def test_without_a_remedy_nothing_is_said_of_it(screen):
    screen.watcher.result(bundle(step(Status.FAILED, remedy="")))
    assert "do next" not in screen.text


@pytest.mark.parametrize("status", [Status.PASSED, Status.PENDING, Status.SKIPPED, Status.PLANNED, Status.WAIVED])
def test_what_did_not_go_wrong_is_not_explained(screen, status):
    screen.watcher.result(bundle(step(status, reason="somebody is awaited")))
    assert len(screen.text.splitlines()) == 1


def test_colours_come_by_status_and_only_where_there_are_colours():
    coloured, plain = Screen(colours=True), Screen(colours=False)
    for shown in (coloured, plain):
        shown.watcher.result(bundle(step(Status.FAILED)))
    assert "\x1b[1;31m✘ failed" in coloured.raw, "bold red"
    assert ESCAPE not in plain.raw
    assert coloured.text == plain.text


def test_every_status_has_a_style_and_an_icon():
    assert set(terminal.STYLES) == set(Status)
    assert set(Status) <= set(card.ICONS)


def test_markup_of_a_target_is_shown_as_text(screen):
    evil = "[red]x[/red] [/] [link=https://evil.example]y[/link]"
    screen.watcher.result(bundle(step(Status.FAILED, title=evil, observed=evil, remedy=evil), text=evil))
    assert screen.text.count("[red]x[/red] [/]") == 4
    assert screen.text.count("[link=") == 4


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("\x1b[2J\x1b[31m", r"\x1b[2J\x1b[31m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("100 %\r 0 %", r"100 %\r 0 %"),
        ("\x9b1A", r"\x9b1A"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud800", r"\ud800"),
    ],
    ids=["colour", "title", "carriage return", "eight bit", "right to left", "surrogate"],
)
def test_a_target_cannot_steer_the_terminal(screen, sent, shown):
    screen.watcher.result(bundle(step(Status.FAILED, observed=sent, title=sent, remedy=sent), text=sent))
    assert screen.text.count(shown) == 4
    assert ESCAPE not in screen.text


@given(st.text(max_size=60))
def test_no_text_breaks_a_line_or_escapes(sent):
    shown = Screen(colours=True, width=400)
    shown.watcher.result(bundle(step(Status.ERROR, reason=sent, title=sent, remedy=sent), text=sent))
    assert ESCAPE not in shown.text


def test_a_long_reason_is_cut_and_says_where_the_whole_is(screen):
    screen.watcher.result(bundle(step(Status.ERROR, reason="x" * 601)))
    seen = screen.text.replace("\n", "")
    assert "x" * 600 in seen
    assert "x" * 601 not in seen
    assert "… (whole in the notebook)" in screen.text.replace("\n", " ")


def test_a_reason_that_just_fits_is_whole(screen):
    screen.watcher.result(bundle(step(Status.ERROR, reason="x" * 600)))
    assert "x" * 600 in screen.text.replace("\n", "")
    assert "whole in the notebook" not in screen.text


def test_the_gates_bundle_is_told_by_the_phase_instead(screen):
    screen.watcher.result(card.gate("Testing", False, "not passed: 4.1")[MIME])
    assert screen.raw == ""


def test_the_phase_is_a_heading(screen):
    screen.watcher.phase_started(checklist.phase(4))
    assert screen.text == f"4 {checklist.phase(4).title}\n"


@pytest.mark.parametrize("outcome", ["failed", "interrupted", "killed"])
def test_a_phase_that_did_not_pass_says_why(screen, outcome):
    summary = PhaseSummary(checklist.phase(4), outcome, "not passed: [4.1]", Counter(), 1.0)
    screen.watcher.phase_ended(summary)
    assert screen.text == f"  phase {outcome}: not passed: [4.1]\n"


def test_a_phase_that_passed_says_nothing_more(screen):
    screen.watcher.phase_ended(PhaseSummary(checklist.phase(4), "passed", "", Counter(), 1.0))
    assert screen.raw == ""


def running(message):
    return card.running("9.4", "Redis connectivity", message)[MIME]


def bar(screen):
    """The lines of the live bar, as they stand."""
    lines = screen.console.render_lines(screen.watcher._bar.get_renderable(), pad=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


def test_the_live_bar_counts_the_phases_items_and_leaves_nothing():
    screen = Screen(colours=True, width=160)
    with screen.watcher.live() as watcher:
        watcher.phase_started(checklist.phase(9))
        watcher.result(bundle())
        watcher.result(running("asking"))
        (live,) = bar(screen)
        watcher.phase_started(checklist.phase(10))
        (next_one,) = bar(screen)
    assert re.search(r"9 Post-deployment verification \S+ 1 of 10 9.4 Redis connectivity asking$", live)
    assert "10 Monitoring setup" in next_one
    assert f" 0 of {len(checklist.phase(10).items)}" in next_one
    assert screen.raw.rstrip().endswith(("\x1b[2K", "\x1b[?25h")), "the last thing written takes the bar away"
    kept = CURSOR.sub("\n", screen.text).replace("\r", "\n").splitlines()
    assert [line for line in kept if "passed" in line] == ["  ✔ passed   9.4     Redis connectivity 0.5 s"]


def test_of_a_logs_tail_the_live_bar_shows_the_latest():
    screen = Screen(colours=True)
    with screen.watcher.live() as watcher:
        watcher.result(running("first line\nsecond line"))
        (live,) = bar(screen)
    assert live.endswith("Redis connectivity second line")
    assert "first line" not in live


def test_where_there_is_no_terminal_there_is_no_bar():
    screen = Screen(colours=False)
    with screen.watcher.live() as watcher:
        watcher.phase_started(checklist.phase(9))
        watcher.result(running("asking"))
    assert screen.raw == f"9 {checklist.phase(9).title}\n"


def test_with_no_color_neither_bar_nor_lines_have_colours():
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, legacy_windows=False, _environ={"NO_COLOR": "1"})
    with TerminalWatcher(console).live() as watcher:
        watcher.phase_started(checklist.phase(9))
        watcher.result(bundle(step(Status.FAILED)))
        watcher.tell("asking")
    styles = {number for style in re.findall(r"\x1b\[([0-9;]*)m", file.getvalue()) for number in style.split(";")}
    assert styles <= {"", "0", "1", "2"}, "bold and dim are no colours"
    assert "✘ failed" in re.sub(STYLED, "", file.getvalue())


def test_without_a_live_bar_what_runs_is_not_shown(screen):
    screen.watcher.result(running("asking"))
    screen.watcher.tell("asking")
    assert screen.raw == ""


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("width", [10, 40, 200])
def test_the_live_bar_is_one_line_no_wider_than_the_terminal(width, begun):
    shown = Screen(colours=True, width=width)
    with shown.watcher.live() as watcher:
        if begun:
            watcher.begin(checklist.phase(9))
        watcher.tell("one\ntwo\r\x1b[2Jthree\t" + "x" * 500)
        (line,) = bar(shown)
    assert "\n" not in line
    assert ESCAPE not in line
    assert len(line) <= width


def test_markup_in_the_live_bar_is_text():
    shown = Screen(colours=True)
    with shown.watcher.live() as watcher:
        watcher.tell("[red]x[/red] [/]")
        (line,) = bar(shown)
    assert line.endswith("[red]x[/red] [/]")


def summary(*phases, environment="mini", release="v1"):
    return RunSummary(
        run=Run(Path(environment) / "20260301T120000Z-v1"),
        opened={"release": release},
        started="2026-03-01T12:00:00+00:00",
        phases=phases,
        items={},
        unfinished=(),
        closed=None,
        sealed=False,
    )


def rows(screen, run):
    """The table's cells, by row."""
    screen.console.print(terminal.run_table(run))
    lines = [line for line in screen.text.splitlines() if "│" in line]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_the_table_counts_by_phase(screen):
    counts = Counter({Status.PASSED: 3, Status.FAILED: 1, Status.SKIPPED: 2, Status.WAIVED: 1, Status.PLANNED: 1})
    sound = PhaseSummary(checklist.phase(4), "passed", "", Counter({Status.PASSED: 3}), 61.25)
    broken = PhaseSummary(checklist.phase(12), "failed", "not passed: 12.2.1", counts, 2.0)
    assert rows(screen, summary(sound, broken)) == [
        [f"4 {checklist.phase(4).title}", "3", "·", "·", "·", "·", "61.2"],
        [f"12 {checklist.phase(12).title} (failed)", "3", "1", "·", "·", "4", "2.0"],
    ]
    assert "mini v1 run 20260301T120000Z-v1" in screen.text


def test_the_table_of_a_run_that_has_not_begun(screen):
    assert rows(screen, summary()) == []
    assert "mini v1 run" in screen.text


def test_the_table_fits_a_narrow_terminal():
    narrow = Screen(colours=False, width=50)
    narrow.console.print(terminal.run_table(summary(PhaseSummary(checklist.phase(9), "failed", "", Counter(), 1.0))))
    assert max(len(line) for line in narrow.text.splitlines()) <= 50


def test_markup_in_names_of_the_table_is_text(screen):
    screen.console.print(terminal.run_table(summary(environment="[red]mini", release="[/]\x1b[2J")))
    assert r"[red]mini [/]\x1b[2J run" in " ".join(screen.text.split())
    assert ESCAPE not in screen.text


def planned(*entries):
    return [
        PlannedItem(checklist.phase(number), checklist.phase(number).item(id), steps) for number, id, steps in entries
    ]


def show_plan(screen, plan):
    for line in terminal.plan_lines(plan):
        screen.console.print(line, soft_wrap=True)
    return screen.text.splitlines()


def sound(title, binder=check):
    return binder(title)(lambda: Finding(True, "", ""))()


def test_the_plan_lists_phases_items_and_steps(screen):
    plan = planned(
        (2, "2.1", (sound("Install", action), sound("Is consistent"))),
        (15, "15.1.1", (attest("The team is trained"),)),
    )
    assert show_plan(screen, plan) == [
        f"2 {checklist.phase(2).title}  02_dependencies.ipynb",
        f"  2.1     {checklist.phase(2).item('2.1').text}",
        "          action Install",
        "          check  Is consistent",
        "15 Team handoff  15_team_handoff.ipynb",
        "  15.1.1  Train operations team",
        "          attest The team is trained",
    ]


def test_what_is_not_built_is_said_to_be_pending(screen):
    lines = show_plan(screen, planned((9, "9.1.2", (not_built("Test QR scanning"),))))
    assert lines[1] == "  9.1.2   Test QR scanning  pending: not built"
    assert len(lines) == 2


def test_markup_in_a_steps_title_is_text(screen):
    (_, _, line) = show_plan(screen, planned((2, "2.1", (sound("[red]Install[/red] [/]\x1b[2J"),))))
    assert line == r"          check  [red]Install[/red] [/]\x1b[2J"


def test_an_empty_plan_has_no_line():
    assert list(terminal.plan_lines([])) == []


def test_every_kind_of_step_is_as_wide_as_its_column():
    assert max(len(kind) for kind in Kind) == 6
