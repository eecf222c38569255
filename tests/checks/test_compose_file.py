from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import compose_file
from runbook_lib.checks.compose_file import Published
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Finding

from ..docker_engine import cannot

SOUND = """\
services:
  store:
    image: postgres:15-alpine@sha256:{digest}
    restart: unless-stopped
    environment: {{POSTGRES_PASSWORD: "${{POSTGRES_PASSWORD:?set it}}"}}
    ports: ["127.0.0.1:5432:5432"]
    healthcheck: {{test: [CMD, pg_isready]}}
    logging: {{driver: json-file, options: {{max-size: 50m, max-file: "10"}}}}
  web:
    image: demo:${{RELEASE:-latest}}
    build: .
    restart: unless-stopped
    ports: ["443:443"]
    healthcheck: {{test: [CMD, "true"]}}
    logging: {{driver: journald}}
""".format(digest="0" * 64)

Judge = Callable[..., Finding]


@pytest.fixture
def judge(at: Callable[..., Environment], tmp_path: Path) -> Judge:
    """Have Compose read `text` as the file of v1.0.0, and the check judge it; needs no engine."""
    if shutil.which("docker-compose") is None:
        cannot("docker-compose was not found: apt-get install docker-compose")
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=chosen\n")

    def judged(text: str, check: Any = compose_file.acceptable, **settings: Any) -> Finding:
        (tmp_path / "docker-compose.prod.yml").write_text(text)
        env = at("", platform={"kind": "compose", "project": "demo", "services": ["web"], **settings})
        finding: Finding = check(env, Release("v1.0.0", "c" * 40, tmp_path)).run()
        return finding

    return judged


def test_a_sound_file(judge: Judge) -> None:
    finding = judge(SOUND)
    assert finding.ok, finding.observed


@pytest.mark.parametrize(
    ("sound", "planted", "risk"),
    [
        ("127.0.0.1:5432:5432", "5432:5432", "store.exposed"),
        ("127.0.0.1:5432:5432", "0.0.0.0:15432:5432", "store.exposed"),
        ("127.0.0.1:5432:5432", "127.0.0.1:443:5432", "web.port"),
        ("POSTGRES_PASSWORD:?set it", "POSTGRES_PASSWORD:-changeme", "POSTGRES_PASSWORD.default"),
        ("15-alpine@sha256:" + "0" * 64, "latest", "store.latest"),
        ("@sha256:" + "0" * 64, "", "store.digest"),
        ("    healthcheck: {test: [CMD, pg_isready]}\n", "", "store.healthcheck"),
        ("    restart: unless-stopped\n    environment", "    environment", "store.restart"),
        (', max-file: "10"', "", "store.logging"),
        ("driver: journald", "driver: none", "web.logging"),
    ],
)
def test_a_planted_risk_is_found(judge: Judge, sound: str, planted: str, risk: str) -> None:
    assert sound in SOUND
    finding = judge(SOUND.replace(sound, planted))
    assert not finding.ok
    assert risk in finding.observed
    assert "changeme" not in str(finding)


def test_an_accepted_risk_shows_its_reason(judge: Judge) -> None:
    text = SOUND.replace("@sha256:" + "0" * 64, "")
    finding = judge(text, accepted_risks={"store.digest": "the registry is ours"})
    assert finding.ok
    assert finding.tables[0].rows[0][2] == "the registry is ours"


def test_a_declared_service_that_the_release_does_not_have(judge: Judge) -> None:
    finding = judge(SOUND, services=["web", "worker"])
    assert finding.observed == {"worker.unknown": "the file has store, web"}
    assert finding.remedy == "worker.unknown: correct platform.services, or the file"


def test_stores_that_are_not_published(judge: Judge) -> None:
    assert judge(SOUND.replace("driver: journald", "driver: none"), compose_file.stores_unpublished).ok


def test_a_store_that_is_published_is_found_whatever_else_is_risked(judge: Judge) -> None:
    exposed = SOUND.replace("127.0.0.1:5432:5432", "5432:5432").replace("driver: journald", "driver: none")
    assert judge(exposed, compose_file.stores_unpublished).observed.keys() == {"store.exposed"}


def test_a_file_with_errors(judge: Judge) -> None:
    with pytest.raises(Unanswerable, match="has errors"):
        judge(SOUND.replace("restart:", "restrat:"))


def test_on_another_platform(at: Callable[..., Environment], tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="supervisor"):
        compose_file.acceptable(at(""), Release("v1.0.0", "c" * 40, tmp_path)).run()


@given(port=st.integers(1, 65535), target=st.integers(1, 65535), host=st.ip_addresses(v=4))
def test_a_port_means_the_same_in_both_ways_of_writing_it(port: int, target: int, host: object) -> None:
    short = compose_file.published("a", {"ports": [f"{host}:{port}:{target}/tcp"]})
    mapping = {"host_ip": str(host), "published": str(port), "target": target, "protocol": "tcp"}
    assert (
        short == compose_file.published("a", {"ports": [mapping]}) == (Published("a", str(host), port, target, "tcp"),)
    )
