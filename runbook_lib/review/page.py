"""The review of a run: one HTML file that needs nothing else, made from the record and deletable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_lib import checklist
from runbook_lib.card import ICONS, shorten
from runbook_lib.errors import RecordError
from runbook_lib.pages import standalone
from runbook_lib.record import keys
from runbook_lib.record.archive import Run, write_atomically
from runbook_lib.record.attestation import APPROVED
from runbook_lib.record.events import Event
from runbook_lib.record.keys import Trust
from runbook_lib.record.seal import signed_off, standing, state
from runbook_lib.record.summary import ATTESTED, WAIVED, RunSummary, of_phase, summarize
from runbook_lib.record.verify import Verification, verify
from runbook_lib.review.kept import Reader, series
from runbook_lib.step import Status

NAME = "review.html"
SETTLED = "It waited when the notebook ended; the word that it waited for came afterwards."
WIDTH = 1000
"""Units of the drawn timeline's width."""


@dataclass(frozen=True)
class Bar:
    """One pass through a phase on the timeline: `left` and `width` of :data:`WIDTH`, seconds, how it ended."""

    title: str
    started: str
    seconds: float
    outcome: str
    left: float
    width: float


def write(run: Run, out: Path | None = None) -> Path:
    """Write the review beside the run's record, or to `out`; what cannot be read is said in it."""
    path = out or run.folder / NAME
    # A crash must leave nothing in the folder of a sealed run.
    write_atomically(
        path, html(run, keys.trust_of(run.environment)).encode(), by=path.parent if out else run.folder.parent
    )
    return path


def refresh(run: Run) -> str:
    """Write the review after something has happened; why that failed, as a sentence, for it may not stop anything."""
    try:
        write(run)
    except Exception as error:  # the record is whole without it
        return f"{NAME} could not be written ({type(error).__name__}: {error}); to try again: runbook review {run}"
    return ""


def html(run: Run, trust: Trust) -> str:
    """The review; whatever a target sent is text in it, never markup."""
    made, verification = datetime.now(UTC).isoformat(timespec="seconds"), verify(run, trust)
    given: dict[str, Any] = {"summary": None, "missing": verification.faults}
    try:
        events, summary = run.events.read(), signed_off(summarize(run), standing(run, trust))
    except RecordError as error:
        given["missing"] = [str(error), *verification.faults]
    else:
        given = _content(run, summary, events)
    return standalone(
        "review",
        run=run,
        made=made,
        verification=verification,
        standing=_standing(verification),
        verdict=_verdict(given["summary"], verification),
        icons=ICONS,
        shorten=shorten,
        **given,
    )


def _content(run: Run, summary: RunSummary, events: tuple[Event, ...]) -> dict[str, Any]:
    reader = Reader(run)
    phases = [_phase(run, summary, phase.phase, reader) for phase in summary.phases]
    bars = _bars(events)
    return {
        "summary": summary,
        "phases": phases,
        "bars": bars,
        "loads": [
            {"item": item["id"], "status": step["status"], "observed": step["observed"]}
            for each in phases
            for item in each["items"]
            for step in item["steps"]
            if step["series"]
        ],
        "width": WIDTH,
        "words": [event for event in events if event.name in (ATTESTED, WAIVED, APPROVED)],
        "waived": list(_waived_beforehand(summary, events)),
        "superseded": list(_superseded(events)),
        "missing": [*_missing(run, summary), *reader.missing],
    }


def _phase(run: Run, summary: RunSummary, phase: checklist.Phase, reader: Reader) -> dict[str, Any]:
    items = [_item(run, item, reader) for item in of_phase(phase, summary.items)]
    absent = [f"{item.id} {item.text}" for item in phase.items if item.id not in summary.items]
    return {"phase": phase, "items": items, "absent": absent}


def _item(run: Run, item: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    vouched = "attested" in item or "signed by" in item
    steps = []
    for step in item["steps"]:
        files = [reader.show(file) for file in step["evidence"]]
        # What was awaited has come, and stands with the item.
        settled = {"reason": "", "remedy": "", "note": SETTLED} if vouched and step["status"] == Status.PENDING else {}
        steps.append({"note": "", **step, **settled, "files": files, "series": series(run, step["evidence"])})
    given = [reader.show(file) for file in item.get("attested", {}).get("files", ())]
    return {**item, "steps": steps, "given": given}


def _missing(run: Run, summary: RunSummary) -> Iterator[str]:
    """What the page cannot tell, each as a sentence."""
    for phase in summary.phases:
        if not run.notebook(phase.phase).is_file():
            yield f"{phase.phase.notebook} is missing; its results are shown as events.jsonl has them"
        if phase.outcome == "running":
            yield f"phase {phase.phase.number} began, and nothing says that it ended"
    yield from (f"began and never ended: {step}" for step in summary.unfinished)
    if summary.closed is None and not summary.sealed:
        yield "the run is open, or was interrupted: nothing says how it ended"


def _waived_beforehand(summary: RunSummary, events: tuple[Event, ...]) -> Iterator[Mapping[str, Any]]:
    """The items that a waiver of the environment's TOML tolerates: no event tells of that person's word."""
    told = {event.data["item"] for event in events if event.name == WAIVED}
    yield from (item for id, item in summary.items.items() if item.get("waiver") and id not in told)


def _superseded(events: tuple[Event, ...]) -> Iterator[Event]:
    """Results of items that were run again, oldest first."""
    last = {event.data["id"]: event.number for event in events if event.name == "item finished"}
    yield from (event for event in events if event.name == "item finished" and event.number != last[event.data["id"]])


def _bars(events: tuple[Event, ...]) -> list[Bar]:
    passes: list[dict[str, Any]] = []
    for event in events:
        if event.name == "phase started":
            passes.append({"number": event.data["phase"], "from": event.time, "to": event.time, "outcome": "running"})
        elif event.name == "phase ended":
            # Two notebooks may be open in JupyterLab at once.
            latest: dict[str, Any] = next((p for p in reversed(passes) if p["number"] == event.data["phase"]), {})
            latest |= {"to": event.time, "outcome": event.data["outcome"]}
    if not passes:
        return []
    first = _moment(passes[0]["from"])
    whole = max((_moment(each["to"]) - first for each in passes), default=0.0) or 1.0
    return [_bar(each, first, whole) for each in passes]


def _bar(each: Mapping[str, Any], first: float, whole: float) -> Bar:
    start, seconds = _moment(each["from"]) - first, _moment(each["to"]) - _moment(each["from"])
    phase = checklist.phase(each["number"])
    left, width = WIDTH * start / whole, max(2.0, WIDTH * seconds / whole)
    title = f"{phase.number} {phase.title}"
    return Bar(title, each["from"], seconds, each["outcome"], round(min(left, WIDTH - 2), 1), round(width, 1))


def _moment(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _verdict(summary: RunSummary | None, verification: Verification) -> str:
    if summary is None or not summary.sealed:
        return summary.outcome if summary else ""
    return state(summary.outcome, verification.state)


def _standing(verification: Verification) -> str:
    return f"{verification.state}; what is there {'holds' if verification.holds else 'does not hold'}"
