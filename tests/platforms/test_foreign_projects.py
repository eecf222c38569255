"""Projects unlike the demo application: phases 6 and 8 build, deploy and watch them by configuration alone.

The same of an engine that dies while it starts one of them.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runbook_lib import environment, platforms, release
from runbook_lib.actions import install
from runbook_lib.environment import Environment
from runbook_lib.home import VARIABLE, Home
from runbook_lib.platforms import compose_engine
from runbook_lib.record import archive, keys, verify
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import summarize
from runbook_lib.runner import ExitCode

from .. import docker_engine
from ..waiting import until

RUNBOOK = Path(sys.executable).with_name("runbook")
NAME = "foreign"
TAG = "v1.0.0"
DOCKERFILE = """\
FROM runbook-tests-base:bookworm
COPY app.py /app.py
CMD ["python3", "-u", "/app.py"]
"""
APP = """\
import json, os, socket
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        needed = os.environ.get("NEEDS")
        try:
            if needed:
                socket.create_connection(needed.rsplit(":", 1), 2).close()
            code, status = 200, "fine"
        except OSError as error:
            code, status = 503, str(error)
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps({"state": status, "build": os.environ["BUILD"]}).encode())

HTTPServer(("127.0.0.1" if "PORT" in os.environ else "", int(os.environ.get("PORT", "8000"))), Answer).serve_forever()
"""
LISTENS = "[CMD, python3, -c, \"import socket; socket.create_connection(('127.0.0.1', 8000))\"]"
SERVICE = f"""
    build: .
    restart: unless-stopped
    stop_grace_period: 1s
    logging: {{driver: json-file, options: {{max-size: 1m, max-file: "3"}}}}
    healthcheck: {{interval: 1s, test: {LISTENS}}}
"""
NO_FRONT_END = f"""\
services:
  api:{SERVICE}    image: PROJECT/api:${{VERSION}}
    environment: {{BUILD: "${{VERSION}}", NEEDS: "queue:8000"}}
    ports: ["127.0.0.1:${{WEB_PORT}}:8000"]
  queue:
    image: runbook-tests-base:bookworm
    restart: unless-stopped
    stop_grace_period: 1s
    command: [python3, -m, http.server, "8000"]
    logging: {{driver: local}}
    healthcheck: {{interval: 1s, test: {LISTENS}}}
"""
EXTERNAL_DATABASE = f"""\
name: something else
services:
  shop:{SERVICE.replace("127.0.0.1', 8000", "127.0.0.1', ${WEB_PORT}")}    network_mode: host
    environment: {{BUILD: "${{TAG}}", PORT: "${{WEB_PORT}}", NEEDS: "${{DATABASE}}"}}
"""
TWO_BACK_ENDS = f"""\
services:
  reader:{SERVICE}    environment: {{BUILD: "${{RELEASE}}", NEEDS: "writer:8000"}}
    ports: ["127.0.0.1:${{WEB_PORT}}:8000"]
  writer:{SERVICE}    environment: {{BUILD: "${{RELEASE}}"}}
    image: PROJECT-writer
