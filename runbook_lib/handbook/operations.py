"""Pages for whoever is woken up: common issues, escalation, on-call."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from runbook_lib import checklist, runner
from runbook_lib.checks import escalation as duty
from runbook_lib.environment import Environment
from runbook_lib.errors import RecordError
from runbook_lib.handbook.writing import publish, unsaid
from runbook_lib.pages import Page, Section
from runbook_lib.planning import PlannedItem
from runbook_lib.record import archive
from runbook_lib.release import Release
from runbook_lib.step import Finding, Status, Step, Table, action

RUNS: Final = 30
"""How many of the environment's latest runs are read."""
FAILURES: Final = 100
"""How many of the latest failures are shown."""
_SHORT: Final = 300


@dataclass(frozen=True)
class Failure:
    """A step that did not pass in an earlier run, or earlier in this one."""

    time: str
    run: str
    item: str
    step: str
    seen: str
    remedy: str


@dataclass(frozen=True)
class History:
    """What the archive tells: failures, newest first, and each step's latest remedy by its name."""

    runs: int
    unreadable: tuple[str, ...]
    failures: tuple[Failure, ...]
    remedies: Mapping[str, str]


def history(env: Environment) -> History:
    """Read the latest :data:`RUNS` runs of the environment; a damaged one is named, and the others are read."""
    failures: list[Failure] = []
    remedies: dict[str, str] = {}
    unreadable = []
    latest = archive.runs(env.name)[-RUNS:]
    for run in latest:
        try:
            finished = [event for event in run.events.read() if event.name == "step finished"]
        except RecordError as error:
            unreadable.append(f"{run.id}: {error}")
            continue
        for event in finished:
            data = event.data
            if data.get("remedy"):
                remedies[data["name"]] = data["remedy"]
            if data["status"] in (Status.FAILED, Status.ERROR):
                failures.append(_failure(run.id, event.time, data))
    failures.sort(key=lambda failure: failure.time, reverse=True)
    return History(len(latest), tuple(unreadable), tuple(failures), remedies)


def _failure(run: str, time: str, data: Mapping[str, Any]) -> Failure:
    seen = data["reason"] or data["observed"]
    text = seen if isinstance(seen, str) else json.dumps(seen, ensure_ascii=False)
    shortened = text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
    return Failure(time, run, data["item"], data["name"], f"{data['status']}: {shortened}", data["remedy"])


@action("Write the handbook's page of common issues")
def common_issues(env: Environment, release: Release) -> Finding:
    """13.2.1: what each step looks at, what to do where it does not pass, and what did not pass before.

    The remedies and the failures are those that the archive holds of this environment.

    Raises
    ------
    Unanswerable
        The project's documents cannot be read, or the folder cannot be written to.
    """
    past = history(env)
    planned = runner.plan(env, release, checklist.phases())
    shown = past.failures[:FAILURES]
    rows = tuple((each.time, each.run, each.item, each.step, each.seen, each.remedy) for each in shown)
    about = [
        f"Runs that were read: {past.runs}, at most the latest {RUNS}.",
        f"Steps that did not pass in them: {len(past.failures)}.",
    ]
    if len(shown) < len(past.failures):
        about.append(f"The latest {len(shown)} are shown.")
    about += [f"This run could not be read: {each}" for each in past.unreadable]
    page = Page(
        "common-issues",
        f"{env}: common issues and what to do",
        (
            "Find the item that did not pass. The same remedy stands beside it in the executed notebook.",
            "A step that never told a remedy has none here: read what it looks at, and its notebook.",
        ),
        (
            Section(
                "What did not pass before",
                about,
                Table(("time", "run", "item", "step", "what was seen", "what to do"), rows, "What did not pass before"),
            ),
            *_sections(planned, past),
            unsaid(env, release, {"common issues": ("troubleshoot", "common issue", "known issue", "common problem")}),
        ),
    )
    return publish(env, page)


def _sections(planned: Sequence[PlannedItem], past: History) -> Iterable[Section]:
    counts = Counter((failure.item, failure.step) for failure in past.failures)
    for phase in checklist.phases():
        rows = tuple(
            (
                each.item.id,
                step.title,
                looks_at(step),
                past.remedies.get(step.name, ""),
                counts[each.item.id, step.name],
            )
            for each in planned
            if each.phase == phase
            for step in each.steps
        )
        title = f"{phase.number} {phase.title}"
        columns = ("item", "step", "what it looks at", "what to do", "times not passed")
        yield Section(title, (), Table(columns, rows, title))


def looks_at(step: Step) -> str:
    """The first sentence that a step's function says of itself; nothing where that is no function of ours."""
    function = step.function.func if isinstance(step.function, functools.partial) else None
    told = inspect.getdoc(function) if function is not None else None
    sentence = " ".join((told or "").partition("\n\n")[0].split())
    return re.sub(
        r":\w+:`~?([^`]*)`|``([^`]*)``|`([^`]*)`", lambda match: next(filter(None, match.groups()), ""), sentence
    )


@action("Write the handbook's page on escalation")
def escalation(env: Environment, release: Release) -> Finding:
    """13.2.2: whom to call, and whom after how many minutes, from ``documentation.escalation`` and the contacts.

    Raises
    ------
    Unanswerable
        As :func:`common_issues`.
    """
    contacts = {contact.role: contact for contact in env.contacts}
    rows = []
    for step in env.documentation.escalation:
        contact = contacts.get(step.role)
        reach = (contact.name, contact.email, contact.phone) if contact else ("(no such contact)", "", "")
        rows.append((f"{step.after_minutes:g}", step.role, *reach))
    page = Page(
        "escalation",
        f"{env}: escalation",
        (
            "Call the first at once. Where the problem still stands after so many minutes, call the next as well; "
            "do not wait for an answer from whom you called before.",
        ),
        (
            Section(
                "Whom to call",
                (),
                Table(("after minutes", "role", "name", "e-mail", "phone"), tuple(rows), "Escalation"),
            ),
            Section("All contacts", (), duty.contact_table(env)),
            unsaid(env, release, {"escalation": ("escalat", "emergency contact")}),
        ),
    )
    return publish(env, page)


@action("Write the handbook's page on being on call")
def on_call(env: Environment, release: Release) -> Finding:
    """13.2.3: who is on call and when, and what to do first, from ``documentation.on_call`` and the contacts.

    Raises
    ------
    Unanswerable
        As :func:`common_issues`.
    """
    rota = env.documentation.on_call
    table = duty.rota_table(env, rota, datetime.now(UTC).date()) if rota else None
    minutes = f"{rota.acknowledge_minutes:g} minutes" if rota else "the time agreed on"
    page = Page(
        "on-call",
        f"{env}: being on call",
        (f"Whoever is on call answers an alert within {minutes}; else it escalates.",),
        (
            Section("Who is on call", () if rota else ("No rota is declared.",), table),
            Section(
                "First steps",
                (
                    f"1. Is the service healthy? {env.web.address(env.web.health[0].path)}",
                    f"2. What ran last, and how did it end? runbook list {env}, then runbook show RUN.",
                    "3. What was seen before, and what helped? The page of common issues.",
                    "4. Was something deployed shortly before? The page on rolling back.",
                    "5. Is data lost? The page on recovering.",
                    "6. Call the next in the page on escalation when its minutes are over.",
                ),
            ),
            Section(
                "Dashboards",
                () if env.documentation.dashboards else ("None is declared.",),
                Table(("name", "URL"), tuple(env.documentation.dashboards.items()), "Dashboards"),
            ),
            unsaid(env, release, {"being on call": ("on-call", "on call")}),
        ),
    )
    return publish(env, page)
