"""Requests per second of one core, ours beside its peers: 50 connections kept alive, a small JSON from nginx.

Run by hand on a machine with two quiet cores: ``python tests/benchmarks/load_throughput.py [rounds]``. It needs nginx,
wrk and hey (Debian: ``apt-get install nginx-light wrk hey``), and, into the same environment only for this,
``pip install locust k9-load aiohttp``. A peer that is missing is left out. Beside each ratio stands how busy the target
was: near 100 % it is the target that is measured.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import httpx
from load_targets import GENERATOR_CORE, PROGRAMS, Target, median, nginx, output

from runbook_lib.load.engine import BuiltIn
from runbook_lib.load.interface import Call, Profile, Users, hold

SECONDS = 6
USERS = 50
K6 = """
import http from 'k6/http';
import { check } from 'k6';
export const options = { vus: 50, duration: '6s', discardResponseBodies: true };
export default function () { check(http.get('URL'), { ok: (r) => r.status === 200 }); }
"""
K9 = """
options: {vus: 50, duration: 6s}
flows: {default: [{request: {url: "URL", checks: {ok: {status: 200}}}}]}
"""
LOCUST = """
from locust import FastHttpUser, task
class User(FastHttpUser):
    @task
    def one(self): self.client.get("/")
"""
AIOHTTP = """
import asyncio, sys, time, uvloop, aiohttp
async def user(session, end):
    count = 0
    while time.monotonic() < end:
        async with session.get(sys.argv[1]) as answer:
            await answer.read(); count += 1
    return count
async def main():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        end = time.monotonic() + 6
        print(sum(await asyncio.gather(*(user(session, end) for _ in range(50)))) / 6)
uvloop.run(main())
"""


def ours(url: str) -> float:
    os.sched_setaffinity(0, {GENERATOR_CORE})
    result = BuiltIn().run(Profile((Call(httpx.Request("GET", url), "x"),), Users(USERS, SECONDS)))
    assert not result.samples.failed.any()
    return len(result.samples) / SECONDS


def wrk(url: str) -> float:
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output("wrk", "-t1", f"-c{USERS}", f"-d{SECONDS}", url))[1])


def hey(url: str) -> float:
    said = output("hey", "-z", f"{SECONDS}s", "-c", str(USERS), "-cpus", "1", url)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def k6(url: str) -> float:
    said = in_file("script.js", K6.replace("URL", url), str(PROGRAMS / "k6"), "run", "--no-usage-report", "FILE")
    return float(re.search(r"http_reqs[^\n]*?([\d.]+)/s", said)[1])


def k9(url: str) -> float:
    said = in_file("plan.yaml", K9.replace("URL", url), str(PROGRAMS / "k9"), "run", "FILE")
    return float(re.search(r"http_reqs[^\n]*?([\d.]+)/s", said)[1])


def locust(url: str) -> float:
    words = (str(PROGRAMS / "locust"), "--headless", "-u", str(USERS), "-r", str(USERS), "-t", f"{SECONDS}s")
    said = in_file("locustfile.py", LOCUST, *words, "--only-summary", "-H", url.rstrip("/"), "-f", "FILE")
    return float(re.findall(r"Aggregated\s+\d+\s+\d+\([\d.]+%\)[ |]+[\d. ]+\|\s+([\d.]+)", said)[-1])


def aiohttp(url: str) -> float:
    return float(output(sys.executable, "-c", AIOHTTP, url).split()[-1])


def in_file(name: str, text: str, *words: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text)
        return output(*(str(path) if word == "FILE" else word for word in words))


GENERATORS = {"runbook": ours, "wrk": wrk, "k9-load": k9, "hey": hey, "k6": k6, "aiohttp": aiohttp, "locust": locust}
WANTED = {"wrk": 0.75, "k9-load": 1.2, "k6": 6.0, "locust": 15.0}


def measured(name: str, target: Target) -> tuple[float, float, float]:
    """Requests per second; how busy the target was (a share of its core); requests per second of the generator's own
    processor time, its start included, which a machine that is not quiet disturbs less.
    """
    used, own = target.used(), resource.getrusage(resource.RUSAGE_CHILDREN)
    rate = GENERATORS[name](target.url)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = spent.ru_utime + spent.ru_stime - own.ru_utime - own.ru_stime
    return rate, (target.used() - used) / SECONDS, rate * SECONDS / seconds


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seen: dict[str, list[tuple[float, float, float]]] = {}
    with nginx() as target:
        for _ in range(rounds):
            for name in GENERATORS:
                if name not in ("runbook", "aiohttp") and not (
                    shutil.which(name) or (PROGRAMS / name.removesuffix("-load")).exists()
                ):
                    continue
                try:
                    seen.setdefault(name, []).append(measured(name, target))
                except (TypeError, IndexError, ValueError):
                    print(f"{name}: could not be run")
        own, _, own_alone = (median(list(column)) for column in zip(*seen["runbook"], strict=True))
        for name, values in seen.items():
            rate, busy, alone = (median(list(column)) for column in zip(*values, strict=True))
            wanted = f", wanted at least {WANTED[name]:g}" if name in WANTED else ""
            print(
                f"{name:8} {rate:9.0f}/s  target's core {busy:4.0%}  ratio {own / rate:6.2f}{wanted}; "
                f"{alone:9.0f} per second of its processor time, ratio {own_alone / alone:6.2f}"
            )
        quiet(target)


def quiet(target: Target) -> None:
    """What the generator costs at 500 a second."""
    os.sched_setaffinity(0, {GENERATOR_CORE})
    result = BuiltIn().run(Profile((Call(httpx.Request("GET", target.url), "x"),), hold(500.0, 20.0, ramp=1.0)))
    print(
        f"at 500/s: {result.cost.cpu:.1%} of a core (wanted at most 10 %), lag p99 {result.lag(99):.2f} ms "
        f"(wanted at most 2), {len(result.samples)} of 10250 sent, p50 {result.percentile(50)[0]:.2f} ms"
    )


if __name__ == "__main__":
    main()
