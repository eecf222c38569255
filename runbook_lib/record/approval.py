"""Approvals given in advance: a signed word that stands in for the attestations of a headless run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib import checklist
from runbook_lib.errors import ConfigurationError, RecordError
from runbook_lib.record import envelope as envelopes
from runbook_lib.record.archive import Run
from runbook_lib.record.attestation import APPROVED
from runbook_lib.record.keys import Trust
from runbook_lib.record.masking import Mask
from runbook_lib.release import Release
from runbook_lib.step import Kind

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

PREDICATE = "https://runbook.invalid/approval/v1"


@dataclass(frozen=True)
class Approval:
    """What is approved: phases of one release in one environment, until a last day (UTC); `role` is who signed."""

    environment: str
    commit: str
    phases: tuple[int, ...]
    person: str
    note: str
    expires: date
    role: str
    content: bytes


def write(
    path: Path,
    environment: str,
    release: Release,
    phases: Sequence[int],
    *,
    person: str,
    note: str,
    expires: date,
    signer: CryptoSigner,
    trust: Trust,
    mask: Mask,
) -> str:
    """Write a signed approval to `path`; return the role for which its key signs.

    Raises
    ------
    ConfigurationError
        The key is trusted for no role, a phase has nothing to attest, the day has passed, the words hold a secret, or
        the file exists or cannot be written.
    """
    _refuse_secrets(f"{person} {note}", mask)
    role = trust.role_of(signer.public_key.keyid)
    if role is None:
        raise ConfigurationError(f"{trust.source} trusts this key for no role; sign_off.keys names those that count.")
    for number in phases:
        if not any(item.kind is Kind.ATTEST and not item.role for item in checklist.phase(number).items):
            raise ConfigurationError(f"Phase {number} has nothing that could be approved in advance.")
    if expires < datetime.now(UTC).date():
        raise ConfigurationError(f"{expires} has passed: give a day from today on as the approval's last.")
    if path.exists():
        raise ConfigurationError(f"{path} exists already and is never overwritten.")
    predicate = {
        "environment": environment,
        "release": release.tag,
        "phases": list(phases),
        "person": person,
        "note": note,
        "expires": expires.isoformat(),
    }
    statement = {
        "_type": envelopes.STATEMENT,
        "subject": [{"name": f"{environment}/{release.tag}", "digest": {"gitCommit": release.commit}}],
        "predicateType": PREDICATE,
        "predicate": predicate,
    }
    envelope = envelopes.enclose(json.dumps(statement, ensure_ascii=False).encode())
    envelope.sign(signer)
    try:
        envelopes.write(path, envelope, by=path.parent)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
    return role


def read(path: Path, environment: str, release: Release, trust: Trust, mask: Mask) -> Approval:
    """The approval in `path`.

    Raises
    ------
    ConfigurationError
        It is not signed by a trusted key, or is for another environment or commit, its last day has passed, or it
        holds a secret.
    """
    try:
        envelope = envelopes.read(path)
        statement = envelopes.statement(envelope, PREDICATE)
        approval = parse(path, statement)
    except (RecordError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ConfigurationError(f"{path} is no approval: {error}") from error
    signed = envelopes.signatures(envelope, trust)
    if signed.faults or not signed.by_role:
        raise ConfigurationError(f"{path} is refused: {'; '.join(signed.faults) or 'nobody has signed it'}.")
    _refuse_secrets(envelope.payload.decode(errors="replace"), mask)
    if approval.environment != environment:
        raise ConfigurationError(f"{path} is for the environment {approval.environment}, not for {environment}.")
    if approval.commit != release.commit:
        raise ConfigurationError(
            f"{path} is for the commit {approval.commit[:12]}, not for {release.tag} (commit {release.commit[:12]})."
        )
    if approval.expires < datetime.now(UTC).date():
        raise ConfigurationError(f"{path} has expired: its last day was {approval.expires}.")
    return Approval(**{**approval.__dict__, "role": ", ".join(sorted(signed.by_role))})


def _refuse_secrets(text: str, mask: Mask) -> None:
    if names := mask.found(text):
        raise ConfigurationError(f"The approval holds the secret {', '.join(names)}, and would be kept: leave it out.")


def parse(path: Path, statement: dict[str, Any]) -> Approval:
    """The approval that a statement makes; nothing says yet who signed it."""
    said = statement["predicate"]
    return Approval(
        str(said["environment"]),
        str(statement["subject"][0]["digest"]["gitCommit"]),
        tuple(int(number) for number in said["phases"]),
        str(said["person"]),
        str(said["note"]),
        date.fromisoformat(said["expires"]),
        "",
        path.read_bytes(),
    )


def accept(run: Run, approval: Approval) -> None:
    """Put the approval on the run's record: its file as evidence, and its word as an event."""
    file = run.keep("approvals", f"{approval.role}.dsse.json", approval.content)
    run.events.append(
        APPROVED,
        role=approval.role,
        person=approval.person,
        phases=list(approval.phases),
        note=approval.note,
        expires=approval.expires.isoformat(),
        file=file.path,
        sha256=file.sha256,
    )
