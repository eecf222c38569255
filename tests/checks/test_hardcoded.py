from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import hardcoded
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release

KEY = "AKIA" + "Q3EGR7XK2LMZ4T6V"


@pytest.fixture
def source(tmp_path, at):
    """An environment and a release whose tracked files have the given contents."""

    def make(files, **audit):
        folder = tmp_path / "application"
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder)]
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "first"], check=True)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        env = at("", application={"repository": "application", "releases": "releases"}, security_audit=audit)
        return env, Release("v1", commit, tmp_path / "releases" / "v1")

    return make


SOUND = {"backend/main.py": "import os\n\nsecret = os.environ['SECRET_KEY']\n", "logo.png": b"\x89PNG\x00\xff"}


@pytest.mark.parametrize("check", [hardcoded.forbidden_text, hardcoded.secrets])
def test_the_demo_application_is_sound(env, release, check):
    finding = check(env, release).run()
    assert finding.ok, finding.tables
    assert finding.observed["files"] >= 50


@pytest.mark.parametrize("check", [hardcoded.forbidden_text, hardcoded.secrets])
def test_a_sound_source(source, check):
    assert check(*source(SOUND)).run().ok


def test_the_checklists_own_text_is_found_by_file_and_line(source):
    env, release = source({**SOUND, "backend/settings.py": "import os\nkey = 'dev-secret-key'\n"})
    finding = hardcoded.forbidden_text(env, release).run()
    assert not finding.ok
    assert finding.tables[0].rows == (("backend/settings.py", 2, "dev-secret", "backend/settings.py:dev-secret"),)


def test_the_environment_may_forbid_other_text(source):
    env, release = source({**SOUND, "a.sh": "echo hunter2\n"}, forbidden_text=["hunter2"])
    assert not hardcoded.forbidden_text(env, release).run().ok


def test_no_text_is_forbidden(source):
    with pytest.raises(NotApplicable, match="forbidden_text"):
        hardcoded.forbidden_text(*source(SOUND, forbidden_text=[])).run()


@pytest.mark.parametrize(
    "line",
    [f"key = '{KEY}'", "password = 'Xk3vQ9tLm2Zr7Wp5'", "url = 'postgresql://app:Xk3vQ9tLm2Zr7Wp5@db/app'"],
)
def test_a_secret_is_found_and_never_shown(source, line):
    env, release = source({**SOUND, "backend/settings.py": f"import os\n\n{line}\n"})
    finding = hardcoded.secrets(env, release).run()
    assert not finding.ok
    assert finding.tables[0].rows[0][:2] == ("backend/settings.py", 3)
    assert not any(secret in repr(finding) for secret in (KEY, "Xk3vQ9tLm2Zr7Wp5"))


@pytest.mark.parametrize(("days", "ok"), [(1, True), (-1, False)])
def test_an_accepted_finding_counts_until_it_expires(source, days, ok):
    expires = (datetime.now(UTC) + timedelta(days)).date().isoformat()
    env, release = source({**SOUND, "tests/vectors.py": f"key = '{KEY}'\n"})
    ids = hardcoded.secrets(env, release).run().observed["open"]
    decisions = [{"id": id, "reason": "a published test vector", "expires": expires} for id in ids]
    accepting = env.model_copy(
        update={"security_audit": type(env.security_audit).model_validate({"accepted": decisions})}
    )
    finding = hardcoded.secrets(accepting, release).run()
    assert finding.ok is ok
    assert ("acceptance expired" in finding.observed) is not ok
    assert not any(id.endswith(KEY) for id in ids)


def test_what_is_not_tracked_is_not_the_release(source):
    env, release = source(SOUND)
    (env.application.repository / "left.py").write_text(f"key = '{KEY}'  # dev-secret\n")
    assert hardcoded.secrets(env, release).run().ok
    assert hardcoded.forbidden_text(env, release).run().ok


def test_the_repository_is_left_as_it_was(source):
    env, release = source(SOUND)
    hardcoded.forbidden_text(env, release).run()
    status = ["git", "-C", str(env.application.repository), "status", "--porcelain"]
    assert subprocess.run(status, check=True, capture_output=True, text=True).stdout == ""


def test_a_link_out_of_the_tree_is_not_followed(source, tmp_path):
    (tmp_path / "outside.txt").write_text("dev-secret")
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    assert hardcoded.forbidden_text(*source(SOUND)).run().ok


@pytest.mark.parametrize("check", [hardcoded.forbidden_text, hardcoded.secrets])
def test_a_commit_that_is_not_there(source, check):
    env, release = source(SOUND)
    with pytest.raises(Unanswerable, match="git read-tree"):
        check(env, Release("v2", "1" * 40, release.folder)).run()


def test_detect_secrets_that_does_not_report(source, monkeypatch):
    monkeypatch.setattr(hardcoded.sys, "executable", "/bin/true")
    with pytest.raises(Unanswerable, match="gave no report"):
        hardcoded.secrets(*source(SOUND)).run()


@given(
    st.text()
    | st.dictionaries(st.sampled_from(["plugins_used", "results"]), st.lists(st.text()), max_size=2).map(json.dumps)
)
def test_no_report_breaks_the_reader(text):
    try:
        hardcoded.read_report(text)
    except ValueError:
        pass
