import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import dotenv, images
from runbook_lib.errors import NotApplicable
from runbook_lib.release import Release


@pytest.fixture
def artefact(env, tmp_path):
    """A release whose artefact holds the given files."""

    def make(files):
        folder = tmp_path / env.application.frontend.folder / env.application.frontend.artefact
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return Release("v1", "0" * 40, tmp_path)

    return make


SOUND = {"index.html": "<html>", "assets/app.js": "const password = document.querySelector('#password');"}
SOURCE = 'const api_key = "0123456789abcdef0123"; // for now'


def test_a_sound_artefact(env, artefact):
    finding = images.artefact(env, artefact(SOUND)).run()
    assert finding.ok, finding.observed
    assert [row[:2] for row in finding.tables[0].rows] == [("assets/app.js", 53), ("index.html", 6)]
    assert len(finding.tables[0].rows[0][2]) == 64


def test_no_artefact(env, artefact):
    assert not images.artefact(env, artefact({})).run().ok


def test_a_source_map_without_secrets(env, artefact):
    content = json.dumps({"sources": ["app.ts"], "sourcesContent": ["export const label = 'password';"]})
    assert images.artefact(env, artefact(SOUND | {"assets/app.js.map": content})).run().ok


@pytest.mark.parametrize("source", [SOURCE, "-----BEGIN RSA PRIVATE KEY-----", "const jwtSecret: 'a1b2c3d4e5f6g7h8'"])
def test_a_source_map_with_a_secret(env, artefact, source):
    content = json.dumps({"sources": ["app.ts"], "sourcesContent": [source]})
    finding = images.artefact(env, artefact(SOUND | {"assets/app.js.map": content})).run()
    assert not finding.ok
    assert list(finding.observed["leaks"]) == ["assets/app.js.map"]


def test_a_secret_of_the_environment_in_a_file(env, artefact):
    password = dotenv.read(env.dotenv.file)["POSTGRES_PASSWORD"]
    finding = images.artefact(env, artefact(SOUND | {"assets/app.js": f"connect('{password}')"})).run()
    assert not finding.ok
    assert "POSTGRES_PASSWORD" in finding.observed["leaks"]["assets/app.js"]
    assert password not in repr(finding)


def test_no_front_end(env, artefact):
    without = env.model_copy(update={"application": env.application.model_copy(update={"frontend": None})})
    with pytest.raises(NotApplicable):
        images.artefact(without, artefact(SOUND)).run()


VALUE = st.from_regex(r"[A-Za-z0-9+/_-]{12,40}", fullmatch=True)


@given(VALUE, st.sampled_from(["secret", "apiKey", "PASSWORD", "private_key"]), st.sampled_from(["'", '"']))
def test_a_literal_secret_is_found_however_it_is_quoted(value, name, quote):
    source = json.dumps({"sourcesContent": [f"let {name} = {quote}{value}{quote};"]})
    assert images.SECRET_IN_SOURCE.search(source.encode())
