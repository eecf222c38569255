from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from runbook_lib import platforms
from runbook_lib.checks import services
from runbook_lib.command import Completed
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import Service

UP = Service("backend", "RUNNING", True, None, datetime(2026, 1, 1, tzinfo=UTC), 0)


class Platform:
    """Shows one list of services after another, then the last one for ever."""

    def __init__(self, *shown, probe=None):
        self.shown = list(shown)
        self.probe = probe

    def services(self):
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]

    def execute(self, service, argv, *, timeout):
        return self.probe


@pytest.fixture
def watched(at, monkeypatch):
    def run(check, platform):
        monkeypatch.setattr(platforms, "connect", lambda env: platform)
        env = at("http://127.0.0.1:1")
        return check(env.model_copy(update={"platform": env.platform.model_copy(update={"settle_seconds": 0.3})})).run()

    return run


def test_services_pass_on_the_sandbox(env):
    finding = services.running(env).run()
    assert finding.ok, finding.observed
    assert {row[0] for row in finding.tables[0].rows} == set(env.platform.services)


def test_a_service_that_the_sandboxs_supervisor_does_not_run_fails(env):
    platform = env.platform.model_copy(update={"services": (*env.platform.services, "ghost"), "settle_seconds": 0.1})
    finding = services.running(env.model_copy(update={"platform": platform})).run()
    assert not finding.ok
    assert "ghost" in str(finding.observed)
    assert "backend" not in str(finding.observed)


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (replace(UP, state="FATAL", up=False, detail="exited too quickly"), "backend is FATAL: exited too quickly"),
        (replace(UP, healthy=False), "not healthy"),
        (replace(UP, restarts=1), "restarted"),
        (replace(UP, started=datetime(2026, 1, 2, tzinfo=UTC)), "restarted"),
    ],
    ids=["down", "unhealthy", "counted restart", "newer start"],
)
def test_a_service_that_does_not_stay_up_fails(watched, later, words):
    finding = watched(services.running, Platform((UP,), (UP,), (later,)))
    assert not finding.ok
    assert words in str(finding.observed)


def test_without_services_there_is_no_verdict(watched):
    with pytest.raises(Unanswerable):
        watched(services.running, Platform(()))


def test_the_database_inside_passes_on_the_sandbox(env):
    assert services.database_inside(env).run().ok


@pytest.mark.parametrize(("code", "output"), [(1, "Traceback\nOperationalError: refused"), (0, "DB FAIL"), (0, "")])
def test_a_back_end_without_its_database_fails(watched, code, output):
    finding = watched(services.database_inside, Platform((UP,), probe=Completed(("python",), code, output, 0.1)))
    assert not finding.ok


def test_the_cache_inside_passes_on_the_sandbox(env):
    assert services.cache_inside(env).run().ok


@pytest.mark.parametrize(("code", "output"), [(1, "ConnectionError: refused"), (0, "CACHE FAIL"), (0, "")])
def test_a_back_end_without_its_cache_fails(watched, code, output):
    finding = watched(services.cache_inside, Platform((UP,), probe=Completed(("python",), code, output, 0.1)))
    assert not finding.ok


def test_a_wrong_database_url_inside_fails(env, tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text(env.dotenv.file.read_text() + "\nDATABASE_URL=postgresql://nobody:x@127.0.0.1:1/none\n")
    wrong = env.model_copy(update={"dotenv": env.dotenv.model_copy(update={"file": dotenv})})
    finding = services.database_inside(wrong).run()
    assert not finding.ok
