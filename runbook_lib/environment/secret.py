"""Secrets, held by reference, and the names by which they are known."""

from __future__ import annotations

import os
import re

from pydantic import (
    Field,
    SecretStr,
    model_validator,
)

from runbook_lib import command
from runbook_lib.environment.model import Argv, Model, RelativePath
from runbook_lib.errors import Unanswerable

_ANYWHERE = ("SECRET", "PASSWORD", "PASSPHRASE", "PASSWD", "CREDENTIAL", "TOKEN", "DSN", "KEY", "_URL")
_PARTS = frozenset({"PASS", "PWD", "PW", "PIN", "SALT", "CRED", "CREDS"})
"""Words of a name that would be found in harmless ones too: COMPASS, SPIN."""


class Secret(Model):
    """A secret by reference: exactly one of an environment variable, a key of a .env file, or a command."""

    env: str | None = None
    file: RelativePath | None = None
    key: str | None = None
    command: Argv | None = Field(default=None, min_length=1, description="its first line is the secret")

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        if sum(source is not None for source in (self.env, self.file, self.command)) != 1:
            raise ValueError("give exactly one of: env, file (with key), command")
        if (self.file is None) != (self.key is None):
            raise ValueError("file and key go together")
        return self

    def __str__(self) -> str:
        if self.env is not None:
            return f"${self.env}"
        if self.file is not None:
            return f"{self.key} of {self.file.name}"
        return f"output of {self.command[0] if self.command else ''}"

    def resolve(self) -> SecretStr:
        """The value as it is now. Raises Unanswerable where the reference leads nowhere."""
        value = self._look_up()
        if not value:
            raise Unanswerable(f"no value found for the secret {self}", remedy=f"set {self}")
        return SecretStr(value)

    def _look_up(self) -> str | None:
        if self.env is not None:
            return os.environ.get(self.env)
        if self.file is not None:
            from dotenv import dotenv_values

            return dotenv_values(self.file, interpolate=False).get(self.key or "") if self.file.is_file() else None
        return command.first_line(self.command or ())


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name is held back from the record."""
    upper = name.upper()
    return any(word in upper for word in _ANYWHERE) or not _PARTS.isdisjoint(re.split(r"[^A-Z]+", upper))


def secret_parts(address: str) -> tuple[str, ...]:
    """What is secret in an address whose tokens may stand anywhere, as those of apprise do: words too odd to be names.

    The password always; of the rest each part of eight characters or more that mixes letters with digits, or cases.
    """
    rest = address.partition("://")[2] or address
    login, separator, _ = rest.partition("@")
    password = login.partition(":")[2] if separator else ""
    parts = [part for part in re.split(r"[/?&=#@:,]", rest) if len(part) >= 8]
    odd = [part for part in parts if re.search(r"[A-Za-z]", part) and not re.fullmatch(r"[a-z._-]+|[A-Z._-]+", part)]
    return tuple(dict.fromkeys([*([password] if password else []), *odd]))
