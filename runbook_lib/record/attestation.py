"""A person's word, on record: what somebody attests, and what somebody decides to tolerate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from runbook_lib import checklist
from runbook_lib.checklist import Item, Phase
from runbook_lib.errors import ConfigurationError
from runbook_lib.record import archive, evidence, manifest
from runbook_lib.record.archive import Run, operator
from runbook_lib.record.earlier import RESUMED
from runbook_lib.record.events import Event
from runbook_lib.record.masking import Mask
from runbook_lib.record.result import Waived
from runbook_lib.record.summary import ATTESTED, WAIVED, RunSummary, rehearsed, summarize
from runbook_lib.step import Evidence, Finding, Kind, Status

APPROVED = "approval given"


def attest(run: Run, id: str, mask: Mask, *, person: str, note: str, files: Sequence[Path] = ()) -> None:
    """Record that `person` vouches for an item which waits for somebody.

    Parameters
    ----------
    files:
        Kept as evidence, each with its SHA-256; what is secret in text is masked.

    Raises
    ------
    ConfigurationError
        The item does not wait for anybody, or a file cannot be read; nothing is recorded.
    """
    with archive.closing(run):
        archive.refuse_sealed(run)
        _attest(run, id, mask, person=person, note=note, files=files)


def _attest(run: Run, id: str, mask: Mask, *, person: str, note: str, files: Sequence[Path]) -> None:
    phase, item = _find(id)
    _refuse_signed(item)
    summary = summarize(run)
    _refuse_phase(summary, phase, id)
    result = summary.items.get(id)
    if item.kind is not Kind.ATTEST and (result is None or result["status"] != Status.PENDING):
        seen = f"it is {result['status']}" if result else "it has not run yet"
        raise ConfigurationError(f"{id} does not wait for a person: {seen}. Only what is pending is attested.")
    _refuse_empty(id, person=person, note=note)
    contents = [evidence.masked(Evidence(path.name, _content(path)), mask) for path in files]
    kept = [run.keep(id, each.name, each.content) for each in contents]
    run.events.append(
        ATTESTED,
        phase=phase.number,
        item=id,
        person=mask.text(person),
        note=mask.text(note),
        files=[asdict(file) for file in kept],
        operator=operator(),
    )
    manifest.write(run)


def waive(run: Run, id: str, mask: Mask, *, person: str, reason: str, expires: date) -> None:
    """Record that `person` decides to go on although an item failed or is in error.

    Parameters
    ----------
    expires:
        The last day, in UTC, on which the decision counts.

    Raises
    ------
    ConfigurationError
        The item has not failed and is not in error, or the day has passed; nothing is recorded.
    """
    with archive.closing(run):
        archive.refuse_sealed(run)
        _waive(run, id, mask, person=person, reason=reason, expires=expires)


def _waive(run: Run, id: str, mask: Mask, *, person: str, reason: str, expires: date) -> None:
    phase, item = _find(id)
    _refuse_signed(item)
    result = summarize(run).items.get(id)
    if result is None or result["original"] not in (Status.FAILED, Status.ERROR):
        seen = f"it is {result['status']}" if result else "it has not run"
        raise ConfigurationError(f"There is nothing to waive: {id} has neither failed nor is it in error; {seen}.")
    if expires < datetime.now(UTC).date():
        raise ConfigurationError(f"{expires} has passed: give a day from today on as the waiver's last.")
    _refuse_empty(id, person=person, reason=reason)
    run.events.append(
        WAIVED,
        phase=phase.number,
        item=id,
        status=result["original"],
        person=mask.text(person),
        reason=mask.text(reason),
        expires=expires.isoformat(),
        operator=operator(),
    )
    manifest.write(run)


def word_for(events: Iterable[Event], phase: int, item: Item) -> Finding | None:
    """What a person has attested of `item`, in this run or by an approval in advance; None where nobody has."""
    found = None
    for event in events:
        data = event.data
        if event.name == ATTESTED and data["item"] == item.id:
            files = [f"{file['path']} (SHA-256 {file['sha256']})" for file in data["files"]]
            said = {"person": data["person"], "note": data["note"], "at": event.time, "by account": data["operator"]}
            found = Finding(True, said | ({"files": files} if files else {}), "a person's word")
        if event.name == APPROVED and phase in data["phases"] and _counts(data["expires"]):
            said = {name: data[name] for name in ("person", "role", "note", "expires")}
            found = Finding(True, {"approved in advance": said}, "a person's word")
    return found


def waiver_for(events: Iterable[Event], id: str, status: Status) -> Waived | None:
    """The newest decision of this run that tolerates `status` of an item."""
    found = None
    for event in events:
        if event.name == WAIVED and event.data["item"] == id and event.data["status"] == status:
            found = waived(event.data)
    return found


def waived(data: Mapping[str, Any]) -> Waived:
    """A recorded decision, as it counts today."""
    return Waived(data["person"], data["reason"], data["expires"], in_force=_counts(data["expires"]))


def unsettled(summary: RunSummary) -> dict[str, str]:
    """The items that stand in the way of a seal, each with its status; sign-off's own are not among them."""
    signed = {item.id for item in checklist.items() if item.role}
    planned = rehearsed(summary)
    aside = signed | {item.id for item in (planned.items if planned else ())}
    settled = (Status.PASSED, Status.SKIPPED, Status.WAIVED)
    return {
        id: str(item["status"])
        for id, item in summary.items.items()
        if id not in aside and item["status"] not in settled
    }


def _counts(expires: str) -> bool:
    return date.fromisoformat(expires) >= datetime.now(UTC).date()


def _find(id: str) -> tuple[Phase, Item]:
    for phase in checklist.phases():
        for item in phase.items:
            if item.id == id:
                return phase, item
    raise ConfigurationError(f"The checklist has no item '{id}'; 'runbook plan' lists them.")


def _refuse_signed(item: Item) -> None:
    if item.role:
        raise ConfigurationError(f"{item.id} is signed, not attested: runbook sign RUN --role {item.role} --key FILE")


def _refuse_phase(summary: RunSummary, phase: Phase, id: str) -> None:
    """Nobody's word is taken for what the run is not about."""
    meant = {*summary.opened["parameters"].get("phases", ()), *(each.phase.number for each in summary.phases)}
    for event in summary.run.events.read():
        meant |= set(event.data["phases"]) if event.name == RESUMED else set()
    if phase.number not in meant:
        has = f"phases {', '.join(map(str, sorted(meant)))} alone" if meant else "no phase yet"
        raise ConfigurationError(
            f"{id} belongs to phase {phase.number} ({phase.title}), and the run {summary.run} has {has}. "
            "Attest it in a run that has that phase."
        )


def _refuse_empty(id: str, **words: str) -> None:
    for name, text in words.items():
        if not text.strip():
            raise ConfigurationError(f"{id}: the {name} is empty; say it with --{'by' if name == 'person' else name}.")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
