"""Whether a run's record is what it was: from the files and public keys alone, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runbook_lib.errors import RecordError
from runbook_lib.home import home
from runbook_lib.record import approval, archive, manifest, overview, seal
from runbook_lib.record import envelope as envelopes
from runbook_lib.record.archive import SETTINGS, Run, Way
from runbook_lib.record.attestation import APPROVED
from runbook_lib.record.envelope import Signatures
from runbook_lib.record.events import SEALED
from runbook_lib.record.keys import Trust
from runbook_lib.record.manifest import Chain
from runbook_lib.record.summary import summarize

RECORD = ("events.jsonl", manifest.NAME, seal.ENVELOPE)
"""Any of these makes a folder that of a run, whatever else is gone."""


class State(StrEnum):
    """How far a run's record has come."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    OPEN = "open"
    SEALED = "sealed"
    SIGNED = "signed"


@dataclass(frozen=True)
class Verification:
    """What verifying one run has shown: `faults` do not hold, `remarks` are for the reader."""

    run: Run
    state: State
    digest: str
    signatures: Signatures
    faults: tuple[str, ...]
    remarks: tuple[str, ...]
    unsigned: int = 0

    @property
    def complete(self) -> bool:
        """Whether nobody is waited for: it is sealed, and signed by as many as the environment asks for."""
        return self.state is State.SIGNED or (self.state is State.SEALED and self.unsigned == 0)

    @property
    def holds(self) -> bool:
        """Whether everything holds that can be looked at."""
        return not self.faults


def verify(run: Run, trust: Trust) -> Verification:
    """Verify one run: its events, its files, its manifest, its signatures, and what it is chained to.

    Whatever lies in the folder, it is a fault and no error of ours if it cannot be read.
    """
    try:
        return _verify(run, trust)
    except (AttributeError, KeyError, TypeError, ValueError, OSError, RecursionError, RecordError) as error:
        fault = f"the record is not of the form that the kit writes: {type(error).__name__}: {error}"
        return Verification(run, State.INTERRUPTED, "", Signatures({}, ()), (fault,), ())


def _verify(run: Run, trust: Trust) -> Verification:
    faults = list(_events(run))
    sealed = _was_sealed(run)
    if sealed and _was_cut_off(run):
        said = f"the sealing was cut off; to bring it to its end: runbook seal {run}"
        return Verification(run, State.INTERRUPTED, _digest(run), Signatures({}, ()), tuple(faults), (said,))
    if sealed or _is_current(run):
        faults += _files(run)
    if not sealed:
        state, remarks = _unsealed(run)
        return Verification(run, state, _digest(run), Signatures({}, ()), tuple(faults), remarks)
    signed, broken = _signatures(run, trust)
    faults += [*_sealing(run), *broken, *signed.faults, *_chain(run), *_approvals(run, trust)]
    missing = signed.missing(trust)
    state = State.SEALED if missing or not trust.keys else State.SIGNED
    return Verification(run, state, _digest(run), signed, tuple(faults), tuple(_remarks(run, trust, missing)), missing)


def _is_current(run: Run) -> bool:
    """Whether the manifest of a run that is not sealed tells of all that has happened; else it tells of nothing.

    While a run is at work, or where it was cut off, files come before the events that tell of them.
    """
    try:
        same = manifest.read(run)["predicate"].get("events") == len(run.events.read())
        return bool(same and summarize(run).closed)
    except (RecordError, AttributeError):
        return False


def _digest(run: Run) -> str:
    path = run.folder / manifest.NAME
    return manifest.digest(path) if path.exists() else ""


def _events(run: Run) -> Iterator[str]:
    try:
        events = run.events.read()
    except RecordError as error:
        yield str(error).removeprefix(f"{run.folder}/")
        return
    except (OSError, UnicodeDecodeError) as error:
        yield f"events.jsonl cannot be read: {error}"
        return
    if not events or events[0].name != "run opened":
        yield "events.jsonl does not begin with the run's opening"
    elif events[0].data.get("environment") != run.environment:
        yield f"the run was opened for {events[0].data.get('environment')}, and lies under {run.environment}"
    if (known := _known(run)) > len(events):
        yield f"events.jsonl has {len(events)} events, and had {known} when the manifest was written"
    if SEALED in [event.name for event in events[:-1]]:
        yield "events.jsonl goes on after the run was sealed"


def _was_cut_off(run: Run) -> bool:
    """Whether sealing came to its last event and not to its manifest, which is still that of the open run."""
    if seal.is_sealed(run):
        return False
    try:
        manifest.chain(run)
    except RecordError:
        return True
    return False


