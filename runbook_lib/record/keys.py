"""Ed25519 keys: made, read, and the roles that an environment trusts them for.

Private keys are PKCS #8 PEM files, as ``runbook keygen`` writes them, or OpenSSH's; public keys are OpenSSH's one line.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib import environment as environments
from runbook_lib.environment import SignOff
from runbook_lib.errors import ConfigurationError
from runbook_lib.home import home

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner, SSlibKey


class PassphraseNeeded(ConfigurationError):
    """The private key is encrypted, and no passphrase, or a wrong one, was given."""


def generate(path: Path, passphrase: str = "") -> str:
    """Write a new private key to `path`, readable by its owner alone; return its public line.

    Raises
    ------
    ConfigurationError
        The file exists already: a key is never overwritten.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists already; a key is never overwritten.") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return _public_line(key)


def read_public(path: Path, passphrase: str = "") -> str:
    """The public line of the private key in `path`. Raises as :func:`signer` does."""
    return _public_line(_private_key(path, passphrase))


def _public_line(key: Ed25519PrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def signer(path: Path, passphrase: str = "") -> CryptoSigner:
    """What signs with the private key in `path`.

    Raises
    ------
    PassphraseNeeded
        The key is encrypted, and `passphrase` does not open it.
    ConfigurationError
        The file cannot be read, others may read it, or it holds no Ed25519 key.
    """
    from securesystemslib.signer import CryptoSigner

    return CryptoSigner(_private_key(path, passphrase))


def _private_key(path: Path, passphrase: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        content = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"The key {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise ConfigurationError(f"The key {path} can be read by others; make it yours alone: chmod 600 {path}")
    openssh = content.startswith(b"-----BEGIN OPENSSH PRIVATE KEY")
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        key = load(content, passphrase.encode() if passphrase else None)
    except TypeError as error:
        needed = "needs a passphrase" if not passphrase else "has no passphrase; give none"
        raise PassphraseNeeded(f"The key {path} {needed}.") from error
    except ValueError as error:
        if passphrase or (openssh and b"bcrypt" in content):
            raise PassphraseNeeded(f"The key {path} does not open with this passphrase.") from error
        raise ConfigurationError(f"{path} holds no private key that can be read.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} holds another kind of key; only Ed25519 is used.")
    return key


@dataclass(frozen=True)
class Trust:
    """The roles of the keys that count: `roles` by key id; `source` is where that is declared, `digest` its SHA-256."""

    roles: Mapping[str, str]
    keys: Mapping[str, Any]
    threshold: int
    source: str
    digest: str = ""

    def role_of(self, key_id: str) -> str | None:
        """The role that the key speaks for, None where nobody trusts it."""
        return self.roles.get(key_id)


def trust(declared: SignOff, source: str, digest: str = "") -> Trust:
    """The keys that `declared` names."""
    known = [(role, _public_key(line)) for role, lines in declared.keys.items() for line in lines]
    return Trust(
        {key.keyid: role for role, key in known},
        {key.keyid: key for _, key in known},
        declared.threshold,
        source,
        digest,
    )


def read_trust(path: Path) -> Trust:
    """The keys that the ``[sign_off]`` table of a TOML file names; nothing else in the file need be valid.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or its table is wrong.
    """
    from pydantic import ValidationError

    try:
        content = path.read_bytes()
        table = tomllib.loads(content.decode()).get("sign_off", {})
        return trust(SignOff.model_validate(table), str(path), hashlib.sha256(content).hexdigest())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        said = (f"{'.'.join(map(str, ('sign_off', *one['loc'])))}: {one['msg']}" for one in error.errors())
        raise ConfigurationError(f"{path}: {'; '.join(said)}") from error


def _public_key(line: str) -> SSlibKey:
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key
    from securesystemslib.signer import SSlibKey

    algorithm, content, *_ = line.split()
    return SSlibKey.from_crypto(load_ssh_public_key(f"{algorithm} {content}".encode()))


def trust_of(environment: str, file: Path | None = None) -> Trust:
    """The keys that count for runs of the environment.

    They are named by `file`, else by its TOML. Those who only review its runs, and have no TOML of it, name them in
    ``NAME.trust`` in the TOML's place, of which ``[sign_off]`` alone is read. Where there is none of these, none count.
    """
    if file is not None:
        return read_trust(file)
    if environment in environments.names():
        return read_trust(environments.find(environment))
    alone = (folder / f"{environment}.trust" for folder in home().environments)
    known = next((path for path in alone if path.is_file()), None)
    # It never was what the run was opened by, so that it cannot have changed since.
    if known is not None:
        return replace(read_trust(known), digest="")
    return trust(SignOff(), f"without {environment}.toml or {environment}.trust (or --trust FILE) this kit")
