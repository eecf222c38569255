"""What the tests share: one real sandbox for the whole session, in a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook_lib import environment, exclusive, release
from runbook_lib.checks.browser.chromium import PROGRAMS
from runbook_lib.environment import Environment
from runbook_lib.home import VARIABLE, Home
from runbook_lib.release import Release
from runbook_lib.sandbox.stack import Sandbox

from . import docker_engine

REPOSITORY = Path(__file__).resolve().parent.parent
MINI = """
name = "mini"
kind = "sandbox"
domains = ["127.0.0.1"]
[application]
repository = "../../application"
releases = "../../releases"
[dotenv]
file = "../../.env"
[database]
url = { file = "../../.env", key = "DATABASE_URL" }
[web]
url = "http://127.0.0.1:9"
[api]
accepted = { path = "/" }
refused = { path = "/" }
providers = { path = "/" }
[platform]
kind = "supervisor"
socket = "../../supervisor.sock"
folder = "../../platform"
services = ["backend"]
[backup]
folder = "../../backups"
[security]
public_address = "127.0.0.1"
"""


def pytest_itemcollected(item: pytest.Item) -> None:
    """All tests on the sandbox run in one process, one after the other, so that it is started once; so on Docker."""
    if "sandbox" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("sandbox"))
    if "docker_base" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("docker"))


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    """No test leaves an environment locked for the next one's processes."""
    yield
    exclusive.release_all()


@pytest.fixture(scope="session")
def home_folder() -> Iterator[Path]:
    """A home with the repository's notebooks and nothing else; RUNBOOK_HOME names it for the whole session.

    Not below pytest's own temporary folder, which only its owner may enter: PostgreSQL does not run as root.
    """
    folder = Path(tempfile.mkdtemp(prefix="runbook-tests-")).resolve()
    (folder / "notebooks").symlink_to(REPOSITORY / "notebooks")
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sandbox(home_folder: Path) -> Iterator[Sandbox]:
    """Both stacks, running v0.9.0 with data in it."""
    started = Sandbox(Home(home_folder).sandbox)
    try:
        started.up()
        yield started
    finally:
        started.down()


@pytest.fixture(scope="session")
def env(sandbox: Sandbox) -> Environment:
    """The sandbox's production stack."""
    return environment.read(sandbox.stacks[0].environment)


@pytest.fixture(scope="session")
def staging_env(sandbox: Sandbox) -> Environment:
    """The sandbox's staging stack."""
    return environment.read(sandbox.stacks[1].environment)


@pytest.fixture(name="release", scope="session")
def _release(env: Environment) -> Release:
    """The release that the sandbox's runbook deploys."""
    return release.find(env, env.release)


@pytest.fixture(scope="session")
def docker_base() -> Iterator[str]:
    """A running engine, and the name of the image in it that tests build on."""
    with docker_engine.running():
        yield docker_engine.make_base()


@pytest.fixture(scope="session")
def kit() -> Home:
    """This checkout."""
    return Home(REPOSITORY)


@pytest.fixture(scope="session")
def bare_env(tmp_path_factory) -> Environment:
    """An environment with nothing behind it."""
    folder = tmp_path_factory.mktemp("bare")
    return Environment.model_validate(tomllib.loads(MINI), context={"folder": folder})


@pytest.fixture(scope="session")
def write_mini() -> Callable[[Path], Home]:
    """Writes a kit of its own, with an environment ``mini`` and an empty application tagged v1, no service running."""

    def write(folder: Path) -> Home:
        (folder / "notebooks" / "environments").mkdir(parents=True)
        (folder / "notebooks" / "environments" / "mini.toml").write_text(MINI)
        (folder / ".env").write_text("DATABASE_URL=postgresql://app:mini-database-password@127.0.0.1:9/db\n")
        (folder / "outputs").mkdir()
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder / "application")]
        subprocess.run(["git", "init", "-q", str(folder / "application")], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
        subprocess.run([*git, "tag", "v1"], check=True)
        return Home(folder)

    return write


@pytest.fixture
def mini(tmp_path, monkeypatch, write_mini) -> Home:
    """A kit of this test's own, as :func:`write_mini` writes it, in which everything takes place."""
    home: Home = write_mini(tmp_path / "kit")
    monkeypatch.setenv("RUNBOOK_HOME", str(home.root))
    return home


@pytest.fixture(name="chromium", scope="session")
def _chromium() -> str:
    """Where Chromium is."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on this machine: apt-get install chromium")
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    """A Chromium; of one module alone, because Playwright keeps an event loop running in this thread."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=options)
        yield launched
        launched.close()
