"""Two operators on two machines: network namespaces of the test's own, and one PostgreSQL that both reach."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from runbook_lib.home import Home
from runbook_lib.runner import ExitCode

from ..waiting import until
from .conftest import Kit, on, serving

ADDRESSES = ("192.0.2.1", "192.0.2.2")
"""Of TEST-NET-1 (RFC 5737), known to the two namespaces alone."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=30)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces, joined by a pair of interfaces and with no way to anywhere else."""
    names = (f"runbook-{os.getpid()}-a", f"runbook-{os.getpid()}-b")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("-n", names[0], "link", "add", "to-b", "type", "veth", "peer", "name", "to-a", "netns", names[1])
        for name, interface, address in zip(names, ("to-b", "to-a"), ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"network namespaces need root and iproute2: {getattr(error, 'stderr', '') or error}".strip()
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    finally:
        if shutil.which("ip"):
            for name in names:
                subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=30)


@pytest.fixture
def machines(without_database, namespaces, tmp_path) -> Iterator[tuple[Kit, Kit]]:
    """A kit in each namespace, each with files and locks of its own, on one database."""
    there = tmp_path / "there"
    shutil.copytree(without_database.home.root, there, symlinks=True)
    kits = tuple(
        Kit(home, without_database.processes, ("ip", "netns", "exec", name))
        for home, name in zip((without_database.home, Home(there)), namespaces, strict=True)
    )
    with serving(ADDRESSES[0], 5432, within=("ip", "netns", "exec", namespaces[0])) as server:
        for kit in kits:
            on(kit.home, server.url)
        yield kits
        for process in without_database.processes:
            process.kill()
            process.wait()


def test_of_two_runners_on_two_machines_one_runs(machines):
    processes = [kit.run() for kit in machines]
    until(lambda: any(process.poll() is not None for process in processes))
    lost = next(number for number, process in enumerate(processes) if process.poll() is not None)
    won = 1 - lost
    _, said = processes[lost].communicate(timeout=60)
    assert processes[lost].returncode == ExitCode.USAGE, said
    assert machines[lost].runs == []
    until(machines[won].has_started)
    (run,) = machines[won].runs
    assert re.fullmatch(
        rf"Environment mini is held by run {run.name[:16]}\S* of operator \S+ on host \S+, connected to the "
        rf"environment's database from {re.escape(ADDRESSES[won])} since 20\S+\+00:00; wait for it, or end it\.\n",
        said,
    ), said
    machines[won].go()
    output, errors = processes[won].communicate(timeout=60)
    assert processes[won].returncode == ExitCode.PASSED, output + errors

    machines[lost].go()
    again = machines[lost].run()
    output, errors = again.communicate(timeout=60)
    assert again.returncode == ExitCode.PASSED, output + errors
