"""Closing a run's record: sealed once nothing stands open, then signed by the roles that answer for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runbook_lib import checklist
from runbook_lib.errors import ConfigurationError, RecordError
from runbook_lib.record import archive, manifest
from runbook_lib.record import envelope as envelopes
from runbook_lib.record.archive import Run, Way
from runbook_lib.record.attestation import unsettled, waived
from runbook_lib.record.keys import Trust
from runbook_lib.record.manifest import Chain, Witness
from runbook_lib.record.masking import Mask
from runbook_lib.record.summary import RunSummary, count, rehearsed, summarize
from runbook_lib.step import Status

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

ENVELOPE = "manifest.dsse.json"
ROLLED_BACK = "rolled back"
UNTOLD = ("pending", "open")
"""Outcomes that say nothing of a sealed run: sign-off's own items wait, and one in JupyterLab is never closed."""
SPOKEN = ("passed", "failed")
"""How a phase may have ended in a run that is sealed: its gate spoke; what failed then must be waived by now."""


@dataclass(frozen=True)
class Sealed:
    """A sealed run: its manifest's SHA-256, to be kept elsewhere, and how many secrets were looked for."""

    digest: str
    secrets: int


@dataclass(frozen=True)
class Standing:
    """How far a sealed run is signed: in `words`, and the `items` that signatures settle, each with its key's id."""

    words: str
    items: Mapping[str, str]


def obstacles(summary: RunSummary) -> tuple[str, ...]:
    """What stands in the way of sealing the run, each as a sentence; none where it may be sealed."""
    return tuple(_obstacles(summary))


def _obstacles(summary: RunSummary) -> Iterator[str]:
    if summary.opened["way"] == Way.UNSUPERVISED:
        yield "it is unsupervised: nobody watched its kernels (plain papermill without --engine runbook)"
    if not summary.phases:
        yield "no phase has run"
    if summary.closed != ROLLED_BACK:
        yield from _unfinished(summary)
    for id, status in unsettled(summary).items():
        yield f"{id} is {status}: {_MEND.get(status, 'run it again')}"
    for id, item in summary.items.items():
        if item["status"] == Status.WAIVED and not waived(item["waiver"]).in_force:
            yield f"the waiver of {id} expired after {item['waiver']['expires']}: decide again (runbook waive)"


def _unfinished(summary: RunSummary) -> Iterator[str]:
    """What was begun and not brought to its end; a rollback ends it all the same."""
    ran = {phase.phase.number for phase in summary.phases}
    meant = summary.opened["parameters"].get("phases", ())
    if left := [str(number) for number in meant if number not in ran and number != checklist.ROLLBACK]:
        several = f"phases {', '.join(left)} were to run and have not"
        said = several if left[1:] else f"phase {left[0]} was to run and has not"
        yield f"{said}: runbook run {summary.run.environment} --resume {summary.run.id}"
    planned = rehearsed(summary)
    for phase in summary.phases:
        if phase.phase == planned:
            continue
        if phase.outcome not in SPOKEN:
            yield f"phase {phase.phase.number} is {phase.outcome}: resume the run, or run that phase again"
        missing = [item.id for item in phase.phase.items if item.id not in summary.items]
        if missing:
            yield f"phase {phase.phase.number} never came to {', '.join(missing)}"
    yield from (f"began and never ended: {step}" for step in summary.unfinished)


_MEND: Mapping[str, str] = {
    Status.FAILED: "mend it and run its phase again, or waive it (runbook waive)",
    Status.ERROR: "find it out and run its phase again, or waive it (runbook waive)",
    Status.PENDING: "whoever is awaited attests it (runbook attest)",
    Status.PLANNED: "nothing was carried out; run it without --dry-run, in production with --confirm",
}


def seal(run: Run, mask: Mask) -> Sealed:
    """Close the run's record for good: its last event, its manifest, and the envelope that takes signatures.

    Parameters
    ----------
    mask:
        Knows the environment's secrets; every file is searched for them once more.

    Raises
    ------
    ConfigurationError
        Something stands open, or a file holds a secret; each is named, and nothing is changed.
    """
    with archive.closing(run):
        if is_sealed(run):
            raise ConfigurationError(f"The run {run} is sealed already.")
        summary = summarize(run)
        # A sealing that was cut off is brought to its end: what stood open was looked at when it began.
        _refuse(run, () if summary.sealed else obstacles(summary), "stands open")
        archive.remove_temporaries(run)
        _refuse(run, _no_files(run), "is no plain file; put its content in its place")
        _refuse(run, leaks(run, mask), "holds a secret; remove it from the record and find out how it came there")
        chain = _chain(run)
        if not summary.sealed:
            run.events.append("run sealed", operator=archive.operator())
        path = manifest.write(run, chain)
        envelopes.write(run.folder / ENVELOPE, envelopes.enclose(path.read_bytes()), by=run.folder.parent)
        for file in manifest.files(run):
            # Against slips alone, such as saving an archived notebook; whoever means it is found by its digest.
            file.chmod(0o444)
        return Sealed(manifest.digest(path), mask.known)


