"""What went wrong, written from the event log while everybody still remembers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.actions import rollback
from runbook_lib.actions.rollback import Deployment
from runbook_lib.checklist import ROLLBACK
from runbook_lib.checks import database, http, logs
from runbook_lib.environment import Environment
from runbook_lib.errors import Unresolved
from runbook_lib.record import markdown
from runbook_lib.record.archive import Facts, Run
from runbook_lib.record.events import Event
from runbook_lib.record.markdown import block, table, text
from runbook_lib.step import Evidence, Finding, Status, Table, action

LOG_LINES: Final = 40
FAILING: Final = (Status.FAILED, Status.ERROR)


@action("Write the post-mortem")
def write(env: Environment, run: Run) -> Finding:
    """R.3.1: timeline, failing checks, what was restored, seconds for each step, the service's log, the state now.

    Raises
    ------
    Unanswerable
        No run has recorded a deployment that could be taken back.
    """
    found = rollback.deployment_of(run)
    now = state(env)
    failing = list(_failing(found.run))
    steps = _steps(run)
    document = "\n".join([*_document(env, run, found, failing, steps, now), ""])
    return Finding(
        ok=True,
        observed={"did not pass": [item["id"] for item in failing] or "nothing", "state now": now},
        expected="a document from the event log; people add the cause and what is to change",
        tables=(Table(("item", "step", "status", "seconds"), steps, "The rollback, step by step"),),
        evidence=(Evidence("post-mortem.md", document), Evidence("post-mortem.html", markdown.as_html(document))),
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


def _document(
    env: Environment,
    run: Run,
    found: Deployment,
    failing: Sequence[Mapping[str, Any]],
    steps: Sequence[tuple[Any, ...]],
    now: Mapping[str, str],
) -> Iterator[str]:
    opened = found.run.events.read()[0].data
    yield f"# Post-mortem: {text(opened['release'])} on {text(env.name)}\n"
    yield f"- Deployed by {text(opened['operator'])} from {found.at:%Y-%m-%d %H:%M:%S} UTC in run {text(found.run.id)}"
    yield f"- Rollback to {text(found.previous)} in run {text(run.id)}"
    yield from (f"- {text(line)}" for line in _outage(run))
    yield "\n## What did not pass\n"
    yield from (line for item in failing for line in _failure(item))
    if not failing:
        yield f"Every item of run {text(found.run.id)} passed: the rollback was asked for by a person.\n"
    yield "## What was restored\n"
    yield from _restored(run)
    yield "\n## The state when this was written\n"
    yield from table(("what", "state"), now.items())
    yield from _by_hand(run)
    yield "\n## How long each step of the rollback took\n"
    yield from table(("item", "step", "status", "seconds"), steps)
    yield "\n## Timeline (UTC)\n"
    yield from table(("time", "run", "what", "outcome", "seconds"), _timeline(found.run, run))
    yield "\n## The last log lines of what was deployed\n"
    yield from _logs(env, found, str(opened["release"]), _began(run))
    yield "\n## To be written by people\n"
    yield from ("- Cause:", "- Why no earlier phase noticed it:", "- What is to change, by whom, until when:")


def _failing(run: Run) -> Iterator[dict[str, Any]]:
    """The items of the deployment whose last result is failed or error."""
    latest = {
        event.data["id"]: event.data
        for event in run.events.read()
        if event.name == "item finished" and event.data["phase"] != ROLLBACK
    }
    yield from (item for item in latest.values() if item["status"] in FAILING)


def _failure(item: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {item['id']} {text(item['text'])}: {item['status']}\n"
    for step in item["steps"]:
        if step["status"] not in FAILING:
            continue
        seen = {name: step[name] for name in ("observed", "expected", "reason", "remedy") if step[name]}
        yield f"{text(step['title'])}\n"
        yield block("\n".join(f"{name}: {_json(value)}" for name, value in seen.items()))
        yield from (f"- Evidence: {text(kept['path'])}, SHA-256 {kept['sha256']}\n" for kept in step["evidence"])


def _restored(run: Run) -> Iterator[str]:
    facts = Facts(run)
    release, data = facts.get(rollback.ROLLED_BACK), facts.get(rollback.RESTORED)
    yield f"- Release: {text(release['from'])} → {text(release['to'])}" if release else "- Release: not restored"
    if data is None:
        yield "- Database: not restored; R.1.3 says why"
        return
    yield f"- Database: from {text(data['from'])}"
    yield f"- What was written since that backup: in the dump {text(data['kept'])}"
    yield f"- The database as it was: {text(data['old database'])}; drop it when nobody needs it any more"


def _by_hand(run: Run) -> Iterator[str]:
    """What a person has to do where the rollback itself did not pass."""
    left = [event.data for event in _of_rollback(run, "step finished") if event.data["status"] in FAILING]
    if left:
        yield "\n## The rollback did not finish: to be done by hand\n"
    for step in left:
        seen = step["reason"] or f"observed {_json(step['observed'])}"
        yield f"- {step['item']} {text(step['title'])}: {text(seen)}. Do next: {text(step['remedy'])}"


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
        yield f"Users were turned away for {(opened - closed).total_seconds():.0f} s"
    elif closed:
        yield f"Users are turned away since {closed:%Y-%m-%d %H:%M:%S} UTC"


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


def _logs(env: Environment, found: Deployment, tag: str, until: datetime) -> Iterator[str]:
    """The end of what the deployed release's own services logged while they ran."""
    try:
        platform = platforms.connect(env)
        brought = {image.service for image in platform.tagged(releases.find(env, tag))}
        services = [name for name in env.platform.services if name in brought]
        if not services:
            yield f"No service is known to have run {text(tag)}, for it has no images.\n"
        for service in services:
            lines = list(_between(platform.logs(service), found.at, until))[-LOG_LINES:]
            yield f"### {text(service)}\n"
            yield block("\n".join(lines) or "(nothing logged)")
    except Unresolved as error:
        yield f"The logs could not be read: {text(error)}\n"


def _between(log: str, start: datetime, end: datetime) -> Iterator[str]:
    for line in logs.since(log, start):
        written = logs.moment(line)
        if written is not None and written > end:
            return
        yield line


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
