"""Two real runs of one small notebook, whose single item says what a file tells it to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from runbook_lib.home import Home
from runbook_lib.load.samples import FIELDS, Samples
from runbook_lib.record.archive import Run, new_id
from runbook_lib.release import Release

from ...test_runner import run
from ...waiting import until

SAYS = """\
import datetime, json, os, pathlib, time
from runbook_lib.step import Evidence
told = json.loads(pathlib.Path({told!r}).read_text())
noise = lambda: {{
    "said": told["said"],
    "answered": f"after {{time.perf_counter():.3f}} s, {{time.perf_counter():.1f}} requests/s",
    "at": datetime.datetime.now(datetime.UTC).isoformat(),
    "by": f"process {{os.getpid()}} of {{phase.run.id}} at http://127.0.0.1:{{os.getpid() % 60000 + 1}}/",
    "seconds": time.time(),
}}
samples = pathlib.Path({samples!r})
kept = (Evidence("samples.parquet", samples.read_bytes()),) if samples.exists() else ()
says = check("Says")(lambda: Finding(told["ok"], noise(), told["expected"], evidence=kept, facts=told["facts"]))"""
CELLS = ['phase.item("3.1", says())', 'phase.item("3.2", sound())', "phase.gate()"]
HELD = ((2.0, 32.0, 100.0),)
FACT = {"engine": "builtin", "open_loop": True, "rate": 100.0, "calls": ["GET /health"], "sustained": 100.0}
FACT |= dict.fromkeys(("p50", "p95", "p95_low", "p95_high", "p99", "errors"), 1.0)


@dataclass
class Stage:
    """What the next run is to say."""

    home: Home
    told: dict[str, Any] = field(
        default_factory=lambda: {"ok": True, "said": "sound", "expected": "below 100 ms", "facts": {}}
    )
    cells: list[str] = field(default_factory=lambda: list(CELLS))

    def load(self, milliseconds: Callable[[np.random.Generator, np.ndarray], np.ndarray], seed: int, **fact) -> None:
        """Half a minute of load, after a ramp in which everything takes a second."""
        due = np.arange(0.0, 32.0, 0.01)
        rows = np.zeros(len(due), dtype=list(FIELDS))
        rows["due"], rows["status"] = due, 200
        rows["end"] = np.where(due < 2.0, 1.0, milliseconds(np.random.default_rng(seed), due) / 1000.0)
        (self.home.root / "samples.parquet").write_bytes(Samples(rows).parquet(["GET /health"], HELD))
        self.told["facts"] = {"load": FACT | fact}

    def run(self) -> Run:
        told, samples = self.home.root / "told.json", self.home.root / "samples.parquet"
        told.write_text(json.dumps(self.told))
        # Run ids are of the second, and two runs may take less.
        until(lambda: not (self.home.outputs / "mini" / new_id(Release("v1", "", self.home.root))).exists())
        return run(self.home, {3: [SAYS.format(told=str(told), samples=str(samples)), *self.cells]})[1]


@pytest.fixture
def stage(mini) -> Stage:
    return Stage(mini)
