from __future__ import annotations

import shutil
import subprocess

import pytest

from runbook_lib import environment
from runbook_lib.environment import SignOff
from runbook_lib.errors import ConfigurationError
from runbook_lib.record import keys


@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_a_key_signs_for_the_role_that_trusts_its_public_line(tmp_path, passphrase):
    line = keys.generate(tmp_path / "key", passphrase)
    signer = keys.signer(tmp_path / "key", passphrase)
    trust = keys.trust(SignOff.model_validate({"threshold": 1, "keys": {"security": line}}), "here")
    assert trust.role_of(signer.public_key.keyid) == "security"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen on this machine")
def test_a_key_of_opensshs_signs_too(tmp_path):
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@example.org", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True)
    line = (tmp_path / "key.pub").read_text().strip()
    trust = keys.trust(SignOff.model_validate({"threshold": 1, "keys": {"operations": [line]}}), "here")
    assert trust.role_of(keys.signer(tmp_path / "key").public_key.keyid) == "operations"


def test_a_key_is_never_overwritten(tmp_path):
    keys.generate(tmp_path / "key")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        keys.generate(tmp_path / "key")


def test_an_encrypted_key_wants_its_passphrase(tmp_path):
    keys.generate(tmp_path / "key", "right")
    for wrong in ("", "wrong"):
        with pytest.raises(keys.PassphraseNeeded):
            keys.signer(tmp_path / "key", wrong)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"nothing of the kind", 0o600, "holds no private key"),
        (None, 0o600, "cannot be read"),
        (b"", 0o644, "can be read by others"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path, content, mode, said):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(ConfigurationError, match=said):
        keys.signer(path)


def test_another_kind_of_key_is_refused(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = tmp_path / "key"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="only Ed25519"):
        keys.signer(path)


def sign_off(mini, table: str):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(f"{toml.read_text()}\n[sign_off]\n{table}\n")
    return toml


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("threshold = 5", "threshold"),
        ("keys = { security = 'ssh-rsa AAAA' }", "is no public key"),
        ("keys = { security = 'ssh-ed25519 AAAA' }", "is no public key"),
        ("keys = { janitor = 'ssh-ed25519 AAAA' }", "janitor"),
        ("keys = { security = [] }", "at least 1"),
    ],
)
def test_a_wrong_table_names_its_place(mini, table, said):
    toml = sign_off(mini, table)
    for read in (lambda: environment.load("mini"), lambda: keys.read_trust(toml)):
        with pytest.raises(ConfigurationError, match=said):
            read()


def test_one_key_cannot_stand_for_two_roles(mini, tmp_path):
    line = keys.generate(tmp_path / "key")
    sign_off(mini, f"keys = {{ security = '{line}', operations = '{line} with a comment' }}")
    with pytest.raises(ConfigurationError, match="have the same key: each role signs with its own"):
        environment.load("mini")


def test_trust_is_read_though_the_rest_of_the_file_is_wrong(mini, tmp_path):
    toml = sign_off(mini, f"threshold = 1\nkeys = {{ security = '{keys.generate(tmp_path / 'key')}' }}")
    toml.write_text(toml.read_text() + "\n[no_such_table]\nx = 1\n")
    assert set(keys.read_trust(toml).roles.values()) == {"security"}


def test_fewer_roles_than_must_sign_are_refused(mini, tmp_path):
    sign_off(mini, f"threshold = 2\nkeys = {{ security = '{keys.generate(tmp_path / 'key')}' }}")
    with pytest.raises(ConfigurationError, match="1 roles have keys, and 2 must sign"):
        environment.load("mini")


def test_who_only_reviews_an_environments_runs_trusts_its_keys_by_a_file_of_their_own(mini, tmp_path):
    line = keys.generate(tmp_path / "key")
    folder = mini.environments[0]
    (folder / "elsewhere.trust").write_text(f'[sign_off]\nthreshold = 1\nkeys = {{ security = ["{line}"] }}\n')
    assert [*keys.trust_of("elsewhere").roles.values()] == ["security"]
    assert "elsewhere" not in environment.names()
    (folder / "mini.trust").write_text((folder / "elsewhere.trust").read_text())
    assert keys.trust_of("mini").roles == {}
    assert keys.trust_of("nowhere").keys == {}
