"""Runs of the environment ``mini``: made by the real executor, sealed and signed with real keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import runbook_lib
from runbook_lib import environment, release, runner
from runbook_lib.environment import ROLES
from runbook_lib.errors import GateFailed
from runbook_lib.home import Home
from runbook_lib.record import keys, manifest, seal
from runbook_lib.record.archive import Run
from runbook_lib.record.keys import Trust
from runbook_lib.record.masking import Mask
from runbook_lib.step import Evidence, Finding, Step, check


@check("Is sound")
def sound() -> Finding:
    return Finding(True, "sound", "sound", evidence=(Evidence("seen.log", "what was seen\n"),))


@check("Is broken")
def broken() -> Finding:
    return Finding(False, "broken", "sound", remedy="mend it")


@dataclass(frozen=True)
class Kit:
    """The kit ``mini``, whose environment trusts one key for each role."""

    home: Home
    private: dict[str, Path]

    @property
    def toml(self) -> Path:
        return self.home.environments[0] / "mini.toml"

    @property
    def trust(self) -> Trust:
        return keys.read_trust(self.toml)

    @property
    def mask(self) -> Mask:
        return Mask(self.home.root).learn(environment.load("mini").secrets())

    def open(self, number: int = 3) -> Run:
        env = environment.load("mini")
        return runner.open_run(env, release.find(env, "v1"), runner.select(only=(number,)), runner.Options())

    def ran(self, *, number: int = 3, steps: dict[str, Step] | None = None) -> Run:
        """A run of one phase that was closed, its items sound but for those in `steps`."""
        run = self.open(number)
        phase = runbook_lib.begin(number, environment="mini", release="v1", run_id=run.id)
        for item in phase.definition.items:
            phase.item(item.id, (steps or {}).get(item.id) or sound())
        outcome = "passed"
        try:
            phase.gate()
        except GateFailed:
            outcome = "failed"
        run.notebook(phase.definition).write_text('{"cells": []}\n')
        run.events.append("run closed", outcome=outcome)
        manifest.write(run)
        return run

    def sealed(self) -> Run:
        run = self.ran()
        seal.seal(run, self.mask)
        return run

    def signed(self) -> Run:
        run = self.sealed()
        for role in ROLES:
            seal.sign(run, role, keys.signer(self.private[role]), self.trust)
        return run


@pytest.fixture
def roles(mini, tmp_path, monkeypatch) -> Kit:
    """Run ids are taken from the clock's second, so each run here gets the next number instead."""
    private = {role: tmp_path / f"{role}.pem" for role in ROLES}
    lines = [f'{role} = "{keys.generate(path)}"' for role, path in private.items()]
    kit = Kit(mini, private)
    with kit.toml.open("a") as file:
        file.write("\n".join(["\n[sign_off.keys]", *lines, ""]))
    numbered(monkeypatch)
    return kit


def numbered(monkeypatch) -> None:
    from runbook_lib.record import archive

    create, made = archive.create, []

    def next_run(*arguments, **options):
        made.append(create(*arguments, **{**options, "run_id": f"run-{len(made) + 1:03}"}))
        return made[-1]

    monkeypatch.setattr(archive, "create", next_run)
