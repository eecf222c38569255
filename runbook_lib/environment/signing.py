"""Whose signatures count, and for what."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from runbook_lib.environment.model import Model

Role = Literal["technical-lead", "security", "operations", "product-owner"]
ROLES: tuple[str, ...] = get_args(Role)
_ALGORITHM = "ssh-ed25519"
_PREFIX = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
"""What an Ed25519 key's 32 bytes follow in the form of OpenSSH (RFC 8709, section 4)."""


def raw_key(line: str) -> bytes:
    """The 32 bytes of a public key in OpenSSH's one-line form. Raises ValueError where it is none."""
    words = line.split()
    try:
        content = base64.b64decode(words[1], validate=True) if words[:1] == [_ALGORITHM] else b""
    except (IndexError, binascii.Error):
        content = b""
    if not content.startswith(_PREFIX) or len(content) != len(_PREFIX) + 32:
        raise ValueError("is no public key of the form 'ssh-ed25519 AAAA…'; 'runbook keygen' prints one")
    return content[len(_PREFIX) :]


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


PublicKeys = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class SignOff(Model):
    """The roles that sign a sealed run, each by keys of its own; a role that changes its key keeps the old one too."""

    keys: dict[Role, PublicKeys] = Field(default_factory=dict, description="public keys as OpenSSH writes them")
    threshold: Annotated[int, Field(ge=1, le=len(ROLES), description="how many roles must have signed")] = len(ROLES)

    @model_validator(mode="after")
    def _every_role_can_sign_and_for_itself_alone(self) -> SignOff:
        owners: dict[bytes, str] = {}
        for role, lines in self.keys.items():
            for line in lines:
                owner = owners.setdefault(raw_key(line), role)
                if owner != role:
                    raise ValueError(f"{owner} and {role} have the same key: each role signs with its own")
        if self.keys and len(self.keys) < self.threshold:
            raise ValueError(f"{len(self.keys)} roles have keys, and {self.threshold} must sign (threshold)")
        return self
