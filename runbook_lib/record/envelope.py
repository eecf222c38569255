"""Signed statements: in-toto Statements in DSSE envelopes.

Sources of the forms: https://github.com/secure-systems-lab/dsse/blob/master/envelope.md and
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.errors import RecordError
from runbook_lib.record.archive import write_atomically
from runbook_lib.record.keys import Trust

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Signatures:
    """What an envelope's signatures are worth: the key that signed for each role, and what is wrong with others.

    `unknown` are those of which nothing can be said, for no key is trusted.
    """

    by_role: dict[str, str]
    faults: tuple[str, ...]
    unknown: int = 0

    def missing(self, trust: Trust) -> int:
        """How many more roles have to sign; where no key is trusted, how many have by keys that nobody here knows."""
        return max(0, trust.threshold - len(self.by_role)) if trust.keys else self.unknown


def enclose(payload: bytes) -> Envelope:
    """An envelope around `payload` that nobody has signed yet."""
    from securesystemslib.dsse import Envelope

    return Envelope(payload, PAYLOAD, {})


def write(path: Path, envelope: Envelope, *, by: Path) -> None:
    """Write the envelope in one step; `by` is the folder in which it is made."""
    write_atomically(path, _content(envelope), by=by)


def _content(envelope: Envelope) -> bytes:
    return (json.dumps(envelope.to_dict(), indent=1) + "\n").encode()


def read(path: Path) -> Envelope:
    """The envelope in `path`.

    Raises
    ------
    RecordError
        It is none, a link, not to the letter what :func:`write` wrote, or holds another type of payload.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import FormatError

    if path.is_symlink():
        raise RecordError(f"{path.name} is a link")
    try:
        content = path.read_bytes()
        envelope: Envelope = Envelope.from_dict(json.loads(content))
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FormatError) as error:
        raise RecordError(f"{path.name} is no DSSE envelope") from error
    if envelope.payload_type != PAYLOAD:
        raise RecordError(f"{path.name} holds {envelope.payload_type!r}, not {PAYLOAD}")
    if _content(envelope) != content:
        raise RecordError(f"{path.name} was changed since it was written")
    return envelope


def statement(envelope: Envelope, predicate_type: str) -> dict[str, Any]:
    """The statement in the envelope. Raises RecordError where it is of another kind."""
    try:
        content = json.loads(envelope.payload)
        if content["_type"] == STATEMENT and content["predicateType"] == predicate_type:
            return dict(content)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RecordError(f"the envelope holds no statement of the type {predicate_type}")


def signatures(envelope: Envelope, trust: Trust) -> Signatures:
    """Check every signature against the keys that are trusted; one alone that does not hold is a fault."""
    from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError

    if not trust.keys:
        return Signatures({}, (), unknown=len(envelope.signatures))
    by_role: dict[str, str] = {}
    faults = []
    for id, signature in envelope.signatures.items():
        role = trust.role_of(id) if isinstance(id, str) else None
        if role is None:
            faults.append(f"a signature by the key {str(id)[:16]}…, which {trust.source} does not trust for any role")
            continue
        try:
            trust.keys[id].verify_signature(signature, envelope.pae())
        except (UnverifiedSignatureError, VerificationError):
            faults.append(f"the signature of {role} does not hold for this manifest")
            continue
        by_role[role] = id
    return Signatures(by_role, tuple(faults))
