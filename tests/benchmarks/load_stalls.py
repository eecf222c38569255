"""Who tells the truth about a server that stalls for one second in every five: ours, beside its peers.

Run by hand on a machine with two quiet cores: ``python tests/benchmarks/load_stalls.py``; what it needs stands in
``load_throughput.py``. The truth is computed from the server's own schedule for the moments at which requests were due.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys

import httpx
import numpy as np
from load_targets import GENERATOR_CORE, PROGRAMS, output, stalled, stalling
from load_throughput import in_file

from runbook_lib.load.engine import BuiltIn
from runbook_lib.load.interface import Call, Profile, hold

SECONDS = 30
K6 = """
import http from 'k6/http';
export const options = {
  summaryTrendStats: ['p(95)', 'p(99)'],
  scenarios: { a: { executor: 'constant-arrival-rate', rate: RATE, timeUnit: '1s', duration: '30s',
    preAllocatedVUs: 50, maxVUs: 50 } },
};
export default function () { http.get('URL'); }
export function handleSummary(data) {
  const dropped = data.metrics.dropped_iterations ? data.metrics.dropped_iterations.values.count : 0;
  return { stdout: JSON.stringify({ ...data.metrics.http_req_duration.values, dropped: dropped }) };
}
"""
LOCUST = """
from locust import FastHttpUser, constant_throughput, task
class User(FastHttpUser):
    wait_time = constant_throughput(RATE / 50)
    @task
    def one(self): self.client.get("/")
"""


def truth(moments: np.ndarray) -> tuple[float, float]:
    p95, p99 = np.percentile(stalled(moments), (95, 99))
    return float(p95), float(p99)


def ours(url: str, rate: int) -> None:
    os.sched_setaffinity(0, {GENERATOR_CORE})
    result = BuiltIn().run(Profile((Call(httpx.Request("GET", url), "x"),), hold(float(rate), SECONDS)))
    p95, p99 = result.percentile(95, 99)
    true95, true99 = truth(result.began + result.held.rows["due"])
    print(
        f"  runbook  p95 {p95:6.1f} ms (truth {true95:6.1f}, off by {abs(p95 / true95 - 1):.1%}), "
        f"p99 {p99:6.1f} ms (truth {true99:6.1f}, off by {abs(p99 / true99 - 1):.1%}); wanted within 2 %; "
        f"{len(result.samples)} of {rate * SECONDS} sent, lag p99 {result.lag(99):.2f} ms"
    )


def k6(url: str, rate: int) -> None:
    script = K6.replace("URL", url).replace("RATE", str(rate))
    said = in_file("script.js", script, str(PROGRAMS / "k6"), "run", "--quiet", "--no-usage-report", "FILE")
    seen = json.loads(said[said.index("{") : said.rindex("}") + 1])
    dropped = seen["dropped"] / (rate * SECONDS)
    print(f"  k6       p95 {seen['p(95)']:6.1f} ms, p99 {seen['p(99)']:6.1f} ms; 50 users, {dropped:.0%} never sent")


def hey(url: str, rate: int) -> None:
    said = output("hey", "-z", f"{SECONDS}s", "-c", "50", "-q", f"{rate // 50}", url)
    p95, p99 = (1000 * float(re.search(rf"{q}%+ in ([\d.]+)", said)[1]) for q in (95, 99))
    print(f"  hey      p95 {p95:6.1f} ms, p99 {p99:6.1f} ms")


def locust(url: str, rate: int) -> None:
    words = (str(PROGRAMS / "locust"), "--headless", "-u", "50", "-r", "50", "-t", f"{SECONDS}s", "--only-summary")
    said = in_file("locustfile.py", LOCUST.replace("RATE", f"{rate:.1f}"), *words, "-H", url.rstrip("/"), "-f", "FILE")
    # Columns: 50 66 75 80 90 95 98 99 …
    numbers = re.findall(r"Aggregated((?:\s+\d+)+)\s*$", said, re.MULTILINE)[-1].split()
    print(f"  locust   p95 {float(numbers[5]):6.1f} ms, p99 {float(numbers[7]):6.1f} ms")


def main() -> None:
    with stalling() as target:
        for rate in (500, 1000):
            print(f"{rate} requests/s against a server that stalls for 1 s in every 5; the checklist's limit is 200 ms")
            ours(target.url, rate)
            for name, peer in (("k6", k6), ("hey", hey), ("locust", locust)):
                if not (shutil.which(name) or (PROGRAMS / name).exists()):
                    continue
                try:
                    peer(target.url, rate)
                except (TypeError, IndexError, ValueError, KeyError) as error:
                    print(f"  {name}: could not be run: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
