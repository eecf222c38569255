from __future__ import annotations

import base64
import html
import json
import re
import textwrap
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, quote_plus

import markupsafe
import pytest
from hypothesis import assume, given, settings
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


SIGNS = "aZ09nrt+/=&<>%:;@!?#$*(){}[]^~-_. éß中😀"
secrets = st.text(SIGNS + "\"'\\`,|\t", min_size=6, max_size=40).filter(
    lambda text: len(re.sub(r"[\s\\\"'`,|]", "", text)) >= 6 and "://" not in text and "\\n" not in text
)


def in_base64(text: str) -> str:
    return base64.b64encode(f"user:{text}@".encode()).decode()


FORMS = {
    "raw": str,
    "URL": lambda text: quote(text, safe=""),
    "URL with slashes": quote,
    "URL of a form": quote_plus,
    "URL with small digits": lambda text: re.sub("%..", lambda match: match[0].lower(), quote(text, safe="")),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "JSON": json.dumps,
    "JSON not only ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "HTML": html.escape,
    "HTML but quotes": lambda text: html.escape(text, quote=False),
    "HTML as Jinja writes it": lambda text: str(markupsafe.escape(text)),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "Base64": in_base64,
    "Base64 for URLs": lambda text: in_base64(text).replace("+", "-").replace("/", "_"),
}
AROUND = {"as it is": str, "in JSON": json.dumps, "in HTML": html.escape, "in repr": repr}


@settings(deadline=None, max_examples=400)
@given(secret=secrets, form=st.sampled_from(sorted(FORMS)), around=st.sampled_from(sorted(AROUND)), data=st.data())
def test_nothing_is_left_of_any_secret_in_any_form_however_it_is_cut(secret, form, around, data):
    shown = AROUND[around](FORMS[form](secret)).strip("\"'")
    # What of its Base64 depends on a secret's neighbours is none.
    core = shown[8:-8] if form.startswith("Base64") else shown.strip(" \t\\,|`\"'")
    assume(len(core) >= 4)
    text = f"before <{shown}> after"
    mask = Mask().learn({"S": secret})
    assert "S" in mask.found(text)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    stream = mask.stream()
    pieces = [stream.feed(text[start:end]) for start, end in pairwise([0, *cuts, len(text)])]
    for masked in (mask.text(text), "".join([*pieces, stream.end()])):
        assert core not in masked.replace("[masked S]", "\0")
        assert masked.startswith("before <")
        assert masked.endswith("> after")


@settings(deadline=None)
@given(secret=secrets, text=st.text(SIGNS, max_size=60))
def test_what_is_no_secret_stays_as_it_is(secret, text):
    mask = Mask().learn({"S": secret})
    stream = mask.stream()
    assume(not mask.found(text))
    assert mask.text(text) == text
    assert stream.feed(text) + stream.end() == text


@settings(deadline=None)
@given(
    values=st.lists(secrets, min_size=1, max_size=3),
    between=st.lists(st.text(SIGNS + "\"'\\`,|\t\n", max_size=30), min_size=4, max_size=12),
    data=st.data(),
)
def test_a_secret_that_stands_as_it_is_spelt_is_found_where_byte_by_byte_reading_finds_it(values, between, data):
    finder = Mask().learn({f"S{number}": value for number, value in enumerate(values)}).finder
    alone = replace(finder, patterns=tuple(replace(pattern, literal=b"") for pattern in finder.patterns))
    shown = [AROUND[data.draw(st.sampled_from(sorted(AROUND)))](data.draw(st.sampled_from(values))) for _ in between]
    text = "".join(part for pair in zip(between, shown, strict=True) for part in pair).encode()
    assert finder.spans(text) == alone.spans(text)
    assert set(finder.names(text)) == set(alone.names(text))


@pytest.mark.parametrize(
    "wrapped",
    [
        "A1b2C3d4E5\nF6g7H8i9J0",
        "A1b2C3d4E5\r\n   F6g7H8i9J0",
        json.dumps("A1b2C3d4E5\nF6g7H8i9J0"),
        json.dumps(json.dumps("A1b2C3d4E5\r\n  F6g7H8i9J0")),
        json.dumps(["A1b2C3d4E5\n", "F6g7H8i9J0"], indent=4),
        "│ A1b2C3d4E5      │\n│ F6g7H8i9J0      │",
        "\x1b[31mA1b2C3\x1b[39;49md4E5F6g7H8i9J0",
        "\x1b[31mA1b2C3d4E5\x1b[0m\nF6g7H8i9J0",
        "A1b2C3d4E5&#10;F6g7H8i9J0",
        "E   + A1b2C3d4E5\nE   + F6g7H8i9J0",
        "#x1B[92m+ A1b2C3d4E5#x1B[39;49m\n #x1B[92m+ F6g7H8i9J0",
        "A1b2C3d4E5F6g7H8i9J0".encode("utf-16-le").decode(),
    ],
)
def test_a_secret_broken_over_lines_is_masked(wrapped):
    mask = Mask().learn({"S": "A1b2C3d4E5F6g7H8i9J0"})
    masked = mask.text(wrapped)
    assert "[masked S]" in masked
    assert "A1" not in masked
    assert "J0" not in masked


