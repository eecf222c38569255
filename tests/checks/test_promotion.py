"""Which of staging's runs speak for a release: sealed for real, on an environment of its own."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest

import runbook_lib
from runbook_lib import checklist, environment, platforms, release, runner
from runbook_lib.checks import promotion
from runbook_lib.checks.promotion import find
from runbook_lib.environment import ROLES
from runbook_lib.errors import Unanswerable
from runbook_lib.record import keys, manifest, seal
from runbook_lib.record.masking import Mask
from runbook_lib.step import Finding, check


class Platform:
    def __init__(self, deployed):
        self.running = deployed

    def deployed(self):
        if isinstance(self.running, Exception):
            raise self.running
        return self.running


@check("Is sound")
def sound() -> Finding:
    return Finding(True, "sound", "sound")


@pytest.fixture
def staging(mini, monkeypatch):
    """A staging environment whose platform runs v1, and a function that takes a run through its phases."""
    monkeypatch.setattr(platforms, "connect", lambda env: Platform("v1"))

    def run(phases=None):
        env = environment.load("mini")
        tag = release.find(env, "v1")
        meant = [phase for phase in checklist.forward() if phase.number < checklist.SIGN_OFF]
        meant = meant[: phases or len(meant)]
        opened = runner.open_run(env, tag, meant, runner.Options())
        for each in meant:
            phase = runbook_lib.begin(each.number, environment="mini", release="v1", run_id=opened.id)
            for item in each.items:
                phase.item(item.id, sound())
            phase.gate()
        opened.events.append("run closed", outcome="passed")
        manifest.write(opened)
        return opened

    return run


def v1():
    return release.find(environment.load("mini"), "v1")


def sealed(run):
    seal.seal(run, Mask().learn(environment.load("mini").secrets()))
    return run


def found(hours=1.0, target=None):
    return find(environment.load("mini"), target or v1(), hours)


def test_a_sealed_run_of_the_same_commit_counts(staging):
    run = sealed(staging())
    promoted, refused = found()
    assert promoted is not None
    assert (promoted.run, refused) == (run, ())
    assert promoted.digest == manifest.digest(run.folder / manifest.NAME)


def why(**options) -> str:
    promoted, refused = found(**options)
    assert promoted is None
    return refused[0].why_not


def test_one_that_is_not_sealed_does_not_count(staging):
    staging()
    assert why() == "it is not sealed"


def test_one_that_left_phases_out_does_not_count(staging):
    sealed(staging(phases=14))
    assert why() == "the gates of its phases 15, 16 have not passed"


def test_one_that_is_too_old_does_not_count(staging, monkeypatch):
    sealed(staging())

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(hours=25)

    monkeypatch.setattr(promotion, "datetime", Later)
    assert why(hours=24) == "it is 25.0 hours old, and 24 are allowed"


def test_one_that_was_changed_does_not_count(staging):
    run = sealed(staging())
    (run.folder / "new.txt").write_text("x")
    assert why() == "it does not hold: new.txt was added"


def test_one_whose_events_are_broken_does_not_count(staging):
    run = sealed(staging())
    run.events.path.chmod(0o644)
    run.events.path.write_bytes(run.events.path.read_bytes().replace(b'"number":3', b'"number":4', 1))
    assert "its record is damaged" in why()


def test_one_of_another_commit_is_not_looked_at(staging):
    sealed(staging())
    other = release.Release("v2", "f" * 40, v1().folder)
    assert found(target=other) == (None, ())


@pytest.mark.parametrize(
    ("deployed", "said"),
    [
        ("v0", "staging runs v0 by now"),
        (None, "staging runs nothing by now"),
        (Unanswerable("no socket"), "staging cannot be asked what it runs: no socket"),
    ],
)
def test_staging_must_still_run_it(staging, monkeypatch, deployed, said):
    sealed(staging())
    monkeypatch.setattr(platforms, "connect", lambda env: Platform(deployed))
    assert why() == said


def test_where_staging_trusts_keys_it_must_be_signed_off(staging, mini, tmp_path):
    toml = mini.environments[0] / "mini.toml"
    lines = [f'{role} = "{keys.generate(tmp_path / role)}"' for role in ROLES]
    toml.write_text("\n".join([toml.read_text(), "[sign_off.keys]", *lines, ""]))
    run = sealed(staging())
    assert why() == "4 more of 4 roles have to sign it (runbook sign)"
    for role in ROLES:
        seal.sign(run, role, keys.signer(tmp_path / role), keys.read_trust(toml))
    promoted, _ = found()
    assert promoted is not None


def test_nothing_counts_where_there_is_nothing(mini):
    shutil.rmtree(mini.outputs)
    mini.outputs.mkdir()
    assert found() == (None, ())
