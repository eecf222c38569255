from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.checks import load, processors

from ..waiting import until

BUSY = "import os\nme, parent = os.getpid(), os.fork()\nwhile parent or os.getppid() == me: pass"
"""Keeps two processes busy: itself, and a child that ends with it."""


def test_a_process_is_charged_with_what_its_children_use():
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        until(lambda: processors.used({"busy": busy.pid})["busy"] >= 0.5)
        fields = Path(f"/proc/{busy.pid}/stat").read_text().rpartition(")")[2].split()
        own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        assert processors.used({"busy": busy.pid})["busy"] > own + 0.1
        busy.kill()


def test_a_process_that_is_gone_uses_nothing():
    assert processors.used({"gone": 2**22 + 1}) == {"gone": 0.0}


def test_the_sandboxs_services_are_seen_while_they_are_under_load(env, unhurried):
    short = env.load.model_copy(update={"duration_seconds": 2.0, "ramp_seconds": 0.5})
    finding = load.sustained(env, load.under_load(unhurried(env.model_copy(update={"load": short})))).run()
    assert "processors.png" in [evidence.name for evidence in finding.evidence]
    seen = processors.services(env)
    assert seen.keys() == {"database", "cache", "backend", "edge"}


def test_services_elsewhere_are_not_seen(at):
    with processors.Watch(at("http://127.0.0.1:1")) as watch:
        pass
    assert watch.seen() is None


def test_use_is_told_in_processors(at, monkeypatch):
    looks = iter([0.0, 0.4, 0.3, 0.3])
    monkeypatch.setattr(processors, "services", lambda env: {"backend": 1})
    monkeypatch.setattr(processors, "used", lambda roots: {"backend": next(looks)})
    monkeypatch.setattr(processors, "POLL_SECONDS", 0.2)
    with processors.Watch(at("http://127.0.0.1:1")) as watch:
        until(lambda: len(watch._times) >= 3)
    use = watch.seen()
    assert use is not None
    assert use.cores["backend"][0] * (use.seconds[0]) == pytest.approx(0.4)
    assert use.cores["backend"][1] == 0.0
