from __future__ import annotations

import ipaddress
import os
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from runbook_lib import environment
from runbook_lib.environment import Environment
from runbook_lib.sandbox import daemon, environments, processes, settings
from runbook_lib.sandbox.layout import EDGE, Ports, Stack
from runbook_lib.sandbox.stack import Sandbox

from ..waiting import until

START_SECONDS = 15.0


@pytest.fixture
def stack(sandbox: Sandbox) -> Iterator[Stack]:
    """The staging stack; whatever a test does to it, it runs again afterwards on its ports."""
    staging = sandbox.stacks[1]
    ports = staging.ports()
    assert ports is not None
    yield staging
    if (now := staging.ports()) != ports:
        assert now is not None
        daemon.stop(staging)
        staging.keep(ports)
        settings.move(staging, now, ports)
    sandbox.up()
    assert staging.ports() == ports


def ours(stack: Stack) -> list[psutil.Process]:
    return list(processes.leftovers(stack))


def kill(victims: list[psutil.Process]) -> None:
    for process in victims:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(victims, timeout=10)


def answers(stack: Stack) -> bool:
    env = environment.read(stack.environment)
    with httpx.Client(verify=_trust(env), trust_env=False) as client:
        answer = client.get(env.web.address("/health"))
    return answer.status_code == 200 and answer.json()["status"] == "healthy"


def _trust(env: Environment) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=env.web.certificate_authority)


def rows(stack: Stack) -> int:
    with psycopg.connect(settings.values(stack)["DATABASE_URL"]) as connection:
        found = connection.execute("SELECT count(*) FROM scans").fetchone()
        assert found is not None
        return int(found[0])


def timed_up(sandbox: Sandbox) -> float:
    started = time.monotonic()
    sandbox.up()
    return time.monotonic() - started


def test_both_stacks_run_the_first_release_with_data_in_it(sandbox: Sandbox) -> None:
    for status, stack in zip(sandbox.status(), sandbox.stacks, strict=True):
        assert status.running
        assert status.release is not None
        assert all(service.up for service in status.services), status
        assert rows(stack) >= 5000
        assert answers(stack)


def test_every_request_of_the_environment_is_answered_as_it_says(staging_env: Environment) -> None:
    requests = (*staging_env.features, staging_env.api.accepted, staging_env.api.refused, staging_env.api.providers)
    with httpx.Client(verify=_trust(staging_env), trust_env=False) as client:
        for request in (*requests, *staging_env.web.health, *staging_env.load.requests):
            answer = client.request(request.method, staging_env.web.address(request.path), json=request.json_body)
            assert answer.status_code in request.status, request.title
            assert {name: answer.json()[name] for name in request.expect} == request.expect


def test_the_edge_is_strict(env: Environment) -> None:
    with httpx.Client(verify=_trust(env), trust_env=False) as client:
        page = client.get(env.web.url)
        assert env.web.page_contains in page.text
        for path in ("/", "/health", "/api/docs", "/nothing-here"):
            headers = client.get(env.web.address(path)).headers
            assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert "Referrer-Policy" in headers
            assert "Server" not in headers
        for path in env.security.admin_paths:
            assert client.get(env.web.address(path)).status_code == 404
        assert env.web.http_url is not None
        redirect = client.get(env.web.http_url + "/a?b=c")
        assert redirect.status_code == 308
        assert redirect.headers["Location"] == env.web.address("/a?b=c")


def test_the_edge_is_known_by_its_name_too(sandbox: Sandbox, env: Environment) -> None:
    ports = sandbox.stacks[0].ports()
    assert ports is not None
    with socket.create_connection((EDGE, ports.https), timeout=5) as connection:
        trust = _trust(env)
        with trust.wrap_socket(connection, server_hostname="sandbox.localhost") as secure:
            assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_a_client_cannot_say_who_it_is(env: Environment) -> None:
    request = env.api.accepted
    transport = httpx.HTTPTransport(verify=_trust(env), local_address="127.0.0.9")
    with httpx.Client(transport=transport) as client:
        answers = {
            client.post(
                env.web.address(request.path),
                json=request.json_body,
                headers={"X-Forwarded-For": f"10.0.0.{number}", "X-Runbook": "test"},
            ).status_code
            for number in range(2 * settings.RATE_LIMIT + 1)
        }
    assert answers == {200, 429}


def test_nothing_listens_beyond_loopback(sandbox: Sandbox) -> None:
    for stack in sandbox.stacks:
        ports = stack.ports()
        assert ports is not None
        listening = [
            connection.laddr
            for process in ours(stack)
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
        ]
        assert {address.port for address in listening} >= {ports.https, ports.http, ports.backend, ports.cache}
        for address in listening:
            assert ipaddress.ip_address(address.ip).is_loopback, address
            assert ports.base <= address.port <= ports.last


