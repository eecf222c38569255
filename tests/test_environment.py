from __future__ import annotations

import base64
import sys
from datetime import date

import pytest
from pydantic import ValidationError

from runbook_lib import environment, release
from runbook_lib.environment import Secret, is_secret_name
from runbook_lib.environment.signing import _PREFIX
from runbook_lib.errors import ConfigurationError, Unanswerable


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_examples_read(name, kit):
    assert environment.load(name, kit).name == name


@pytest.mark.parametrize(
    ("old", "new", "sentences"),
    [
        ('kind = "sandbox"', 'kind = "prod"', ["kind: found 'prod'", "'sandbox', 'staging' or 'production'"]),
        ('[web]\nurl = "', '[web]\nulr = "', ["web.url: is missing", "web.ulr: is not a setting; did you mean url?"]),
        ('domains = ["127.0.0.1"]', "domains = 3", ["domains: found 3"]),
        ('services = ["backend"]', "", ["services: is missing"]),
        ('name = "mini"', 'name = "other"', ["name is 'other', the file's name says 'mini'"]),
        ('name = "mini"', 'name = "mini', ["is not valid TOML", "line 2"]),
        (', key = "DATABASE_URL" }', " }", ["file and key go together"]),
        ('url = "http://127.0.0.1:9"', 'url = "your-domain.com"', ["web.url: found 'your-domain.com'; ", "https://"]),
        ('url = "http://127.0.0.1:9"', 'url = "http://"', ["web.url: found 'http://'; ", "names a host"]),
        ("[security]", "[security]\nopen_ports = [80, 99999]", ["security.open_ports.1: found 99999", "65535"]),
        ("[security]", "[security]\nscanned_ports = [[9, 1]]", ["security.scanned_ports.0: ", "from the lower to"]),
        ('kind = "sandbox"', 'kind = "sandbox"\nstaging = "mini"', ["staging: found 'mini'; ", "another environment"]),
        (
            '{ file = "../../.env", key = "DATABASE_URL" }',
            '"postgresql://u:hunter2@h/db"',
            ["is a secret, which is given"],
        ),
        ('kind = "sandbox"', 'kind = "x://u:hunter2@h"', ["kind: found 'x://…@h'"]),
        ('kind = "sandbox"', 'kind = "sandbox"\ntoken = "hunter2hunter2"', ["token: is not a setting"]),
    ],
)
def test_an_error_names_file_key_what_was_found_and_what_is_allowed(mini, old, new, sentences):
    toml = mini.environments[0] / "mini.toml"
    text = toml.read_text()
    assert old in text
    toml.write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError) as caught:
        environment.load("mini")
    assert str(toml) in str(caught.value)
    for sentence in sentences:
        assert sentence in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_paths_are_relative_to_the_toml(mini):
    assert environment.load("mini").application.repository == mini.root / "application"


def test_secrets_are_looked_up_when_they_are_needed(mini, monkeypatch):
    env = environment.load("mini")
    assert env.database.url.resolve().get_secret_value().endswith("@127.0.0.1:9/db")
    (mini.root / ".env").write_text("DATABASE_URL=other-value\n")
    assert env.database.url.resolve().get_secret_value() == "other-value"
    monkeypatch.setenv("TOKEN", "from-the-environment")
    assert Secret(env="TOKEN").resolve().get_secret_value() == "from-the-environment"
    assert Secret(command=("echo", "printed")).resolve().get_secret_value() == "printed"
    assert "other-value" not in repr(env.database.url.resolve())


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ("", 4 * 900 + 3 + 30),
        ("[limits]\nbackup = 7200\n[load]\nduration_seconds = 3600\nramp_seconds = 0", 4 * 7200 + 3600),
        ("[limits]\ncell = 77\nbackup = 7200", 77),
    ],
    ids=["as it comes", "a large database and a long load test", "given"],
)
def test_a_cell_may_take_as_long_as_its_steps(mini, settings, seconds):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(f"{toml.read_text()}\n{settings}\n")
    assert environment.load("mini").cell_seconds() == seconds


@pytest.mark.parametrize(
    "name", ["DB_PASS", "SMTP_PWD", "SESSION_SALT", "GPG_PASSPHRASE", "AWS_CREDENTIALS", "api_key"]
)
def test_secrets_are_known_by_their_names(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["COMPASS", "PASSED", "SPINNER", "LOG_LEVEL", "SALTO"])
def test_harmless_names_are_no_secrets(name):
    assert not is_secret_name(name)


def test_of_a_command_the_first_line_of_its_standard_output_is_the_secret(tmp_path):
    script = "import sys; print('gpg: WARNING', file=sys.stderr); print('hunter2'); print('login: me')"
    assert Secret(command=(sys.executable, "-c", script)).resolve().get_secret_value() == "hunter2"