def test_a_secret_broken_over_a_lists_texts_is_masked():
    mask = Mask().learn({"S": "A1b2C3d4E5F6g7H8i9J0"})
    assert mask.value(["x A1b2C3", "d4E5", "F6g7H8i9J0 y", "z"]) == ["x [masked S]", "[masked S]", "[masked S] y", "z"]
    assert mask.value(("x A1b2C3d4E5F6g7H8i9J0", "y")) == ["x [masked S]", "y"]


def test_words_that_only_together_are_a_secret_stay():
    mask = Mask().learn({"S": "hunter22"})
    assert mask.text("hunter 22, hunter, 22 and hunter|22") == "hunter 22, hunter, 22 and hunter|22"


@pytest.mark.parametrize("width", [64, 76])
@pytest.mark.parametrize("offset", range(3))
def test_wrapped_base64_is_masked(width, offset):
    secret = "correct horse battery staple " * 5
    encoded = base64.b64encode(b"x" * (30 + offset) + secret.encode() + b"y" * 30).decode()
    masked = Mask().learn({"S": secret}).text("\n".join(textwrap.wrap(encoded, width)))
    assert "[masked S]" in masked
    assert len(masked) < 120


def test_each_long_line_of_a_pem_key_is_masked():
    lines = [base64.b64encode(bytes([number]) * 48).decode() for number in range(10, 14)]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"])
    for value in (key, key.replace("\n", "\\n")):
        mask = Mask().learn({"KEY": value})
        assert mask.text(f"-----BEGIN PRIVATE KEY----- {lines[2]}") == "-----BEGIN PRIVATE KEY----- [masked KEY]"
        assert mask.text(key) == mask.text(json.dumps(key))[1:-1] == "[masked KEY]"


def test_of_two_secrets_that_overlap_nothing_is_left():
    mask = Mask().learn({"A": "abcdefgh", "B": "efghijkl"})
    assert mask.text("-abcdefghijkl-") == "-[masked A]-"


def test_a_stream_masks_what_ends_as_another_secret_begins():
    stream = Mask().learn({"A": "abcdefgh", "B": "hijklmno", "C": "fghxyz-1-hijklmno-2"}).stream()
    assert stream.feed(".abcdefgh") == "."
    assert stream.feed("ijklmno.") == "[masked A]."
    assert stream.feed("abcdefghxyz-1-hijklmno-") + stream.feed("!") + stream.end() == "[masked A]xyz-1-[masked B]-!"


def test_a_stream_shows_at_once_what_cannot_be_a_secrets_beginning():
    stream = Mask().learn({"S": "§§secret§§"}).stream()
    assert stream.feed("all of it") == "all of it"
    assert stream.feed("but not this §§sec") == "but not this "
    assert stream.feed("ond word") == "§§second word"
    assert stream.end() == ""


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


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://app@db/app?password=hunter2hunter2",
        "redis://cache/0?ssl=true&password=hunter2hunter2",
        "jdbc:postgresql://db/app?user=app&password=hunter2hunter2",
        "jdbc:sqlserver://db:1433;user=app;password=hunter2hunter2;encrypt=true",
        "mysql://db/app?user=app&pwd=hunter2hunter2",
        "https://example.org/hook?access_token=hunter2hunter2",
    ],
)
def test_a_secret_parameter_of_any_address_is_masked(address):
    mask = Mask().learn({"SOME_URL": address})
    assert mask.text(address) == address.replace("hunter2hunter2", "[masked SOME_URL]")


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("in /app.", "in .."),
        ('{"path": "/app/x"}', '{"path": "./x"}'),
        (r'"a\n/app/x"', r'"a\n./x"'),
        ("PATH=/bin:/app/bin", "PATH=/bin:./bin"),
        ("file:///app/x", "file://./x"),
        ("https://example.org/app/health", "https://example.org/app/health"),
        ("/application/x", "/application/x"),
        ("/app.toml and /app-2", "/app.toml and /app-2"),
        ("/srv/app", "/srv/app"),
    ],
)
def test_only_a_whole_path_is_shortened(text, shown):
    assert Mask(Path("/app")).text(text) == shown


def test_short_words_are_no_secrets():
    assert Mask().learn({"DEBUG_KEY": "false"}).text("false") == "false"
