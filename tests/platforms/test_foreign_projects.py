"""Projects unlike the demo application: phases 6 and 8 build, deploy and watch them by configuration alone."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.actions import build, deployment
from runbook_lib.checks import compose_file, http, images, services
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable
from runbook_lib.platforms import connect
from runbook_lib.release import Release

from .. import docker_engine

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
repository = "repository"
releases = "releases"
[dotenv]
file = "values"
[database]
url = { env = "FOREIGN_DATABASE_URL" }
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


@pytest.fixture
def database() -> Iterator[str]:
    """Somebody outside of the project who listens, at his address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("file", "declared", "built"),
    [
        (NO_FRONT_END, ["queue", "api"], {"api"}),
        (EXTERNAL_DATABASE, ["shop"], {"shop"}),
        (TWO_BACK_ENDS, ["reader", "writer"], {"reader", "writer"}),
    ],
    ids=["no front end", "external database", "two back ends"],
)
def test_it_is_built_and_deployed_and_then_its_next_release(
    docker_base: str, tmp_path: Path, database: str, file: str, declared: list[str], built: set[str]
) -> None:
    port = docker_engine.free_port()
    with docker_engine.project() as name:
        text = ENVIRONMENT.replace("PORT", str(port)).replace("PROJECT", name).replace("SERVICES", str(declared))
        env = Environment.model_validate(tomllib.loads(text), context={"folder": tmp_path})
        env.dotenv.file.write_text(f"WEB_PORT={port}\nDATABASE={database}\n")
        for tag in ("v1.0.0", "v1.1.0"):
            release = Release(tag, tag[3] * 40, tmp_path / tag)
            release.folder.mkdir()
            (release.folder / "deploy.yaml").write_text(file.replace("PROJECT", name))
            (release.folder / "Dockerfile").write_text(DOCKERFILE)
            (release.folder / "app.py").write_text(f"# {tag}\n{APP}")
            steps_of_phase_6(env, release, built)
            steps_of_phase_8(env, release)
        assert connect(env).deployed() == "v1.1.0"


def steps_of_phase_6(env: Environment, release: Release, built: set[str]) -> None:
    """6.1 to 6.3."""
    with pytest.raises(NotApplicable):
        build.frontend(env, release).run()
    made = build.images(env, release).run()
    assert made.ok
    assert set(made.observed) == built
    facts: dict[str, Any] = dict(made.facts)
    assert build.tag(env, release, facts).run().ok
    tagged = images.tagged(env, release, facts).run()
    assert tagged.ok, tagged.observed


def steps_of_phase_8(env: Environment, release: Release) -> None:
    """8.1 but for its migrations, which these have none of, to 8.3."""
    for step in (
        compose_file.acceptable(env, release),
        deployment.before(env, release),
        deployment.deploy(env, release),
        services.running(env),
        http.health(env),
        http.version_is(env, release),
    ):
        finding = step.run()
        assert finding.ok, (step.title, finding.observed)