def test_secrets_are_for_their_owner_alone(sandbox: Sandbox) -> None:
    for stack in sandbox.stacks:
        for path in (stack.dotenv, stack.cache / "valkey.conf", stack.cache / "password", stack.edge / "key.pem"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        for folder in (stack.runtime, stack.backups, stack.database):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_the_production_settings_wait_for_phase_one(sandbox: Sandbox, tmp_path: Path) -> None:
    fresh = Stack(tmp_path, "sandbox")
    settings.create(fresh, Ports(20_000))
    written = settings.values(fresh)
    assert "change-me" in written["SECRET_KEY"]
    assert "change-me" in written["JWT_SECRET_KEY"]
    assert written["ENVIRONMENT"] != "production"
    assert len(written["POSTGRES_PASSWORD"]) >= 32
    staging = settings.values(sandbox.stacks[1])
    assert not [name for name, value in staging.items() if "change-me" in value or not value]


def test_database_and_cache_let_nobody_in_without_the_password(sandbox: Sandbox) -> None:
    stack = sandbox.stacks[1]
    values = settings.values(stack)
    for url in (
        values["DATABASE_URL"].replace(values["POSTGRES_PASSWORD"], "wrong"),
        values["DATABASE_URL"].replace("//twiga_scan:", "//postgres:"),
    ):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
    ports = stack.ports()
    assert ports is not None
    with redis.Redis(port=ports.cache) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_up_again_changes_nothing(sandbox: Sandbox, stack: Stack) -> None:
    def programs() -> dict[str, int]:
        with daemon.calling(stack.socket) as supervisord:
            return {program["name"]: program["pid"] for program in supervisord.getAllProcessInfo()}

    before = programs()
    text = stack.environment.read_text()
    sandbox.up()
    assert programs() == before
    assert stack.environment.read_text() == text


def test_it_stops_wholly_and_starts_in_time(sandbox: Sandbox, stack: Stack) -> None:
    before = rows(stack)
    sandbox.down()
    sandbox.down()
    assert not sandbox.running()
    for each, status in zip(sandbox.stacks, sandbox.status(), strict=True):
        assert ours(each) == []
        assert not each.runtime.exists()
        assert not status.running
    assert timed_up(sandbox) < START_SECONDS
    assert rows(stack) == before
    assert answers(stack)


def test_it_survives_that_everything_was_killed(sandbox: Sandbox, stack: Stack) -> None:
    before = rows(stack)
    kill(ours(stack))
    assert (stack.database / "postmaster.pid").is_file()
    assert stack.socket.exists()
    # A process number that a stranger has by now.
    pid_file = stack.database / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split("\n")[0], str(os.getpid()), 1))
    (stack.runtime / "supervisord.pid").write_text(f"{os.getpid()}\n")
    assert timed_up(sandbox) < START_SECONDS
    assert rows(stack) == before
    assert answers(stack)


def test_it_ends_what_a_killed_supervisor_left_running_and_no_strangers(sandbox: Sandbox, stack: Stack) -> None:
    stranger = subprocess.Popen(["tail", "-f", stack.logs / "edge.log"], cwd=stack.folder, stdout=subprocess.DEVNULL)
    try:
        with daemon.calling(stack.socket) as supervisord:
            supervisor = psutil.Process(supervisord.getPID())
        children = supervisor.children(recursive=True)
        kill([supervisor])
        assert all(child.is_running() for child in children if child.name() in ("caddy", "valkey-server"))
        assert timed_up(sandbox) < START_SECONDS
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        assert stranger.poll() is None
        assert answers(stack)
    finally:
        stranger.kill()
        stranger.wait()


def test_it_moves_where_a_port_was_taken(sandbox: Sandbox, stack: Stack) -> None:
    old, before, text = stack.ports(), settings.values(stack), stack.environment.read_text()
    assert old is not None
    daemon.stop(stack)
    with socket.create_server((EDGE, old.https)):
        sandbox.up()
        new = stack.ports()
        assert new is not None
        assert new.base != old.base
        assert answers(stack)
    after = settings.values(stack)
    kept = [name for name in before if name not in ("DATABASE_URL", "REDIS_URL", "CORS_ORIGINS", "SENTRY_DSN")]
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}
    assert after["DATABASE_URL"] == before["DATABASE_URL"].replace(str(old.database), str(new.database))
    assert after["REDIS_URL"] == before["REDIS_URL"].replace(str(old.cache), str(new.cache))
    assert after["CORS_ORIGINS"] == f"https://{EDGE}:{new.https}"
    assert stack.environment.read_text() != text


def test_two_at_a_time_take_turns(sandbox: Sandbox, stack: Stack) -> None:
    daemon.stop(stack)
    failures: list[BaseException] = []

    def up() -> None:
        try:
            sandbox.up()
        except Exception as error:
            failures.append(error)

    both = [threading.Thread(target=up) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert failures == []
    assert answers(stack)


def test_the_backend_comes_back_when_its_master_is_killed(stack: Stack) -> None:
    with daemon.calling(stack.socket) as supervisord:
        kill([psutil.Process(supervisord.getProcessInfo("backend")["pid"])])
        until(lambda: supervisord.getProcessInfo("backend")["statename"] == "RUNNING" and answers(stack))
        program = supervisord.getProcessInfo("backend")
    workers = [process for process in ours(stack) if process.environ().get("SUPERVISOR_PROCESS_NAME") == "backend"]
    assert all(process.pid == program["pid"] or process.ppid() == program["pid"] for process in workers)


def test_the_environment_names_every_port_and_no_secret(sandbox: Sandbox) -> None:
    for stack in sandbox.stacks:
        env, ports = environment.read(stack.environment), stack.ports()
        assert ports is not None
        assert env.release == environments.RELEASE
        assert env.security.open_ports == (ports.http, ports.https)
        values = settings.values(stack)
        for name in ("SECRET_KEY", "JWT_SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_URL"):
            assert values[name] not in stack.environment.read_text()
