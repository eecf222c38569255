from __future__ import annotations

import builtins
import os
import pickle
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import dask
import numpy as np
import pytest

from runbook_lib.errors import Unanswerable
from runbook_lib.load.cluster import Cluster
from runbook_lib.load.interface import hold
from runbook_lib.load.samples import Outcome
from runbook_lib.load.verdict import Judged, judge
from runbook_lib.load.verdict import Outcome as Came
from runbook_lib.step import reporting

from ..waiting import until

# Not two at a time, for the namespaces have the same addresses each time; nor beside a browser on the sandbox, which
# gives a page up when interfaces come and go.
pytestmark = pytest.mark.xdist_group("sandbox")
HOST = "10.213.77.1"
"""Of the bridge between the namespaces; nothing else is there."""


def namespaces_or_skip() -> None:
    if os.geteuid() == 0 and shutil.which("ip"):
        made = subprocess.run(["ip", "netns", "add", "runbook-probe"], capture_output=True, text=True)
        subprocess.run(["ip", "netns", "del", "runbook-probe"], capture_output=True)
        if made.returncode == 0:
            return
        why = f"no network namespace can be made here: {made.stderr.strip()}"
    else:
        why = "network namespaces need root and iproute2"
    assert not os.environ.get("CI"), why
    pytest.skip(why)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def namespaces():
    """Three network namespaces, joined to this one by a bridge."""
    namespaces_or_skip()
    # Never the same twice: the kernel takes its time to remove the devices of a namespace that is gone.
    own = f"rb{secrets.token_hex(3)}"
    names = [f"{own}n{number}" for number in range(3)]
    try:
        ip("link", "add", own, "type", "bridge")
        ip("addr", "add", f"{HOST}/24", "dev", own)
        ip("link", "set", own, "up")
        for number, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{own}v{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{own}v{number}", "master", own, "up")
            ip("-n", name, "addr", "add", f"10.213.77.{number + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", own], capture_output=True)


@pytest.fixture
def scheduler(namespaces, tmp_path):
    """A Dask scheduler on the bridge, and its workers, each in a namespace of its own; gives both."""
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", HOST, "--port", "0"]
    started = [subprocess.Popen([*dask, "--no-dashboard", "--scheduler-file", str(file)], **quiet)]
    until(lambda: file.exists() and '"address"' in file.read_text())
    address = next(line.split('"')[3] for line in file.read_text().splitlines() if '"address"' in line)
    for name in namespaces:
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
        words = ["ip", "netns", "exec", name, *worker, "--nthreads", "1", "--local-directory", str(tmp_path / name)]
        started.append(subprocess.Popen(words, **quiet))
    yield address, started[1:]
    for process in reversed(started):
        process.kill()
        process.wait()


def test_workers_of_this_machine_share_one_schedule(profile, target):
    # First, for it is what gives Dask the settings that this one is put back to.
    import distributed  # noqa: F401

    said = []
    # Dask's own refreshing of what its client knows of the workers must lose none of them.
    often = dask.config.set({"distributed.client.scheduler-info-interval": "1ms"})
    with often, reporting(said.append):
        result = Cluster(workers=2).run(profile("/fixed", seconds=3.0))
    assert result.samples.outcomes() == {Outcome.ANSWERED: 600}
    assert target.asked["/fixed"] == 600
    np.testing.assert_allclose(np.diff(result.samples.rows["due"]), 0.005, atol=1e-6)
    assert (result.lost, result.stopped, result.cost.processes) == ((), "", 2)
    assert any("2 workers" in line and "p95" in line for line in said)


def test_workers_on_three_machines_make_one_test(profile, serve, scheduler):
    target = serve(host=HOST)
    asked = replace(profile("/fixed", seconds=3.0), calls=target.calls("/fixed"))
    result = Cluster(scheduler[0], workers=3).run(asked)
    assert result.samples.outcomes() == {Outcome.ANSWERED: 600}
    assert target.asked["/fixed"] == len(result.samples)
    # Each of the namespaces has sent its share.
    assert Counter(target.peers) == Counter({f"10.213.77.{number}": 200 for number in (2, 3, 4)})


def test_a_worker_lost_in_mid_test_is_named_and_makes_it_inconclusive(profile, serve, scheduler):
    target, (address, workers) = serve(host=HOST), scheduler

    def kill() -> None:
        until(lambda: target.asked["/fixed"] >= 100)
        workers[0].kill()

    threading.Thread(target=kill, daemon=True).start()
    asked = replace(profile("/fixed"), calls=target.calls("/fixed"), load=hold(200.0, 6.0))
    result = Cluster(address, workers=3).run(asked)
    (lost,) = result.lost
    assert lost.startswith("worker tcp://10.213.77.2:")
    found = judge(Judged(result))
    assert found.outcome is Came.INCONCLUSIVE
    assert "was lost in mid-test" in found.reasons[0]
    assert len(result.samples) == 800


OPERATOR = """
import pickle, sys
from runbook_lib.load.cluster import Cluster
Cluster(sys.argv[1], workers=3).run(pickle.load(open(sys.argv[2], "rb")))
"""


def test_workers_whose_operator_is_gone_stop_by_themselves(profile, serve, scheduler, tmp_path):
    target = serve(host=HOST)
    asked = replace(profile("/fixed"), calls=target.calls("/fixed"), load=hold(200.0, 60.0))
    (tmp_path / "profile").write_bytes(pickle.dumps(asked))
    operator = subprocess.Popen([sys.executable, "-c", OPERATOR, scheduler[0], tmp_path / "profile"])
    until(lambda: target.asked["/fixed"] >= 100)
    operator.kill()
    operator.wait()

    def silent() -> bool:
        before = target.asked["/fixed"]
        time.sleep(1.0)
        return target.asked["/fixed"] == before

    until(silent)
    assert target.asked["/fixed"] < 6000


def test_without_dask_the_remedy_names_the_command(profile, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **options):
        if name.split(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(Unanswerable, match="needs Dask") as raised:
        Cluster().run(profile("/fixed"))
    assert raised.value.remedy == "pip install 'runbook-kit[load]'"


def test_a_scheduler_that_is_not_there_is_no_verdict(profile, monkeypatch):
    monkeypatch.setattr("runbook_lib.load.cluster.WAIT_SECONDS", 1.0)
    with pytest.raises(Unanswerable, match="is not there with 2 workers"):
        Cluster("tcp://127.0.0.1:9").run(profile("/fixed"))
