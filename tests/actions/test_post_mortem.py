from __future__ import annotations

import pytest

from runbook_lib import platforms
from runbook_lib.actions import post_mortem
from runbook_lib.environment import Database, Secret
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import Image, Service, log_lines

LOG = """\
2026-01-02T03:00:00Z INFO before the deployment
2026-01-02T03:05:00Z ERROR the replica <b>is</b> missing
```
2099-01-01T00:00:00Z INFO after the rollback
"""
RESTORED = {"from": "a.dump", "kept": "b.dump", "old database": "app_before_rollback_1"}


class Platform:
    def deployed(self):
        return "v0.9.0"

    def services(self):
        return (Service("backend", "RUNNING", True, None, None, 0),)

    def tagged(self, release):
        return (Image("backend", "sha256:a", 1, 0.0),)

    def logs(self, service, *, since):
        assert service == "backend", "only what the release brought is of interest"
        return "\n".join(log_lines.since(LOG, since))


@pytest.fixture
def where(env, named):
    return named(env)


@pytest.fixture
def failed(where, record):
    """A run whose deployment failed at 8.3."""
    recording = record(where, "v1.0.1-broken")
    recording.deployed()
    evidence = [{"path": "evidence/8.3/health.txt", "size": 1, "sha256": "c0ffee"}]
    recording.step(
        8,
        "8.3",
        "http.health",
        status="failed",
        observed={"/health": "503 <script>alert(1)</script>"},
        expected="200",
        remedy="read the log",
        evidence=evidence,
    )
    recording.run.events.append("phase ended", phase=8, outcome="failed", reason="not passed: 8.3")
    return recording


def roll_back(recording, **statuses):
    gone_back = {"rolled_back": {"run": "r", "from": "v1.0.1-broken", "to": "v0.9.0"}}
    recording.phase(90)
    recording.step(90, "R.1.1", "edge.close", kind="action")
    recording.step(90, "R.1.2", "rollback.previous_release", kind="action", facts=gone_back)
    status = statuses.get("database", "passed")
    told = {"reason": "the dump was cut short", "remedy": "restore another"} if status != "passed" else {}
    facts = {} if told else {"restored_database": RESTORED}
    recording.step(90, "R.1.3", "rollback.restore_database", kind="action", status=status, facts=facts, **told)
    if not told:
        recording.step(90, "R.2.3", "edge.reopen", kind="action")


def written(where, recording):
    finding = post_mortem.write(where, recording.run).run()
    assert finding.ok
    document, page = (evidence.content for evidence in finding.evidence)
    assert [evidence.name for evidence in finding.evidence] == ["post-mortem.md", "post-mortem.html"]
    return finding, document, page


def test_it_tells_what_failed_what_was_restored_and_in_which_order(where, failed, monkeypatch):
    monkeypatch.setattr(platforms, "connect", lambda env: Platform())
    roll_back(failed)
    finding, document, page = written(where, failed)
    assert finding.observed["did not pass"] == ["8.3"]
    for sentence in (
        "# Post-mortem: v1.0.1-broken on",
        "## 8.3 Check Health Endpoints: failed",
        "Evidence: evidence/8.3/health.txt, SHA-256 c0ffee",
        "Release: v1.0.1-broken → v0.9.0",
        "Database: from a.dump",
        "in the dump b.dump",
        "app\\_before\\_rollback\\_1",
        "Users were turned away for 0 s",
        "| R.1.2 | rollback.previous\\_release | passed | 1.5 |",
        "| release | v0.9.0 |",
        "the replica <b>is</b> missing",
    ):
        assert sentence in document
    assert "The rollback did not finish" not in document
    assert "before the deployment" not in document
    assert "after the rollback" not in document
    timeline = document.partition("## Timeline")[2]
    order = ["phase 8 started", "8.3 Check Health", "phase 8 ended", "phase 90 started", "R.1.1", "R.1.2", "R.1.3"]
    assert sorted(order, key=timeline.index) == order
    assert "<h2>8.3 Check Health Endpoints: failed</h2>" in page


def test_what_a_target_said_is_text(where, failed, monkeypatch):
    monkeypatch.setattr(platforms, "connect", lambda env: Platform())
    roll_back(failed)
    _, _, page = written(where, failed)
    assert "<script>" not in page
    assert "<b>is</b>" not in page
    assert "<h2>To be written by people</h2>" in page


def test_a_rollback_that_failed_says_what_is_to_be_done_by_hand(where, failed, monkeypatch):
    monkeypatch.setattr(platforms, "connect", lambda env: Platform())
    roll_back(failed, database="failed")
    _, document, _ = written(where, failed)
    assert "Database: not restored; R.1.3 says why" in document
    assert "## The rollback did not finish: to be done by hand" in document
    assert "| the dump was cut short | restore another |" in document
    assert "Users are turned away since" in document


def test_a_rollback_by_a_run_of_its_own_tells_of_both_runs(where, failed, record, monkeypatch):
    monkeypatch.setattr(platforms, "connect", lambda env: Platform())
    own = record(where, "v1.0.1-broken")
    roll_back(own)
    _, document, _ = written(where, own)
    assert "## 8.3 Check Health Endpoints: failed" in document
    assert f"in run {failed.run.id}" in document
    assert f"Rollback to v0.9.0 in run {own.run.id}" in document


def test_a_state_that_cannot_be_found_out_says_so(where, failed, tmp_path):
    platform = where.platform.model_copy(update={"socket": tmp_path / "none.sock"})
    lost = where.model_copy(
        update={
            "platform": platform,
            "database": Database(url=Secret(env="NOT_SET_ANYWHERE")),
            "web": where.web.model_copy(update={"url": "http://127.0.0.1:1"}),
        }
    )
    state = post_mortem.state(lost)
    assert state["services"].startswith("could not be found out: supervisord does not answer")
    assert state["schema"].startswith("could not be found out: no value found")
    assert state["traffic"].startswith("users get: no answer")
    _, document, _ = written(lost, failed)
    assert "No service is known to have run v1.0.1-broken" in document


def test_logs_that_cannot_be_read(where, failed, monkeypatch):
    class Mute(Platform):
        def logs(self, service, *, since):
            raise Unanswerable("supervisord does not answer")

    monkeypatch.setattr(platforms, "connect", lambda env: Mute())
    _, document, _ = written(where, failed)
    assert "The logs could not be read: supervisord does not answer" in document


def test_it_is_written_on_the_sandbox(where, failed):
    finding, document, _ = written(where, failed)
    assert finding.observed["state now"]["traffic"].startswith("users get: 200")
    assert "database RUNNING" in document


def test_without_a_deployment_there_is_no_post_mortem(where, record):
    with pytest.raises(Unanswerable, match="no run of"):
        post_mortem.write(where, record(where).run).run()