def _known(run: Run) -> int:
    """How many events the run's manifest knows of; none where it has no manifest."""
    try:
        return int(manifest.read(run)["predicate"]["events"])
    except (RecordError, KeyError, TypeError, ValueError):
        return 0


def _was_sealed(run: Run) -> bool:
    """Whether anything says that the run was sealed: its envelope, its events or its manifest."""
    if seal.is_sealed(run):
        return True
    try:
        if summarize(run).sealed:
            return True
    except RecordError:
        pass
    try:
        manifest.chain(run)
    except RecordError:
        return False
    return True


def _files(run: Run) -> Iterator[str]:
    """What differs between the run's files and its manifest."""
    try:
        statement = manifest.read(run)
        declared = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    except (RecordError, KeyError, TypeError) as error:
        yield str(error) if isinstance(error, RecordError) else f"{manifest.NAME} does not list its files"
        return
    present = manifest.digests(run)
    missing, added = set(declared) - set(present), set(present) - set(declared)
    renamed = {old: new for old in sorted(missing) for new in sorted(added) if declared[old] == present[new]}
    for name in sorted(missing):
        yield f"{name} is missing" + (f"; {renamed[name]} has its content" if name in renamed else "")
    yield from (f"{name} was added" for name in sorted(added))
    yield from (
        f"{name} was changed" for name in sorted(set(declared) & set(present)) if declared[name] != present[name]
    )
    if statement["predicate"].get("run") != run.id:
        yield f"the manifest is of the run {statement['predicate'].get('run')}, and lies under {run.id}"


def _sealing(run: Run) -> Iterator[str]:
    """Whether events, manifest and envelope tell of the same sealed run."""
    try:
        summary = summarize(run)
        predicate = manifest.read(run)["predicate"]
    except RecordError:
        return  # told already
    if not summary.sealed:
        yield "the run's events do not say that it was sealed"
    if not seal.is_sealed(run):
        yield f"{seal.ENVELOPE} is missing: it was removed, or the sealing was cut off (then: runbook seal {run})"
    told = {**summary.opened, "outcome": summary.outcome, "results": manifest.results(summary)}
    if (predicate.get("overview") or {}).get("version") == overview.VERSION:
        told["overview"] = manifest.seen_over(summary, run.events.path.stat().st_size)
    for name in (name for name in told if predicate.get(name) != told[name]):
        yield f"what the manifest says of the run's {name} is not what the events say"


def _signatures(run: Run, trust: Trust) -> tuple[Signatures, list[str]]:
    if not seal.is_sealed(run):
        return Signatures({}, ()), []
    try:
        envelope = envelopes.read(run.folder / seal.ENVELOPE)
    except RecordError as error:
        return Signatures({}, ()), [str(error)]
    path = run.folder / manifest.NAME
    same = path.is_file() and envelope.payload == path.read_bytes()
    broken = [] if same else [f"{seal.ENVELOPE} encloses another manifest than {manifest.NAME}"]
    return envelopes.signatures(envelope, trust), broken


def _approvals(run: Run, trust: Trust) -> Iterator[str]:
    """Whether each approval in advance is signed by the role in whose name it counted, for this very deployment."""
    try:
        events = run.events.read()
    except RecordError:
        return  # told already
    for event in events:
        if event.name != APPROVED:
            continue
        said = event.data
        path = run.folder / str(said["file"])
        if manifest.digest(path) != said["sha256"]:
            yield f"the approval of {said['role']} is not the file that was accepted"
            continue
        try:
            envelope = envelopes.read(path)
            given = approval.parse(path, envelopes.statement(envelope, approval.PREDICATE))
        except RecordError as error:
            yield f"the approval of {said['role']}: {error}"
            continue
        roles = ", ".join(sorted(envelopes.signatures(envelope, trust).by_role))
        words = (given.environment, given.commit, list(given.phases), given.person, given.note, str(given.expires))
        meant = (
            run.environment,
            events[0].data["commit"],
            *(said[name] for name in ("phases", "person", "note", "expires")),
        )
        if trust.keys and roles != said["role"]:
            yield f"the approval in the name of {said['role']} is signed by {roles or 'nobody who is trusted'}"
        if words != meant:
            yield f"the approval of {said['role']} says something else than the run's events"


def _chain(run: Run) -> Iterator[str]:
    """Whether the sealed run before this one, and the runs seen beside it, are still what they were."""
    try:
        place = manifest.chain(run)
    except RecordError as error:
        yield str(error)
        return
    yield from _previous(run, place)
    for witness in place.witnessed:
        other = Run(run.folder.parent / witness.run)
        try:
            digests = other.events.digests()
        except (RecordError, OSError):
            continue  # named where that run is verified
        if not digests and witness.events:
            yield f"the run {witness.run}, which was there when this one was sealed, is gone"
        elif witness.events and (len(digests) < witness.events or digests[witness.events - 1] != witness.digest):
            yield f"the run {witness.run} is not what it was when this one was sealed"