def test_a_command_without_words_is_refused():
    with pytest.raises(ValidationError, match="at least 1 item"):
        Secret(command=())


def test_a_dotenv_file_that_is_no_utf_8_is_named_for_nothing_in_it_could_be_masked(mini):
    env = environment.load("mini")
    env.dotenv.file.write_bytes(b"NAME=\xe9\n")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        env.secrets()


@pytest.mark.parametrize(
    "setting",
    [
        "[objectives]\nrequests_per_second = nan",
        "[objectives]\np95_milliseconds = inf",
        "[objectives]\np95_milliseconds = 0.0",
        "[limits]\nbackup = 0.0",
    ],
)
def test_numbers_that_nothing_can_hold_are_refused(mini, setting):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(f"{toml.read_text()}\n{setting}\n")
    with pytest.raises(ConfigurationError, match=setting.partition("\n")[2].partition(" ")[0]):
        environment.load("mini")


@pytest.mark.parametrize("secret", [Secret(env="NOT_SET_ANYWHERE"), Secret(command=("false",))])
def test_a_secret_that_leads_nowhere_cannot_be_answered(secret):
    with pytest.raises(Unanswerable):
        secret.resolve()


def test_a_release_is_a_tag(mini):
    env = environment.load("mini")
    found = release.find(env, "v1")
    assert (found.tag, len(found.commit)) == ("v1", 40)
    assert found.folder == mini.root / "releases" / "v1"
    with pytest.raises(ConfigurationError, match="'v9' is no tag"):
        release.find(env, "v9")


DAY = date(2026, 11, 29)
LINE = f"ssh-ed25519 {base64.b64encode(_PREFIX + bytes(32)).decode()}"
KEYS = f"[sign_off]\nthreshold = 1\n[sign_off.keys]\nsecurity = '{LINE}'\n"
WAIVER = "[[waivers]]\nitem = '11.1'\nreason = 'r'\nperson = 'p'\nexpires = 2026-11-{}\n"
ACCEPTED = "[[security_audit.accepted]]\nid = 'CVE-1'\nreason = 'r'\nexpires = 2026-11-{}\n"
TEAM = "[[contacts]]\nrole = '{}'\n[recovery]\noperators = ['dba']\n[[documentation.escalation]]\nrole = 'dba'\n"


@pytest.mark.parametrize(
    ("sound", "faulty", "remark"),
    [
        ("", "", "sign_off.keys: names nobody"),
        (WAIVER.format(29), WAIVER.format(28), "waivers: that of 11.1 has run out on 2026-11-28"),
        (ACCEPTED.format(29), ACCEPTED.format(28), "security_audit.accepted: CVE-1 has run out on 2026-11-28"),
        (TEAM.format("dba"), TEAM.format("ops"), "documentation.escalation: no [[contacts]] has the role 'dba'"),
        (TEAM.format("dba"), TEAM.format("ops"), "recovery.operators: no [[contacts]] has the role 'dba'"),
        (
            "[load]\nengine = { kind = 'k6', script = '/dev/null' }",
            "[load]\nengine = { kind = 'k6', script = 'gone.js' }",
            "load.engine.script: {environments}/gone.js is not there",
        ),
        (
            "[[announcement.channels]]\nenv = 'PATH'",
            "[[announcement.channels]]\nenv = 'NOT_SET_ANYWHERE'",
            "announcement.channels.0: no value found for the secret $NOT_SET_ANYWHERE",
        ),
    ],
    ids=["keys", "waiver", "accepted", "escalation", "operators", "script", "channel"],
)
def test_what_cannot_hold_is_remarked_before_anything_runs(mini, sound, faulty, remark):
    toml = mini.environments[0] / "mini.toml"
    text = toml.read_text()
    toml.write_text(text + KEYS + sound)
    assert list(environment.remarks(environment.load("mini"), DAY)) == []
    toml.write_text(text + (KEYS if faulty else "") + faulty)
    wanted = remark.format(environments=mini.environments[0])
    assert any(said.startswith(wanted) for said in environment.remarks(environment.load("mini"), DAY))


def test_a_remark_runs_no_command_and_expects_no_dotenv_file(mini):
    toml = mini.environments[0] / "mini.toml"
    asks = "[cache]\nurl = { command = ['touch', 'asked'] }\n"
    toml.write_text(toml.read_text() + KEYS + asks)
    (mini.root / ".env").unlink()
    assert list(environment.remarks(environment.load("mini"), DAY)) == []
    assert not list(mini.root.rglob("asked"))
