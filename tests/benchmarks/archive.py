"""An archive of 10,000 runs, made from one real run: its index, what is asked of it, and the page of all runs.

Run by hand: ``python tests/benchmarks/archive.py``; the run is the archived example, whose four signatures every list
checks. Asked: 500 runs a second or more into a new index, under 0.2 s to bring it up to date after one more run, under
0.1 s for each question, and under 2 MB for index.html.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

KIT = Path(__file__).parents[2]
sys.path.insert(0, str(KIT))
EXAMPLE = next(KIT.glob("outputs/example/2*"))
TRUST = Path("notebooks/environments/example.trust")
RUNS = 10_000
CLOCK = time.process_time if os.environ.get("CPU") else time.perf_counter
"""CPU=1 counts processor time, for a machine that others use too."""
chance = random.Random(1)


def vary(number: int, overview: dict[str, Any]) -> None:
    """A release every 20 runs; an item in fifty fails; load tests scatter by a tenth."""
    overview["release"] = f"v1.{number // 20}.0"
    overview["outcome"] = chance.choice(("passed", "failed"))
    for item in overview["items"].values():
        item["status"] = chance.choices(("passed", "failed"), (49, 1))[0]
        item["said"] += f"\nrun number {number}"
    load = {"throughput": 500.0 * chance.uniform(0.9, 1.1), "p95": 20.0 * chance.uniform(0.9, 1.1), "errors": 0.0}
    overview["loads"] = {"11.1.1": load}


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = CLOCK()
    work()
    return CLOCK() - started


def usual(work: Callable[[], object]) -> float:
    """The median of five times."""
    return median(seconds(work) for _ in range(5))


def main() -> None:
    """Make the archive, measure, and print."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["RUNBOOK_HOME"] = temporary
        (Path(temporary) / TRUST).parent.mkdir(parents=True)
        shutil.copy(KIT / TRUST, Path(temporary) / TRUST)
        measure(EXAMPLE, Path(temporary) / "outputs" / "example")


def measure(source: Path, environment: Path) -> None:
    """Multiply the run whose folder is `source`, and ask."""
    from runbook_lib.record import manifest
    from runbook_lib.record.archive import Run
    from runbook_lib.review import index, listing, lookup, runs_page, trend
    from tests.many_runs import multiply

    shutil.copytree(source, environment / "one")
    run = Run(environment / "one")
    manifest.write(run)
    items = len(manifest.read(run)["predicate"]["overview"]["items"])
    multiply(run, RUNS, vary)
    cold = seconds(lookup.entries)
    print(f"{RUNS} runs of {items} items, manifests of {(run.folder / manifest.NAME).stat().st_size / 1000:.0f} kB")
    print(f"new index: {cold:.1f} s, {RUNS / cold:.0f} runs/s (asked: 500)")
    print(f"its size: {(environment.parent / index.NAME).stat().st_size / 1e6:.0f} MB")
    shutil.copytree(run.folder, environment / "zz-one-more")
    print(f"up to date after one more run: {seconds(lambda: lookup.search('nowhere')):.3f} s (asked: 0.2)")
    questions: dict[str, Callable[[], object]] = {
        "search, a rare word": lambda: lookup.search("number 4711"),
        "search, a word of every run": lambda: lookup.search("number"),
        "list of the newest 50": lambda: listing.newest(limit=50),
        "list of all": lookup.entries,
        "trend": lambda: trend.of("example"),
    }
    for name, ask in questions.items():
        print(f"{name}: {usual(ask):.3f} s (asked: 0.1)")
    print(f"index.html: {usual(runs_page.write):.2f} s, {runs_page.write().stat().st_size / 1e6:.2f} MB (asked: 2)")


if __name__ == "__main__":
    main()
