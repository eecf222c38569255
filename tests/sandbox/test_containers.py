"""The sandbox of containers on a real Docker engine: a rollback drill, a deployment, a stop and a start, the end."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import checklist, environment, platforms, release
from runbook_lib.checks import http, traffic
from runbook_lib.environment import Environment
from runbook_lib.home import VARIABLE, Home
from runbook_lib.platforms import compose_engine
from runbook_lib.record import archive
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import summarize
from runbook_lib.runner import ExitCode
from runbook_lib.sandbox import first_release
from runbook_lib.sandbox.hosting import base_image, containers
from runbook_lib.sandbox.hosting.containers import Containers
from runbook_lib.sandbox.stack import Sandbox

from ..production import data, gentler

RUNBOOK = Path(sys.executable).with_name("runbook")
NAME = "sandbox-compose-tests"
README = (Path(__file__).parents[2] / "README.md").read_text()
PHASES = (2, 3, 5, 6, 7, 8, 9, 10, 12)
WAIVED = {"5.1.1", "5.1.2", "5.2.1", "5.2.2", "9.1.1", "9.1.2", "9.1.3", "9.1.4"}
"""What a closed network, or a machine without Trivy or a browser, leaves unanswered."""
BROKEN = "v1.0.1-broken"


def runbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUNBOOK, *arguments], capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def folder(kit: Home, docker_base: str) -> Iterator[Path]:
    """A home of its own; what is left in it and in the engine is removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="runbook-tests-")).resolve()
    (made / "notebooks").symlink_to(kit.notebooks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(made))
        patch.setenv(base_image.VARIABLE, docker_base)
        try:
            yield made
        finally:
            Sandbox(Home(made).containers, Containers()).destroy()
            shutil.rmtree(made)


@pytest.fixture(scope="module")
def stack(folder: Path) -> Sandbox:
    """Started as the README says."""
    command = re.search(r"`runbook (sandbox up --platform compose)`", README)
    assert command is not None
    started = runbook(*command[1].split())
    assert started.returncode == 0, started.stdout + started.stderr
    return Sandbox(Home(folder).containers, Containers())


@pytest.fixture(scope="module")
def where(stack: Sandbox) -> Environment:
    """The production stack by another name, and staging, with shorter waits and beside a gentler load."""
    live, staging = (each.environment for each in stack.stacks)
    file = live.with_name(f"{NAME}.toml")
    file.write_text(gentler(live.read_text(), NAME))
    staging.write_text(gentler(staging.read_text(), staging.stem))
    return environment.read(file)


@dataclass(frozen=True)
class Drill:
    """What a release that comes up unhealthy led to: the rows before and after it, and the run."""

    before: dict[str, Any]
    after: dict[str, Any]
    said: subprocess.CompletedProcess[str]
    run: Run


@pytest.fixture(scope="module")
def drilled(where: Environment) -> Drill:
    """The first release, a broken one after it, and the first one again."""
    assert platforms.connect(where).deployed() == first_release.TAG
    before = data(where)
    said = runbook("run", NAME, "--release", BROKEN, "--only", "1,2,3,6,8", "--rollback-on-failure")
    return Drill(before, data(where), said, archive.runs(NAME)[-1])


@pytest.fixture(scope="module")
def ended(where: Environment, drilled: Drill) -> Run:
    """A run of v1.0.0, over v0.9.0: those phases that ask the platform. The others differ by nothing here."""
    assert platforms.connect(where).deployed() == first_release.TAG
    completed = runbook("run", NAME, "--release", "v1.0.0", "--only", ",".join(map(str, PHASES)))
    assert completed.returncode == ExitCode.PASSED, completed.stdout + completed.stderr
    return archive.runs(NAME)[-1]


def observed(run: Run, item: str) -> list[object]:
    return [step["observed"] for step in summarize(run).items[item]["steps"]]


def test_a_release_that_comes_up_unhealthy_is_rolled_back_by_itself(drilled, where):
    assert drilled.said.returncode == ExitCode.GATE_FAILED, drilled.said.stdout + drilled.said.stderr
    assert summarize(drilled.run).outcome == "rolled back", drilled.said.stdout
    assert platforms.connect(where).deployed() == first_release.TAG
    assert traffic.flows(where).run().ok
    assert http.version_is(where, release.find(where, first_release.TAG)).run().ok


def test_no_row_was_lost_by_it(drilled):
    assert drilled.before["scans"][0] == first_release.SCANS
    assert drilled.after == drilled.before


def test_its_post_mortem_names_the_service_with_its_last_lines(drilled, where):
    document = (drilled.run.folder / "evidence" / "R.3.1" / "post-mortem.md").read_text()
    assert "backend is unhealthy" in document
    assert "The last log lines of what was deployed: backend" in document
    assert "status=503" in document
    for value in where.secrets().values():
        assert value not in document


def test_every_item_passes_that_needs_no_scanner(ended):
    items = summarize(ended).items
    assert set(items) == {item.id for phase in map(checklist.phase, PHASES) for item in phase.items}
    assert {item["status"] for item in items.values()} <= {"passed", "skipped", "waived"}
    assert {id for id, item in items.items() if item["status"] == "waived"} <= WAIVED
    assert not {id for id, item in items.items() if item["status"] == "skipped"} & {"6.2", "6.3", "9.3", "9.4"}


def test_the_images_of_6_2_are_the_engines_and_carry_the_tag_of_6_3(ended, where):
    built = observed(ended, "6.2")[0]
    assert set(built) == {"backend", "frontend"}
    prefix = containers.images(Home(Path(where.platform.env_file).parents[3]).containers)
    with compose_engine.answering() as client:
        for service, digest in built.items():
            assert client.images.get(f"{prefix}-{service}:v1.0.0").id == digest
    assert observed(ended, "6.3")[-1] == built


def test_9_3_was_asked_inside_the_back_ends_container(ended):
    assert "exit code 0; DB OK" in observed(ended, "9.3")
    assert summarize(ended).items["9.4"]["status"] == "passed"


def test_the_page_is_the_deployed_releases(ended, where):
    assert http.version_is(where, release.find(where, "v1.0.0")).run().ok
    built = where.application.releases / "v1.0.0" / "frontend" / "dist" / "index.html"
    with http.client(where) as client:
        assert client.get(where.web.url).text == built.read_text()


def test_a_stop_keeps_release_and_data_and_the_next_start_goes_on(ended, stack, where):
    before = data(where)
    down = runbook("sandbox", "down", "--platform", "compose")
    assert down.returncode == 0, down.stderr
    assert not any(service.up for service in platforms.connect(where).services())
    up = runbook("sandbox", "up", "--platform", "compose")
    assert up.returncode == 0, up.stdout + up.stderr
    status = runbook("sandbox", "status", "--platform", "compose").stdout
    assert f"{Containers.name}: up at {where.web.url}, release v1.0.0" in status
    assert http.version_is(where, release.find(where, "v1.0.0")).run().ok
    assert data(where) == before


def test_the_end_leaves_nothing_behind(stack, folder):
    ended = runbook("sandbox", "destroy", "--platform", "compose")
    assert ended.returncode == 0, ended.stderr
    prefix = containers.images(stack.root)
    with compose_engine.answering() as client:
        assert not [each for each in client.containers.list(all=True) if each.name.startswith(prefix)]
        assert not [tag for image in client.images.list() for tag in image.tags if tag.startswith(prefix)]
    assert not list(stack.root.glob("*"))