def _refuse(run: Run, reasons: tuple[str, ...], what: str) -> None:
    if reasons:
        listed = "\n".join(f"  {reason}" for reason in reasons)
        raise ConfigurationError(f"The run {run} cannot be sealed, for something {what}:\n{listed}")


def is_sealed(run: Run) -> bool:
    """Whether sealing has come to its end."""
    return (run.folder / ENVELOPE).is_file()


def _no_files(run: Run) -> tuple[str, ...]:
    """Links, pipes and the like among the run's files: no digest would protect what they lead to."""
    odd = (path for path in manifest.everything(run) if path.is_symlink() or not path.is_file())
    return tuple(str(path.relative_to(run.folder)) for path in odd)


def leaks(run: Run, mask: Mask) -> tuple[str, ...]:
    """The files of the run, derived ones too, that hold a secret in any form, each with the secrets' names."""
    found = []
    for path in manifest.everything(run):
        name = str(path.relative_to(run.folder))
        if names := dict.fromkeys((*mask.found_in(path), *mask.found(name))):
            found.append(f"{mask.text(name)}: {', '.join(names)}")
    return tuple(found)


def _chain(run: Run) -> Chain:
    """What the run is chained to: the newest sealed run of its environment, and all that is not sealed beside it."""
    others = [other for other in archive.runs(run.environment) if other.id != run.id]
    sealed = [other for other in others if is_sealed(other)]
    newest = max(sealed, key=lambda other: manifest.chain(other).number, default=None)
    witnesses = tuple(filter(None, (_witness(other) for other in others if other not in sealed)))
    if newest is None:
        return Chain(1, None, None, witnesses)
    return Chain(
        manifest.chain(newest).number + 1, newest.id, manifest.digest(newest.folder / manifest.NAME), witnesses
    )


def _witness(run: Run) -> Witness | None:
    """The run as it is now; None where nothing had happened in it yet, or where it is damaged, as verifying it says."""
    try:
        digests = run.events.digests()
    except RecordError:
        return None
    return Witness(run.id, len(digests), digests[-1]) if digests else None


def sign(run: Run, role: str, signer: CryptoSigner, trust: Trust) -> envelopes.Signatures:
    """Add the signature of `role` to the sealed run's envelope; the caller has verified the run.

    Raises
    ------
    ConfigurationError
        The run is not sealed, or the key is not the role's.
    """
    if not is_sealed(run):
        reasons = "\n".join(f"  {reason}" for reason in obstacles(summarize(run)))
        first = f", and cannot be:\n{reasons}" if reasons else f": runbook seal {run}"
        raise ConfigurationError(f"The run {run} is not sealed{first}")
    owner = trust.role_of(signer.public_key.keyid)
    if owner != role:
        said = f"trusts this key for {owner}" if owner else "does not trust this key for any role"
        raise ConfigurationError(f"{trust.source} {said}, so it cannot sign for {role}.")
    with archive.closing(run):
        envelope = envelopes.read(run.folder / ENVELOPE)
        envelope.sign(signer)
        # A crash must leave nothing in the folder of a sealed run.
        envelopes.write(run.folder / ENVELOPE, envelope, by=run.folder.parent)
    return envelopes.signatures(envelope, trust)


def signatures(run: Run, trust: Trust) -> envelopes.Signatures:
    """Who has signed the run; nobody where it is not sealed. Raises RecordError where the envelope is damaged."""
    if not is_sealed(run):
        return envelopes.Signatures({}, ())
    return envelopes.signatures(envelopes.read(run.folder / ENVELOPE), trust)


def standing(run: Run, trust: Trust) -> Standing:
    """How far the run is signed; whether it holds is for ``verify`` to say."""
    try:
        seen = signatures(run, trust)
    except RecordError:
        return Standing("sealed, its envelope damaged", {})
    items = {item.id: seen.by_role[item.role] for item in checklist.items() if item.role in seen.by_role}
    complete = bool(trust.keys) and not seen.missing(trust)
    return Standing("signed off" if complete else "sealed", items)


def state(outcome: str, standing: str) -> str:
    """How a sealed run ended and how far it is signed, in words; the latter alone where it came to its own end."""
    return standing if outcome in ("passed", *UNTOLD) else f"{outcome}, {standing}"


def signed_off(summary: RunSummary, standing: Standing) -> RunSummary:
    """The summary with sign-off's items as the envelope has them, whatever the sealed notebook says."""
    signed = standing.items
    items = {
        id: {**item, "status": Status.PASSED, "signed by": signed[id]} if id in signed else item
        for id, item in summary.items.items()
    }
    phases = tuple(replace(each, counts=count(each.phase, items)) for each in summary.phases)
    return replace(summary, items=items, phases=phases)