def _previous(run: Run, place: Chain) -> Iterator[str]:
    if place.previous is None:
        if place.number != 1:
            yield f"the run is number {place.number} of its chain, and names none before it"
        return
    path = run.folder.parent / place.previous / manifest.NAME
    if not path.is_file():
        yield f"the run {place.previous}, sealed before this one, is gone"
    elif manifest.digest(path) != place.digest:
        yield f"the run {place.previous}, sealed before this one, has another manifest now"


def _remarks(run: Run, trust: Trust, missing: int) -> Iterator[str]:
    try:
        sources = manifest.read(run)["predicate"].get("sources", {})
    except RecordError:
        sources = {}
    if trust.digest and sources.get(SETTINGS) not in (None, trust.digest):
        yield f"{trust.source} has changed since the run was opened: are its keys those of then? Else give --trust FILE"
    if not trust.keys:
        yield f"{trust.source} trusts no key: whoever could write to this folder could have written it all anew"
    if missing and not trust.keys:
        yield f"by whom it is signed cannot be said: {missing} signatures"
    elif missing:
        yield f"{missing} more of {trust.threshold} roles have to sign it (runbook sign)"


def _unsealed(run: Run) -> tuple[State, tuple[str, ...]]:
    """How far a run is that is not sealed, and what its events tell of how it ended."""
    try:
        summary = summarize(run)
    except RecordError:
        return State.INTERRUPTED, ()
    broken = [phase for phase in summary.phases if phase.outcome not in seal.SPOKEN]
    cut_off = summary.closed is None and summary.opened["way"] == Way.HEADLESS
    if not broken and not cut_off and summary.closed not in ("interrupted", "broken"):
        return State.OPEN, tuple(f"not sealed: {reason}" for reason in seal.obstacles(summary))
    ended = (
        f"phase {one.phase.number} is {one.outcome}: {one.reason or 'nothing says how it ended'}" for one in broken
    )
    begun = (f"{step} began, and whether it was done is unknown" for step in summary.unfinished)
    closed = ("nothing says that the run was closed",) if cut_off else ()
    return State.INTERRUPTED, (*closed, *ended, *begun)


def find(name: str) -> tuple[Run, ...]:
    """The run of that id, ``environment/id`` or folder, however damaged; every run of the archive where it is empty.

    Raises
    ------
    ConfigurationError
        There is no such run, or several.
    """
    folder = Path(name)
    if name and any((folder / file).exists() for file in RECORD):
        return (Run(folder.resolve()),)
    present = {path.parent for file in RECORD for path in home().outputs.glob(f"*/*/{file}")}
    every = tuple(sorted((Run(folder) for folder in present), key=lambda run: (run.environment, run.id)))
    if not name:
        return every
    return tuple(run for run in every if name in (run.id, str(run))) or (archive.find(name),)


def across(verifications: Sequence[Verification]) -> tuple[str, ...]:
    """What does not hold among sealed runs of one environment: two in one place of the chain, or a gap in it.

    Of a single run nothing can be said.
    """
    places: dict[tuple[str, int], list[str]] = {}
    for each in verifications:
        try:
            places.setdefault((each.run.environment, manifest.chain(each.run).number), []).append(each.run.id)
        except RecordError:
            continue  # not sealed, or named with the run
    doubled = [
        f"{environment}: number {number} of the chain is held by {' and '.join(ids)}"
        for (environment, number), ids in places.items()
        if ids[1:]
    ]
    if len(verifications) == 1:
        return tuple(doubled)
    last = {environment: max(number for name, number in places if name == environment) for environment, _ in places}
    gaps = [
        f"{environment}: number {number} of the chain is gone"
        for environment, newest in last.items()
        for number in range(1, newest)
        if (environment, number) not in places
    ]
    return (*doubled, *gaps)


def expected(verifications: Sequence[Verification], digest: str) -> tuple[str, ...]:
    """Whether a sealed run's manifest of this SHA-256 is among them; nothing is asked for where `digest` is empty.

    That of a run which is not sealed counts for nothing: it is written anew with every word that is added.
    """
    found = [each for each in verifications if each.digest == digest]
    if not digest or any(each.state in (State.SEALED, State.SIGNED) for each in found):
        return ()
    if found:
        return (f"the manifest with the SHA-256 {digest} is of {found[0].run}, which is not sealed: it proves nothing",)
    return (f"no manifest has the SHA-256 {digest}: the run was removed, or its record is another",)
