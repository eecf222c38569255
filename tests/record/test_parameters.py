from __future__ import annotations

import base64
import json
import random
import string

import pytest

from runbook_lib.errors import ConfigurationError
from runbook_lib.record.masking import Mask
from runbook_lib.record.parameters import refuse_secrets, suspicion

LETTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize(
    "value",
    [
        "v1.0.0",
        "v1.0.1-broken",
        "release/2026-11-25-rc.1",
        "feature/JIRA-1234-Rewrite-OAuth2-Login",
        "20261125T025622Z-v1.0.0",
        "20261125T025622Z-release-2026.11-rc1",
        "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "2026-11-25T02:56:22.123456+00:00",
        "sandbox-staging",
        "production",
        "",
        "Rolled out at 10:05; p95 was 83 ms, see https://grafana.example.org/d/abc?from=now-1h and TICKET-4711.",
        "Approved by Ada Lovelace <ada@example.org>, 2 of 3 nodes, PostgreSQL18/x86_64-linux-gnu",
        "/srv/releases/twiga_scan-v1.0.0/backend",
        "registry.example.org/twiga-scan/backend:v1.0.0@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca49599",
    ],
)
def test_what_an_operator_gives_passes(value):
    assert suspicion(value, Mask()) == ""


@pytest.mark.parametrize(
    "value",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8",
        "glpat-a1B2c3D4e5F6g7H8i9J0",
        "postgresql://app:hunter22@127.0.0.1/db",
        "https://user:hunter22@example.org/",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "deployed with token=dGhpc0lzQVNlY3JldDEyMzQ1Ng==, sorry",
        "sk_live_" + "a1B2c3D4e5" * 3,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "xoxb-123456789012-1234567890123-a1B2c3D4e5F6g7H8i9J0k1L2",
    ],
)
def test_what_looks_like_a_secret_is_refused_and_never_repeated(value):
    with pytest.raises(ConfigurationError, match="The value given for 'release' looks like a secret") as raised:
        refuse_secrets({"release": value}, Mask())
    assert value not in str(raised.value)


@pytest.mark.parametrize("length", [20, 24, 32, 48])
def test_random_tokens_are_refused(length):
    source = random.Random(length)
    tokens = ["".join(source.choices(LETTERS, k=length)) for _ in range(300)]
    tokens += [base64.b64encode(source.randbytes(length)).decode() for _ in range(300)]
    refused = [token for token in tokens if suspicion(token, Mask())]
    # Some are as orderly as words, by chance.
    assert len(refused) >= 0.95 * len(tokens)


@pytest.mark.parametrize("form", [str, json.dumps, lambda text: text.encode().hex(), lambda text: f"a {text} b"])
def test_a_known_secret_is_refused_in_any_form(form):
    mask = Mask().learn({"PASSWORD": "correct horse"})
    with pytest.raises(ConfigurationError, match=r"The value given for 'confirm' is a secret \(PASSWORD\)"):
        refuse_secrets({"dry_run": True, "confirm": form("correct horse")}, mask)


def test_a_parameters_name_may_be_no_secret_either():
    with pytest.raises(ConfigurationError, match="The name of a parameter looks like a secret"):
        refuse_secrets({"AKIAIOSFODNN7EXAMPLE": 1}, Mask())
