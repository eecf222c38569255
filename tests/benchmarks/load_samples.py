"""What a million samples cost: memory while they are recorded, percentiles, charts.

Run by hand: ``python tests/benchmarks/load_samples.py``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from runbook_lib.load import charts, samples
from runbook_lib.load.interface import Call, Profile, Result, hold
from runbook_lib.load.samples import RECORD
from runbook_lib.load.schedule import times
from runbook_lib.load.verdict import Judged, judge

RECORDING = """
import re, sys
from runbook_lib.load.recorder import Recorder
from runbook_lib.load.samples import RECORD
def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
with open(sys.argv[1], "wb") as output:
    recorder = Recorder(output)
    before = most()
    for number in range(1_000_000):
        recorder.record(RECORD.pack(number / 1e4, 0.0, 0.001, 0.002, 0.003, 100, 200, 0, 0))
        if number % 50_000 == 0:
            recorder.flush()  # as once a second
    recorder.flush()
    print((most() - before) / 1024)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "samples")
        done = subprocess.run([sys.executable, "-c", RECORDING, file], capture_output=True, text=True, check=True)
    print(f"recording 1,000,000 samples at 50,000/s: {float(done.stdout):.1f} MB more (wanted at most 30)")
    load = hold(20_000.0, 50.0)
    due, random = times(load), np.random.default_rng(7)
    rows = np.zeros(len(due), dtype=list(samples.FIELDS))
    rows["due"], rows["end"], rows["status"] = due, random.lognormal(-5, 0.8, len(due)), 200
    print(f"read back: {rows.nbytes / 1e6:.0f} MB, {RECORD.size} bytes each")
    result = Result("builtin", Profile((Call(httpx.Request("GET", "http://x/"), "x"),), load), samples.Samples(rows))
    took = []
    for _ in range(5):
        began = time.perf_counter()
        result.samples.percentile(50, 95, 99)
        took.append(time.perf_counter() - began)
    print(f"percentiles of {len(rows)}: {sorted(took)[2]:.3f} s (wanted under 0.1)")
    for attempt in ("with matplotlib's import", "again"):
        seen = Judged(result)
        began = time.perf_counter()
        judge(seen)
        judged, used = time.perf_counter(), time.process_time()
        drawn = charts.of(seen)
        ended, size = time.perf_counter(), sum(len(chart.content) for chart in drawn)
        used = time.process_time() - used
        print(
            f"{attempt}: verdict with intervals {judged - began:.2f} s; {len(drawn)} charts {ended - judged:.2f} s "
            f"({used:.2f} s of processor time; wanted under 2), {size / 1000:.0f} kB (wanted at most 250)"
        )


if __name__ == "__main__":
    main()
