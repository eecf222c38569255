from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook_lib import release as releases
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import connect
from runbook_lib.platforms.interface import LogKeeping, Service
from runbook_lib.platforms.supervisor import Supervisor, calling
from runbook_lib.release import Release

from ..waiting import until


@pytest.fixture
def platform(staging_env: Environment) -> Iterator[Supervisor]:
    """The staging stack's platform; v0.9.0 runs on it again afterwards."""
    connected = connect(staging_env)
    assert isinstance(connected, Supervisor)
    yield connected
    if connected.deployed() != "v0.9.0" or not all(service.up for service in connected.services()):
        connected.up(releases.find(staging_env, "v0.9.0"))


@pytest.fixture
def old_release(staging_env: Environment) -> Release:
    return releases.find(staging_env, "v0.9.0")


def changed(env: Environment, **settings: object) -> Environment:
    return env.model_copy(update={"platform": env.platform.model_copy(update=settings)})


def service(platform: Supervisor, name: str) -> Service:
    return next(service for service in platform.services() if service.name == name)


def test_every_declared_service_is_told(platform: Supervisor) -> None:
    services = platform.services()
    assert [service.name for service in services] == ["database", "cache", "backend", "edge"]
    for each in services:
        assert (each.up, each.state, each.healthy) == (True, "RUNNING", None)
        assert each.started is not None
        assert each.started <= datetime.now(UTC)


def test_a_service_that_supervisord_does_not_know_is_not_up(staging_env: Environment) -> None:
    found = Supervisor(changed(staging_env, services=("mailer",))).services()
    assert found == (Service("mailer", "MISSING", False, None, None, 0, "supervisord has no such program"),)


@pytest.mark.usefixtures("sandbox")
def test_nobody_at_the_socket_is_unanswerable(staging_env: Environment, tmp_path: Path) -> None:
    with pytest.raises(Unanswerable, match="does not answer") as caught:
        Supervisor(changed(staging_env, socket=tmp_path / "none.sock")).services()
    assert "runbook sandbox up" in caught.value.remedy


def test_a_daemon_that_hangs_is_unanswerable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook_lib.platforms.supervisor._ANSWER_SECONDS", 0.2)
    path = Path(f"/tmp/runbook-test-{os.getpid()}.sock")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        try:
            with pytest.raises(Unanswerable, match="timed out"), calling(path) as supervisord:
                supervisord.getState()
        finally:
            path.unlink()


def test_an_image_can_be_built_again_and_is_the_same(platform: Supervisor, old_release: Release) -> None:
    (old_release.folder / "backend" / "leavings.txt").touch()
    try:
        built = platform.build(old_release)
    finally:
        (old_release.folder / "backend" / "leavings.txt").unlink()
    assert [image.service for image in built] == ["backend", "frontend"]
    assert {image.digest for image in built} == {image.digest for image in platform.tagged(old_release)}
    assert not (platform.current / "backend" / "leavings.txt").exists()
    assert not (platform.current / "backend" / "tests" / "__pycache__").exists()


def test_a_release_without_images_is_not_started(platform: Supervisor, old_release: Release) -> None:
    unknown = Release("v9.9.9", old_release.commit, old_release.folder)
    assert platform.tagged(unknown) == ()
    with pytest.raises(Unanswerable, match=r"v9\.9\.9 names no image of backend, frontend"):
        platform.up(unknown)
    assert platform.deployed() == "v0.9.0"


def test_a_release_that_lacks_one_image_stops_nothing(platform: Supervisor, old_release: Release) -> None:
    before = service(platform, "backend").started
    half = Release("v9.9.9", old_release.commit, old_release.folder)
    image = next(image for image in platform.tagged(old_release) if image.service == "backend")
    platform.tag(half, [image])
    try:
        with pytest.raises(Unanswerable, match=r"v9\.9\.9 names no image of frontend"):
            platform.up(half)
    finally:
        for tag in platform.settings.folder.glob("images/*/tags/v9.9.9"):
            tag.unlink()
    assert service(platform, "backend").started == before
    assert platform.deployed() == "v0.9.0"


def test_a_release_that_is_not_checked_out_is_not_built(
    platform: Supervisor, old_release: Release, tmp_path: Path
) -> None:
    with pytest.raises(Unanswerable, match="lacks") as caught:
        platform.build(Release("v0.9.0", old_release.commit, tmp_path))
    assert "check v0.9.0 out" in caught.value.remedy


def test_down_stops_the_release_and_nothing_else(platform: Supervisor, old_release: Release) -> None:
    platform.down()
    assert {service.name: service.up for service in platform.services()} == {
        "database": True,
        "cache": True,
        "backend": False,
        "edge": True,
    }
    platform.down()
    platform.up(old_release)
    assert all(service.up for service in platform.services())


def test_a_crash_counts_as_a_restart_and_a_request_does_not(platform: Supervisor, old_release: Release) -> None:
    platform.up(old_release)
    assert service(platform, "backend").restarts == 0
    before = service(platform, "backend").started
    with calling(platform.settings.socket) as supervisord:
        os.kill(supervisord.getProcessInfo("backend")["pid"], signal.SIGKILL)
    until(lambda: service(platform, "backend").restarts >= 1 and service(platform, "backend").up)
    assert service(platform, "backend").started != before
    platform.up(old_release)
    assert service(platform, "backend").restarts == 0


