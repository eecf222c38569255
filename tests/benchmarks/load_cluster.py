"""How two Dask workers of this machine compare with one, where the target has room.

Run by hand on a quiet machine: ``python tests/benchmarks/load_cluster.py``. A worker that sends as fast as it can takes
a whole core, and so does its target; with a core for each missing, the users pause between their requests, so that
there is room: what is measured is whether the second worker adds its own load, not how fast a worker can be.
"""

from __future__ import annotations

import httpx
from load_targets import nginx

from runbook_lib.load.cluster import Cluster
from runbook_lib.load.interface import Call, Profile, Users

SECONDS = 8.0


def main() -> None:
    with nginx() as target:
        rates = []
        for workers in (1, 2):
            # A user with a pause: how much load a worker makes is then a matter of the users that it is given.
            load = Users(50 * workers, SECONDS, think=0.01)
            result = Cluster(workers=workers).run(Profile((Call(httpx.Request("GET", target.url), "x"),), load))
            rates.append(len(result.samples) / SECONDS)
            failed = int(result.samples.failed.sum())
            print(f"{workers} workers: {rates[-1]:.0f}/s, {result.cost.cpu:.2f} cores, {failed} failed")
        print(f"ratio {rates[1] / rates[0]:.2f} (wanted at least 1.6)")


if __name__ == "__main__":
    main()