"""
ENVIRONMENT = """
name = "foreign"
kind = "sandbox"
domains = ["127.0.0.1"]
[application]
repository = "REPOSITORY"
releases = "releases"
backend = { migrations = "none" }
[dotenv]
file = "values"
[database]
url = { file = "values", key = "DATABASE_URL" }
[web]
url = "http://127.0.0.1:PORT"
health = [{ path = "/state", expect = { state = "fine" } }]
version_path = "/state"
version_key = "build"
[api]
accepted = { path = "/" }
refused = { path = "/" }
providers = { path = "/" }
[platform]
kind = "compose"
file = "deploy.yaml"
project = "PROJECT"
services = SERVICES
settle_seconds = 2
start_seconds = 30
accepted_risks = { "queue.latest" = "ours", "queue.digest" = "ours" }
[backup]
folder = "backups"
[security]
public_address = "127.0.0.1"
"""


@dataclass(frozen=True)
class Foreign:
    """A project of somebody else: its environment in a home of its own, and where its page is."""

    env: Environment
    page: str

    def runbook(self, *words: str) -> subprocess.Popen[str]:
        """A run of phases 6 and 8, or what else the words ask for."""
        pipe = subprocess.PIPE
        return subprocess.Popen([RUNBOOK, "run", NAME, *words], stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def statuses(self, run: Run) -> dict[str, str]:
        """What each item came to."""
        return {id: str(item["status"]) for id, item in summarize(run).items.items()}

    def answer(self) -> dict[str, str]:
        """What its page says."""
        with urllib.request.urlopen(self.page, timeout=5) as answer:
            said: dict[str, str] = json.load(answer)
        return said


@pytest.fixture
def database() -> Iterator[str]:
    """Somebody outside of the project who listens, at his address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def foreign(
    tmp_path: Path, kit: Home, database: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, list[str]], Foreign]:
    """Makes one of a compose file, its project's name, and its services."""

    def make(file: str, project: str, declared: list[str]) -> Foreign:
        port = docker_engine.free_port()
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        (tmp_path / "notebooks").symlink_to(kit.notebooks)
        repository = tmp_path / "repository"
        repository.mkdir()
        (repository / "deploy.yaml").write_text(file.replace("PROJECT", project))
        (repository / "Dockerfile").write_text(DOCKERFILE)
        (repository / "app.py").write_text(APP)
        git = ["git", "-C", repository, "-c", "user.name=Somebody", "-c", "user.email=somebody@else.example"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "It"], ["tag", TAG]):
            subprocess.run([*git, *words], check=True)
        written = Home(tmp_path).environments[1] / f"{NAME}.toml"
        written.parent.mkdir(parents=True)
        text = ENVIRONMENT.replace("REPOSITORY", str(repository)).replace("PORT", str(port))
        written.write_text(text.replace("PROJECT", project).replace("SERVICES", json.dumps(declared)))
        (written.parent / "values").write_text(
            f"WEB_PORT={port}\nDATABASE={database}\nDATABASE_URL=postgresql://somebody@{database}/else\n"
        )
        env = environment.read(written)
        install.checkout(env, release.find(env, TAG))
        return Foreign(env, f"{env.web.url}/state")

    return make


@pytest.mark.parametrize(
    ("file", "declared", "built"),
    [
        (NO_FRONT_END, ["queue", "api"], {"api"}),
        (EXTERNAL_DATABASE, ["shop"], {"shop"}),
        (TWO_BACK_ENDS, ["reader", "writer"], {"reader", "writer"}),
    ],
    ids=["no front end", "external database", "two back ends"],
)
def test_it_is_built_and_deployed(docker_base, foreign, file, declared, built):
    with docker_engine.project() as name:
        project = foreign(file, name, declared)
        running = project.runbook("--release", TAG, "--only", "6,8")
        said, _ = running.communicate(timeout=300)
        assert running.returncode == ExitCode.PASSED, said
        run = archive.runs(NAME)[-1]
        assert project.statuses(run) == {
            **{"6.1": "skipped", "6.2": "passed", "6.3": "passed"},
            **{"8.1": "passed", "8.2": "passed", "8.3": "passed"},
        }
        assert set(summarize(run).items["6.2"]["steps"][0]["observed"]) == built
        assert project.answer() == {"state": "fine", "build": TAG}
        assert platforms.connect(project.env).deployed() == TAG


def test_an_engine_that_dies_while_it_starts_them_costs_neither_the_record_nor_the_run(docker_base, foreign):
    image = subprocess.Popen(["docker", "save", docker_base], stdout=subprocess.PIPE)
    with image, docker_engine.own() as engine, docker_engine.project() as name:
        subprocess.run(["docker", "load", "-q"], stdin=image.stdout, check=True, stdout=subprocess.DEVNULL)
        project = foreign(NO_FRONT_END, name, ["queue", "api"])
        running = project.runbook("--release", TAG, "--only", "6,8")
        until(lambda: created(name), 120)
        engine.kill()
        said, _ = running.communicate(timeout=300)
        assert running.returncode == ExitCode.GATE_FAILED, said
        run = archive.runs(NAME)[-1]
        assert "the engine is down" in said
        assert "Traceback" not in said
        assert project.statuses(run)["8.1"] == "error"
        assert not verify.verify(run, keys.trust(project.env.sign_off, NAME)).faults
        engine.start()
        again = project.runbook("--resume", run.id)
        said, _ = again.communicate(timeout=300)
        assert again.returncode == ExitCode.PASSED, said
        assert project.statuses(run)["8.1"] == "passed"
        assert project.answer() == {"state": "fine", "build": TAG}
        assert not verify.verify(run, keys.trust(project.env.sign_off, NAME)).faults


def created(project: str) -> bool:
    """Whether the engine has a container of the project."""
    with compose_engine.answering() as client:
        return bool(compose_engine.containers(client, project))
