from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.record.masking import Mask

SECRET = 'p4ss/w&rd+"<x>=é'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
        json.dumps(SECRET),
        html.escape(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode() + b"@host").decode(),
        base64.b64encode(b"1" + SECRET.encode() + b"22").decode(),
    ],
    ids=["raw", "url", "hex", "json", "html", "base64", "base64 inside", "base64 inside, other offset"],
)
def test_every_form_is_masked(form):
    masked = Mask().learn({"PASSWORD": SECRET}).text(f"before {form} after")
    assert form.strip('"') not in masked
    assert "[masked PASSWORD]" in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@given(text=st.text(), secret=st.text(min_size=6))
def test_no_secret_survives_and_the_rest_does(text, secret):
    mask = Mask().learn({"S": secret})
    masked = mask.text(f"{text}{secret}{text}")
    assert secret not in masked.replace("[masked S]", "\0")


def test_of_a_url_only_the_password_goes():
    mask = Mask().learn({"DATABASE_URL": "postgresql://app:hunter22@127.0.0.1/db"})
    assert mask.text("postgresql://app:hunter22@127.0.0.1/db") == "postgresql://app:[masked DATABASE_URL]@127.0.0.1/db"


def test_a_password_is_masked_as_written_in_a_url_and_as_meant():
    mask = Mask().learn({"DATABASE_URL": "postgresql://app:p%40ss%2Fword1@127.0.0.1/db"})
    assert mask.text("p%40ss%2Fword1 p@ss/word1") == "[masked DATABASE_URL] [masked DATABASE_URL]"


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("https://hooks.example.org/services/T00/B00/x7Gq2LmPz0aB", "x7Gq2LmPz0aB"),
        ("https://hooks.example.org/alert?token=x7Gq2LmPz0aB", "x7Gq2LmPz0aB"),
        ("https://0123456789abcdef@errors.example.org/7", "0123456789abcdef"),
        ("https://user:s3cretword@hooks.example.org/x7Gq2LmPz0aB", "x7Gq2LmPz0aB"),
        ("https://a.example.org/x7Gq2LmPz0aB,https://b.example.org/", "x7Gq2LmPz0aB"),
    ],
)
def test_a_webhooks_token_is_masked_and_its_host_is_not(address, token):
    masked = Mask().learn({"HOOK_URL": address}).text(f"POST {address}: {token}")
    assert token not in masked
    assert "[masked HOOK_URL]" in masked
    assert ".example.org" in masked


@pytest.mark.parametrize(
    "address",
    [
        "redis://cache-07.internal:6379/0",
        "postgresql://scanner01@db-01.internal:5432/twiga_scan2",
        "https://app-02.example.org",
        "http://127.0.0.1:8000/api/v1",
        "https://app-02.example.org,https://app-03.example.org",
    ],
)
def test_an_address_without_secrets_stays_readable(address):
    assert Mask().learn({"SOME_URL": address}).text(f"at {address}") == f"at {address}"


def test_values_are_masked_all_through():
    mask = Mask().learn({"S": "secret-value"})
    assert mask.value({"secret-value": ["a", ("secret-value", 1, None)]}) == {
        "[masked S]": ["a", ["[masked S]", 1, None]]
    }


def test_what_was_learned_once_is_never_forgotten():
    mask = Mask().learn({"S": "first-secret"})
    mask.learn({"S": "second-secret"})
    assert mask.text("first-secret second-secret") == "[masked S] [masked S]"


def test_this_machines_paths_are_shortened():
    assert Mask(Path("/home/someone/kit")).text("/home/someone/kit/outputs") == "./outputs"


def test_short_words_are_no_secrets():
    assert Mask().learn({"DEBUG_KEY": "false"}).text("false") == "false"
