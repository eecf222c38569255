"""A small PostgreSQL, kits whose environment lives on it, and runs of a notebook that waits to be let go on."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psycopg
import pytest

from runbook_lib import checklist, environment
from runbook_lib.environment import Environment
from runbook_lib.home import Home
from runbook_lib.sandbox import postgres
from runbook_lib.sandbox.layout import Stack

from ..waiting import until

PROGRAMS = Path(sys.executable).parent
PASSWORD = "the-locks-own-password"
PARAMETERS = 'environment = "mini"\nrelease = "v1"\nrun_id = ""\ndry_run = False\nconfirm = ""'
WAITING = """\
import os, time
from pathlib import Path
from runbook_lib import begin
from runbook_lib.step import Finding, check
home = Path(os.environ["RUNBOOK_HOME"])
def wait():
    (home / "started").touch()
    while not (home / "go").exists():
        time.sleep(0.02)
    return Finding(True, "went on", "goes on")
phase = begin(2, environment=environment, release=release, run_id=run_id)
phase.item("2.1", check("Waits")(wait)())
phase.item("2.2", check("Is sound")(lambda: Finding(True, "sound", "sound"))())
phase.gate()"""
HOLDING = """\
import sys
from runbook_lib import environment, exclusive
exclusive.alone(environment.load(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.read()"""


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL."""

    stack: Stack
    address: str
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://{postgres.ROLE}:{PASSWORD}@{self.address}:{self.port}/{postgres.ROLE}"

    def connect(self, **options) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True, **options)


@contextmanager
def serving(address: str, port: int, within: Sequence[str] = ()) -> Iterator[Server]:
    """PostgreSQL on `address`, its command preceded by `within`; open to the application's role from everywhere."""
    root = Path(tempfile.mkdtemp(prefix="runbook-tests-"))
    server = Server(Stack(root, "locks"), address, port)
    server.stack.folder.mkdir()
    postgres.create(server.stack, PASSWORD)
    access = server.stack.database / "pg_hba.conf"
    access.write_text(access.read_text().replace(f"{address}/32", "0.0.0.0/0").replace("127.0.0.1/32", "0.0.0.0/0"))
    log = root / "log"
    command = [address if word == "127.0.0.1" else word for word in postgres.server(server.stack, port)]
    with log.open("wb") as output:
        process = subprocess.Popen([*within, *command], stdout=output, stderr=output, cwd="/")
    try:
        until(lambda: "ready to accept connections" in log.read_text())
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serving("127.0.0.1", port) as running:
        yield running


@dataclass
class Kit:
    """A kit with the environment ``mini``, and the processes started in it."""

    home: Home
    processes: list[subprocess.Popen[str]]
    within: Sequence[str] = ()

    @property
    def env(self) -> Environment:
        return environment.load("mini", self.home)

    @property
    def runs(self) -> list[Path]:
        """The runs' folders; none is left by a run that was refused."""
        folder = self.home.outputs / "mini"
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.exists() else []

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*self.within, *command],
            env={**os.environ, "RUNBOOK_HOME": str(self.home.root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self) -> subprocess.Popen[str]:
        """`runbook run`, whose notebook waits until :meth:`go`."""
        return self.start(PROGRAMS / "runbook", "run", "mini", "--release", "v1", "--only", "2")

    def hold(self, run: str = "theirs", name: str = "mini") -> subprocess.Popen[str]:
        """A process that holds the environment `name` for `run` until its input ends."""
        process = self.start(sys.executable, "-c", HOLDING, name, run)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    def has_started(self) -> bool:
        return (self.home.root / "started").exists()

    def go(self) -> None:
        (self.home.root / "go").touch()


def on(home: Home, url: str) -> None:
    """Let the kit's environment live on the database at `url`."""
    (home.root / ".env").write_text(f"DATABASE_URL={url}\n")


@pytest.fixture
def without_database(mini) -> Iterator[Kit]:
    """A kit whose database is down, with a notebook for phase 2 that waits."""
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            *(nbformat.v4.new_code_cell(source) for source in WAITING.split("\nphase.")[:1]),
            *(nbformat.v4.new_code_cell(f"phase.{source}") for source in WAITING.split("\nphase.")[1:]),
        ],
        metadata={
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
            "runbook": {"phase": 2},
        },
    )
    nbformat.write(notebook, mini.notebooks / checklist.phase(2).notebook)
    made = Kit(mini, [])
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


@pytest.fixture
def mine(without_database, server) -> Kit:
    """The same kit with its database up."""
    on(without_database.home, server.url)
    return without_database


@pytest.fixture
def me() -> str:
    """How a sentence names this operator."""
    return f"of operator {getpass.getuser()} on host {socket.gethostname()}"


@pytest.fixture
def sessions(server) -> Callable[[], list[int]]:
    """The server processes of the kit's own connections."""

    def find() -> list[int]:
        with server.connect() as connection:
            rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'runbook/%'")
            return [row[0] for row in rows]

    return find