def test_a_program_that_does_not_start_is_named_with_its_log(
    staging_env: Environment, old_release: Release, platform: Supervisor
) -> None:
    impatient = Supervisor(changed(staging_env, start_seconds=10.0))
    interpreter = platform.current.resolve() / "backend" / ".venv"
    target = interpreter.readlink()
    interpreter.unlink()
    try:
        with pytest.raises(Unanswerable, match=r"backend is \w+, expected RUNNING within 10 s") as caught:
            impatient.up(old_release)
    finally:
        interpreter.symlink_to(target)
    assert caught.value.remedy.endswith("backend.log")


def test_execute_uses_the_deployed_folder_interpreter_and_settings(platform: Supervisor) -> None:
    probe = "import os, sys; print(os.getcwd(), sys.prefix, os.environ['ENVIRONMENT'], sep='|')"
    completed = platform.execute("backend", ["python", "-c", probe])
    folder, prefix, mode = completed.output.strip().split("|")
    assert Path(folder) == (platform.current / "backend").resolve()
    assert Path(prefix).name == ".venv"
    assert mode == "staging"


def test_execute_reaches_the_database_as_the_checklist_does(platform: Supervisor) -> None:
    completed = platform.execute("backend", ["python", "-c", platform.env.application.backend.connection_probe])
    assert completed.output.strip() == "DB OK"


def test_execute_where_nothing_is_deployed(staging_env: Environment, tmp_path: Path) -> None:
    with pytest.raises(Unanswerable, match="no backend is deployed"):
        Supervisor(changed(staging_env, folder=tmp_path)).execute("backend", ["python", "-V"])


def test_logs_include_the_rotated_files_oldest_first(platform: Supervisor) -> None:
    (newest,) = platform.log_files("cache")
    rotated = [newest.with_name(f"{newest.name}.{number}") for number in (1, 2)]
    for path, text in zip(rotated, ("second\n", "first\n"), strict=True):
        path.write_text(text)
    try:
        assert platform.log_files("cache") == (rotated[1], rotated[0], newest)
        assert platform.logs("cache").startswith("first\nsecond\n")
        os.utime(rotated[1], (0, 0))
        assert platform.logs("cache", since=datetime.now(UTC) - timedelta(hours=1)).startswith("second\n")
    finally:
        for path in rotated:
            path.unlink()


def test_a_service_without_a_log_is_unanswerable(platform: Supervisor) -> None:
    with pytest.raises(Unanswerable, match="BAD_NAME"):
        platform.log_files("mailer")


def test_the_edge_goes_on_serving_while_a_release_is_started(platform: Supervisor, old_release: Release) -> None:
    import ssl

    import httpx

    trust = ssl.create_default_context(cafile=platform.env.web.certificate_authority)
    answers: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(verify=trust, timeout=10.0, trust_env=False) as client:
            while not stop.is_set():
                answers.append(client.get(platform.env.web.address("/")).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        platform.up(old_release)
    finally:
        stop.set()
        asking.join()
    assert set(answers) == {200}


def test_the_environment_is_the_running_process_own(platform: Supervisor, staging_env: Environment) -> None:
    found = platform.environment("backend")
    assert found["SUPERVISOR_PROCESS_NAME"] == "backend"
    assert "PROMETHEUS_MULTIPROC_DIR" in found
    text = staging_env.dotenv.file.read_text()
    try:
        staging_env.dotenv.file.write_text(text + "ADDED_LATER=yes\n")
        assert platform.environment("backend") == found
    finally:
        staging_env.dotenv.file.write_text(text)


def test_how_the_log_is_kept_is_supervisords_own_word(platform: Supervisor) -> None:
    assert platform.log_keeping("backend") == LogKeeping("file", 20_000_000, 3)
    assert platform.log_keeping("backend").kept_bytes == 60_000_000


CONFIGURATION = """
[unix_http_server]
file={folder}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
user={user}
[program:endless]
command=sleep 600
stdout_logfile={folder}/endless.log
stdout_logfile_maxbytes=0
[program:syslog]
command=sleep 600
autostart=false
stdout_logfile=NONE
stdout_syslog=true
[program:silent]
command=sleep 600
autostart=false
stdout_logfile=NONE
"""


@pytest.fixture
def own_supervisor(staging_env: Environment) -> Iterator[Supervisor]:
    """A supervisord of its own, with programs whose logs go elsewhere."""
    # A socket's path may have some hundred bytes only.
    with tempfile.TemporaryDirectory(prefix="runbook-") as name:
        configuration = Path(name) / "supervisord.conf"
        configuration.write_text(CONFIGURATION.format(folder=name, user=getpass.getuser()))
        with Path(name, "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", configuration], stdout=output, stderr=output
            )
        try:
            platform = Supervisor(changed(staging_env, socket=Path(name, "s.sock"), services=("endless",)))
            until(lambda: Path(name, "s.sock").exists() and platform.services()[0].state in ("STARTING", "RUNNING"))
            yield platform
        finally:
            process.terminate()
            process.wait()


def test_logs_that_go_elsewhere_are_told_apart(own_supervisor: Supervisor) -> None:
    assert own_supervisor.log_keeping("endless") == LogKeeping("file", None, 10)
    assert own_supervisor.log_keeping("endless").kept_bytes is None
    assert own_supervisor.log_keeping("syslog").driver == "syslog"
    assert own_supervisor.log_keeping("silent") == LogKeeping("none", None, 10)
    with pytest.raises(Unanswerable, match="no program mailer"):
        own_supervisor.log_keeping("mailer")


def test_what_does_not_run_has_no_environment(own_supervisor: Supervisor) -> None:
    with pytest.raises(Unanswerable, match="silent does not run"):
        own_supervisor.environment("silent")
