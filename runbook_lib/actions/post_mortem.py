"""What went wrong, written from the event log while everybody still remembers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from runbook_lib import pages, platforms
from runbook_lib import release as releases
from runbook_lib.actions.exchange import RESTORED
from runbook_lib.actions.predecessor import ROLLED_BACK, Deployment, deployment_of
from runbook_lib.checklist import ROLLBACK
from runbook_lib.checks import database, http
from runbook_lib.environment import Environment
from runbook_lib.errors import Unresolved
from runbook_lib.home import home
from runbook_lib.pages import Page, Section
from runbook_lib.platforms import log_lines
from runbook_lib.record.archive import Facts, Run
from runbook_lib.record.events import Event
from runbook_lib.record.masking import Mask
from runbook_lib.step import Evidence, Finding, Status, Table, action

LOG_LINES: Final = 40
STEPS: Final = ("item", "step", "status", "seconds")
TOLD: Final = ("observed", "expected", "reason", "remedy")
FAILING: Final = (Status.FAILED, Status.ERROR)


@action("Write the post-mortem")
def write(env: Environment, run: Run) -> Finding:
    """R.3.1: timeline, failing checks, what was restored, seconds for each step, the service's log, the state now.

    Raises
    ------
    Unanswerable
        No run has recorded a deployment that could be taken back.
    """
    found = deployment_of(run)
    failing = list(_failing(found.run))
    page = pages.masked(_page(env, run, found, failing), Mask(home().root).learn(env.secrets()))
    return Finding(
        ok=True,
        observed={"did not pass": [item["id"] for item in failing] or "nothing", "state now": state(env)},
        expected="a document from the event log; people add the cause and what is to change",
        tables=(Table(STEPS, _steps(run), "The rollback, step by step"),),
        evidence=(
            Evidence("post-mortem.md", pages.markdown(page)),
            Evidence("post-mortem.html", pages.html(page)),
        ),
    )


def state(env: Environment) -> dict[str, str]:
    """What is true now of traffic, release, services and schema; what cannot be found out says so."""
    return {
        "traffic": _told(lambda: f"users get: {http.examine(env, env.web.health[0]).observed}"),
        "release": _told(lambda: platforms.connect(env).deployed() or "none"),
        "services": _told(
            lambda: ", ".join(f"{one.name} {one.state}" for one in platforms.connect(env).services()) or "none"
        ),
        "schema": _told(lambda: _schema(env)),
    }


def _schema(env: Environment) -> str:
    with database.connected(env) as connection:
        return f"revision {database.revision(connection)}"


def _told(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Unresolved as error:
        return f"could not be found out: {error}"


def _page(env: Environment, run: Run, found: Deployment, failing: Sequence[Mapping[str, Any]]) -> Page:
    opened = found.run.events.read()[0].data
    told = (
        f"Deployed by {opened['operator']} from {found.at:%Y-%m-%d %H:%M:%S} UTC in run {found.run.id}.",
        f"Rollback to {found.previous} in run {run.id}.",
        *_outage(run),
        *(() if failing else (f"Every item of run {found.run.id} passed: a person asked for the rollback.",)),
    )
    rows = tuple(_timeline(found.run, run))
    sections = (
        *_failures(failing),
        Section("What was restored", tuple(_restored(run))),
        Section("The state when this was written", table=Table(("what", "state"), tuple(state(env).items()))),
        *_by_hand(run),
        Section("How long each step of the rollback took", table=Table(STEPS, _steps(run))),
        Section("Timeline (UTC)", table=Table(("time", "run", "what", "outcome", "seconds"), rows)),
        *_logs(env, found, str(opened["release"]), _began(run)),
        Section(
            "To be written by people",
            ("Cause:", "Why no earlier phase noticed it:", "What is to change, by whom, until when:"),
        ),
    )
    return Page("post-mortem", f"Post-mortem: {opened['release']} on {env.name}", told, sections)


def _failing(run: Run) -> Iterator[dict[str, Any]]:
    """The items of the deployment whose last result is failed or error."""
    latest = {
        event.data["id"]: event.data
        for event in run.events.read()
        if event.name == "item finished" and event.data["phase"] != ROLLBACK
    }
    yield from (item for item in latest.values() if item["status"] in FAILING)


def _failures(items: Iterable[Mapping[str, Any]]) -> Iterator[Section]:
    """For each failing step what it observed, expected and advised, and where its evidence lies."""
    for item in items:
        for step in item["steps"]:
            if step["status"] not in FAILING:
                continue
            kept = (f"Evidence: {file['path']}, SHA-256 {file['sha256']}" for file in step["evidence"])
            seen = (f"{name}: {_json(step[name])}" for name in TOLD if step[name])
            yield Section(
                f"{item['id']} {item['text']}: {item['status']}", (step["title"], *kept), commands=tuple(seen)
            )


def _restored(run: Run) -> Iterator[str]:
    facts = Facts(run)
    release, data = facts.get(ROLLED_BACK), facts.get(RESTORED)
    yield f"Release: {release['from']} → {release['to']}" if release else "Release: not restored"
    if data is None:
        yield "Database: not restored; R.1.3 says why"
        return
    yield f"Database: from {data['from']}"
    yield f"What was written since that backup: in the dump {data['kept']}"
    yield f"The database as it was: {data['old database']}; drop it when nobody needs it any more"


def _by_hand(run: Run) -> Iterator[Section]:
    """What a person has to do where the rollback itself did not pass."""
    left = [event.data for event in _of_rollback(run, "step finished") if event.data["status"] in FAILING]
    if left:
        rows = tuple(
            (step["item"], step["title"], step["reason"] or f"observed {_json(step['observed'])}", step["remedy"])
            for step in left
        )
        title = "The rollback did not finish: to be done by hand"
        yield Section(title, table=Table(("item", "step", "what was seen", "do next"), rows))


def _of_rollback(run: Run, name: str) -> Iterator[Event]:
    """Events of this pass through notebook 90."""
    events = [event for event in run.events.read() if event.data.get("phase") == ROLLBACK]
    starts = [index for index, event in enumerate(events) if event.name == "phase started"]
    yield from (event for event in events[starts[-1] if starts else 0 :] if event.name == name)


def _began(run: Run) -> datetime:
    started = next(_of_rollback(run, "phase started"), None)
    return datetime.fromisoformat(started.time) if started else datetime.now(UTC)


def _steps(run: Run) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        (event.data["item"], event.data["title"], event.data["status"], event.data["seconds"])
        for event in _of_rollback(run, "step finished")
    )


def _outage(run: Run) -> Iterator[str]:
    """For how long users were turned away."""
    moments = {
        event.data["name"]: datetime.fromisoformat(event.time)
        for event in _of_rollback(run, "step finished")
        if event.data["status"] == Status.PASSED
    }
    closed, opened = moments.get("edge.close"), moments.get("edge.reopen")
    if closed and opened:
        yield f"Users were turned away for {(opened - closed).total_seconds():.0f} s."
    elif closed:
        yield f"Users are turned away since {closed:%Y-%m-%d %H:%M:%S} UTC."


def _timeline(*runs: Run) -> Iterator[tuple[Any, ...]]:
    events = [(event, run.id) for run in dict.fromkeys(runs) for event in run.events.read()]
    for event, run in sorted(events, key=lambda pair: pair[0].time):
        time, data = f"{datetime.fromisoformat(event.time):%Y-%m-%d %H:%M:%S}", event.data
        match event.name:
            case "run opened":
                yield time, run, f"run opened by {data['operator']}", "", ""
            case "phase started":
                yield time, run, f"phase {data['phase']} started", "", ""
            case "item finished":
                seconds = f"{sum(step['seconds'] for step in data['steps']):.1f}"
                yield time, run, f"{data['id']} {data['text']}", data["status"], seconds
            case "phase ended":
                yield time, run, f"phase {data['phase']} ended", f"{data['outcome']} {data['reason']}", ""


def _logs(env: Environment, found: Deployment, tag: str, until: datetime) -> Iterator[Section]:
    """The end of what the deployed release's own services logged while they ran."""
    title = "The last log lines of what was deployed"
    try:
        platform = platforms.connect(env)
        brought = {image.service for image in platform.tagged(releases.find(env, tag))}
        services = [name for name in env.platform.services if name in brought]
        if not services:
            yield Section(title, (f"No service is known to have run {tag}, for it has no images.",))
        for service in services:
            lines = tuple(_until(platform.logs(service, since=found.at), until))[-LOG_LINES:]
            yield Section(f"{title}: {service}", commands=lines or ("(nothing logged)",))
    except Unresolved as error:
        yield Section(title, (f"The logs could not be read: {error}",))


def _until(log: str, end: datetime) -> Iterator[str]:
    for line in log.splitlines():
        written = log_lines.moment(line)
        if written is not None and written > end:
            return
        yield line


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
