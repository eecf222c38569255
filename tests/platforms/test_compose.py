"""Compose on a real engine: what it starts, and what it says of each fault."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook_lib.checks import log_aggregation
from runbook_lib.environment import ComposePlatform, Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.handbook import procedures
from runbook_lib.platforms import compose_engine, connect
from runbook_lib.platforms.compose import Compose
from runbook_lib.platforms.interface import LogKeeping
from runbook_lib.release import Release

from .. import docker_engine

AWKWARD = "a$b$$c#e"
FILE = """\
services:
  web:
    image: PROJECT-web:${RELEASE}
    build: .
    restart: always
    ports: ["127.0.0.1:PORT:8000"]
    stop_grace_period: 1s
    environment: {SECRET: "${SECRET}", LITERAL: "$$HOME"}
    logging: {driver: json-file, options: {max-size: 1m, max-file: "3"}}
    healthcheck:
      interval: 1s
      test: [CMD, python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8000))"]
  store:
    image: runbook-tests-base:bookworm
    restart: always
    stop_grace_period: 1s
    command: [sleep, "3600"]
"""
DOCKERFILE = """\
FROM runbook-tests-base:bookworm
COPY version /www/version
CMD ["python3", "-u", "-m", "http.server", "8000", "--directory", "/www"]
"""


@dataclass
class Project:
    """One Compose project in a folder of its own; `write` changes its file."""

    env: Environment
    folder: Path
    port: int

    @property
    def platform(self) -> Compose:
        connected = connect(self.env)
        assert isinstance(connected, Compose)
        return connected

    @property
    def text(self) -> str:
        assert isinstance(self.env.platform, ComposePlatform)
        return FILE.replace("PROJECT", self.env.platform.project).replace("PORT", str(self.port))

    def write(self, sound: str, planted: str) -> None:
        assert sound in self.text
        (self.folder / "docker-compose.prod.yml").write_text(self.text.replace(sound, planted))

    def release(self, tag: str) -> Release:
        """Built and tagged; its page is its tag."""
        release = Release(tag, tag[-1] * 40, self.folder)
        (self.folder / "version").write_text(tag)
        self.platform.tag(release, self.platform.build(release))
        return release

    def page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/version", timeout=5) as answer:
            text: str = answer.read().decode()
        return text


@pytest.fixture
def project(docker_base: str, bare_env: Environment, tmp_path: Path) -> Iterator[Project]:
    port = docker_engine.free_port()
    with docker_engine.project() as name:
        platform = ComposePlatform(
            kind="compose",
            project=name,
            env_file=tmp_path / ".env",
            services=("web", "store"),
            settle_seconds=2.0,
            start_seconds=20.0,
        )
        made = Project(bare_env.model_copy(update={"platform": platform}), tmp_path, port)
        (tmp_path / "Dockerfile").write_text(DOCKERFILE)
        (tmp_path / ".env").write_text(f"SECRET='{AWKWARD}'\n")
        made.write("", "")
        yield made


def test_a_release_is_built_tagged_started_and_followed_by_the_next(project: Project) -> None:
    platform = project.platform
    assert [one.state for one in platform.services()] == ["MISSING", "MISSING"]
    assert platform.deployed() is None
    first = project.release("v1")
    (image,) = platform.tagged(first)
    assert (image.service, image.digest[:7]) == ("web", "sha256:")
    platform.up(first)
    assert [(one.name, one.well, one.healthy) for one in platform.services()] == [
        ("web", True, True),
        ("store", True, None),
    ]
    assert (platform.deployed(), project.page()) == ("v1", "v1")
    store = platform.services()[1].started
    platform.up(project.release("v2"))
    assert (platform.deployed(), project.page()) == ("v2", "v2")
    assert platform.services()[1].started == store
    platform.up(first)
    assert (platform.deployed(), project.page()) == ("v1", "v1")


def test_a_service_of_several_containers_is_not_judged_by_one_of_them(project: Project) -> None:
    platform = project.platform
    platform.up(project.release("v1"))
    with compose_engine.answering() as client:
        one = compose_engine.containers(client, platform.settings.project)["store"]
        second = client.containers.run(one.image, ["sleep", "600"], labels=one.labels, detach=True)
        try:
            with pytest.raises(Unanswerable, match="of which this kit would see one: store in 2"):
                platform.services()
        finally:
            second.remove(force=True)
    assert all(service.well for service in platform.services())


def test_a_service_is_asked_from_inside_and_its_log_is_read(project: Project) -> None:
    platform = project.platform
    platform.up(project.release("v1"))
    project.page()
    asked = platform.execute("web", ["python3", "-c", "import sys; print('here'); sys.exit(3)"])
    assert (asked.returncode, asked.output) == (3, "here\n")
    with pytest.raises(Unanswerable, match=r"sleep in web did not end within 1 s"):
        platform.execute("web", ["sleep", "60"], timeout=1.0)
    assert "GET /version" in platform.logs("web")
    # By the engine's own times: its lines say none.
    assert platform.logs("web", since=datetime.now(UTC) + timedelta(hours=1)) == ""
    assert "GET /version" in platform.logs("web", since=datetime.now(UTC) - timedelta(minutes=10))
    assert platform.log_keeping("web") == LogKeeping("json-file", 1024**2, 2)
    assert platform.log_keeping("store") == LogKeeping("json-file", None, 0)
    judged = log_aggregation.retained(project.env).run()
    assert judged.observed == ["store: no rotation is set, it grows until the disk is full"]
    project.write('command: [sleep, "3600"]', 'command: [sleep, "3600"]\n    logging: {driver: local}')
    platform.up(Release("v1", "1" * 40, project.folder))
    assert platform.log_keeping("store") == LogKeeping("local", 20 * 1024**2, 4)
    judged = log_aggregation.retained(project.env).run()
    assert judged.ok, judged.observed


def test_a_dollar_reaches_the_container_as_it_stands_in_the_env_file(project: Project) -> None:
    platform = project.platform
    platform.up(project.release("v1"))
    environment = platform.environment("web")
    assert (environment["SECRET"], environment["LITERAL"]) == (AWKWARD, "$HOME")


def test_a_file_that_names_its_project(project: Project) -> None:
    project.write("services:\n", "name: another\nservices:\n")
    project.platform.up(project.release("v1"))
    assert project.platform.deployed() == "v1"


def test_a_release_with_other_services_is_deployed_and_taken_back_as_a_whole(project: Project) -> None:
    first = project.release("v1")
    project.platform.up(first)
    renamed = project.text.replace("  web:", "  site:").replace("-web:", "-site:")
    worker = "  worker:\n    image: PROJECT-worker:${RELEASE}\n    build: .\n    stop_grace_period: 1s\n"
    second_file = renamed + worker.replace("PROJECT", project.platform.settings.project)
    (project.folder / "docker-compose.prod-v2.yml").write_text(second_file)
    declared = project.platform.settings.model_copy(update={"services": ("site", "store", "worker")})
    project.env = project.env.model_copy(update={"platform": declared})
    project.platform.up(project.release("v2"))
    assert (project.platform.deployed(), project.page()) == ("v2", "v2")
    assert [(one.name, one.well) for one in project.platform.services()] == [
        ("site", True),
        ("store", True),
        ("worker", True),
    ]
    project.platform.up(first)
    assert (project.platform.deployed(), project.page()) == ("v1", "v1")
    assert [(one.name, one.well) for one in project.platform.services()] == [("store", True)]
    with compose_engine.answering() as client:
        assert set(compose_engine.containers(client, declared.project)) == {"web", "store"}


def test_down_stops_what_is_built_from_the_release_alone(project: Project) -> None:
    platform = project.platform
    platform.up(project.release("v1"))
    platform.down()
    assert [one.up for one in platform.services()] == [False, True]


def test_the_handbooks_command_stops_what_is_built_from_the_release_alone(project: Project) -> None:
    project.platform.up(project.release("v1"))
    for command in procedures._stopping(project.env):
        subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    assert [one.up for one in project.platform.services()] == [False, True]


def test_a_release_without_images_stops_nothing(project: Project) -> None:
    platform = project.platform
    platform.up(project.release("v1"))
    with pytest.raises(Unanswerable, match=r"v2 names no image of web; nothing was stopped"):
        platform.up(Release("v2", "2" * 40, project.folder))
    assert project.page() == "v1"


def test_a_port_that_is_taken(project: Project) -> None:
    release = project.release("v1")
    taken = socket.create_server(("127.0.0.1", project.port))
    with taken, pytest.raises(Unanswerable, match="a port is taken already"):
        project.platform.up(release)


@pytest.mark.parametrize(
    ("sound", "planted", "words"),
    [
        (
            "image: runbook-tests-base:bookworm",
            "image: 127.0.0.1:9/none:1",
            ["an image cannot be pulled", "127.0.0.1:9"],
        ),
        (
            'command: [sleep, "3600"]',
            "command: [sh, -c, 'echo no database; sleep 0.5; exit 4']",
            ["store is", "it was restarted", "UTC: it ended with exit code 4", "no database"],
        ),
        (
            "interval: 1s\n      test: [CMD, python3, -c,",
            "interval: 1s\n      retries: 1\n      test: [CMD, python3, -c, \"print('never'); raise SystemExit(1)\",",
            ["web is unhealthy", "its health check ended with 1: never"],
        ),
        ("build: .", "build: .\n    command: [no-such-program]", ["Compose's up ended with 1", "no-such-program"]),
    ],
    ids=["pull", "restarts for ever", "never healthy", "no program"],
)
def test_a_fault_is_told_by_its_cause(project: Project, sound: str, planted: str, words: list[str]) -> None:
    project.write(sound, planted)
    release = project.release("v1")
    with pytest.raises(Unanswerable) as caught:
        project.platform.up(release)
    for each in words:
        assert each in caught.value.reason
    assert caught.value.remedy


ASKED: list[Callable[[Compose, Release], object]] = [
    lambda platform, release: platform.up(release),
    lambda platform, release: platform.deployed(),
    lambda platform, release: platform.services(),
    lambda platform, release: platform.logs("web"),
    lambda platform, release: platform.build(release),
]


@pytest.mark.parametrize("ask", ASKED, ids=["up", "deployed", "services", "logs", "build"])
def test_the_engine_is_down(
    project: Project, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Compose, Release], object]
) -> None:
    release = Release("v1", "1" * 40, project.folder)
    with monkeypatch.context() as patch, docker_engine.unanswered():
        patch.setenv("DOCKER_HOST", f"unix://{project.folder}/none.sock")
        with pytest.raises(Unanswerable, match="the engine is down") as caught:
            ask(project.platform, release)
        assert "systemctl start docker" in caught.value.remedy
        del caught
