"""Bugsink as the sandbox runs it: one for both stacks, on loopback, telling nobody."""

from __future__ import annotations

import ipaddress
import stat
import time
from pathlib import Path

import httpx
import psutil
import pytest

from runbook_lib.errors import ConfigurationError
from runbook_lib.sandbox import daemon, processes, settings, tracker
from runbook_lib.sandbox.layout import INNER, Ports, Stack
from runbook_lib.sandbox.stack import Sandbox

READY_SECONDS = 60.0


def address(sandbox: Sandbox) -> str:
    owner = sandbox.stacks[0]
    ports = owner.ports()
    assert ports is not None
    return tracker.url(owner, ports)


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{url} is not ready"
        time.sleep(0.1)


def its_processes(stack: Stack) -> list[psutil.Process]:
    return [
        process
        for process in processes.leftovers(stack)
        if process.environ().get("SUPERVISOR_PROCESS_NAME") == daemon.TRACKER
    ]


def test_each_stack_has_a_project_behind_its_dsn(sandbox: Sandbox) -> None:
    wait_until_ready(address(sandbox))
    token = tracker_keys(sandbox)["TOKEN"]
    with httpx.Client(base_url=address(sandbox), headers={"Authorization": f"Bearer {token}"}) as client:
        for stack in sandbox.stacks:
            ports = stack.ports()
            assert ports is not None
            found = client.get(f"/api/canonical/0/projects/{tracker.project(stack)}/").json()
            assert found["name"] == stack.name
            assert found["dsn"] == tracker.dsn(stack, ports)
    assert settings.values(sandbox.stacks[1])["SENTRY_DSN"].endswith(f":{address(sandbox).rpartition(':')[2]}/2")


def tracker_keys(sandbox: Sandbox) -> dict[str, str]:
    path = tracker.key_file(sandbox.root)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_it_speaks_to_loopback_alone_and_tells_nobody(sandbox: Sandbox) -> None:
    wait_until_ready(address(sandbox))
    with httpx.Client(base_url=address(sandbox), trust_env=False, follow_redirects=True) as client:
        login = client.get("/accounts/login/")
        form = {
            "username": "operator",
            "password": tracker_keys(sandbox)["PASSWORD"],
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
            "next": "/",
        }
        # Its front page is where it would phone home.
        home = client.post("/accounts/login/", data=form, headers={"Referer": str(login.url)})
        assert home.status_code == 200
        assert "sandbox-staging" in home.text
    ours = its_processes(sandbox.stacks[0])
    assert len(ours) == 2
    for connection in (one for process in ours for one in process.net_connections(kind="inet")):
        for end in (connection.laddr, connection.raddr):
            assert not end or ipaddress.ip_address(end.ip).is_loopback, connection
    written = (tracker.folder(sandbox.root) / "bugsink_conf.py").read_text()
    assert '"PHONEHOME": False' in written
    assert "phone" not in (sandbox.stacks[0].logs / "tracker.log").read_text().lower()


def test_it_comes_back_when_it_was_killed_and_keeps_its_keys(sandbox: Sandbox) -> None:
    wait_until_ready(address(sandbox))
    before = tracker_keys(sandbox)
    killed = its_processes(sandbox.stacks[0])
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=10)
    wait_until_ready(address(sandbox))
    assert not {process.pid for process in killed} & {process.pid for process in its_processes(sandbox.stacks[0])}
    assert tracker_keys(sandbox) == before


def test_a_dsn_follows_the_owners_port_and_nothing_else(tmp_path: Path) -> None:
    owner, other = Stack(tmp_path, "sandbox"), Stack(tmp_path, "sandbox-staging")
    owner.keep(Ports(20_000))
    before = tracker.dsn(other, Ports(21_000))
    assert before.endswith(f"@{INNER}:20005/2")
    owner.keep(Ports(22_000))
    assert tracker.dsn(other, Ports(21_000)) == before.replace("20005", "22005")


def test_a_tracker_that_cannot_be_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with pytest.raises(ConfigurationError, match="error tracker"):
        tracker.create(tmp_path)
    assert not (tracker.folder(tmp_path) / "venv" / ".installed").exists()
