"""The demo application's repository: the same commits everywhere, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from runbook_lib.errors import ConfigurationError
from runbook_lib.sandbox import repository

TAGS = ["v0.9.0", "v1.0.0", "v1.0.1-broken"]


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sandbox") / "application"
    repository.create(folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return finished.stdout


def commits(folder: Path) -> str:
    return git(folder, "for-each-ref", "--format=%(refname) %(objectname)", "refs")


def test_tags_in_order_on_main(application: Path) -> None:
    assert git(application, "tag", "--sort=creatordate").split() == TAGS
    assert git(application, "branch", "--show-current").strip() == "main"
    assert git(application, "rev-parse", "v1.0.1-broken^{commit}") == git(application, "rev-parse", "main")


def test_work_tree_is_clean_and_nothing_is_left_beside_it(application: Path) -> None:
    assert git(application, "status", "--porcelain") == ""
    assert [path.name for path in application.parent.iterdir()] == ["application"]


@pytest.mark.parametrize("tag", TAGS)
def test_version_is_the_tag(application: Path, tag: str) -> None:
    assert git(application, "show", f"{tag}:backend/VERSION").strip() == tag.removeprefix("v")


def test_only_1_0_0_changes_the_schema(application: Path) -> None:
    def changed(old: str, new: str) -> str:
        return git(application, "diff", "--name-only", old, new, "--", "backend/migrations")

    assert changed("v0.9.0", "v1.0.0").split() == ["backend/migrations/versions/0002_amounts_and_provider_domains.py"]
    assert changed("v1.0.0", "v1.0.1-broken") == ""


def test_the_same_commits_whatever_the_user_has_configured(
    application: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    configuration = tmp_path / "gitconfig"
    configuration.write_text(
        f"[user]\nname = Somebody\nemail = a@b\n[core]\nautocrlf = true\nhooksPath = {hooks}\n"
        "[commit]\ngpgSign = true\n[tag]\ngpgSign = true\n[init]\ndefaultBranch = trunk\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TZ", "Africa/Nairobi")
    umask = os.umask(0o077)
    try:
        repository.create(tmp_path / "again")
    finally:
        os.umask(umask)
    monkeypatch.undo()
    assert commits(tmp_path / "again") == commits(application)


def test_what_was_built_in_the_source_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in repository.VERSIONS:
        for name in ("kept.txt", "__pycache__/a.pyc", "node_modules/b.js", "dist/c.html", ".venv/d"):
            path = tmp_path / "source" / version.tag / "part" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(version.tag)
    monkeypatch.setattr(repository, "APPLICATION", tmp_path / "source")
    repository.create(tmp_path / "made")
    assert git(tmp_path / "made", "ls-files").split() == ["part/kept.txt"]


def test_an_existing_repository_stays_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "application"
    repository.create(folder)
    (folder / "notes.txt").write_text("my own")
    repository.create(folder)
    assert (folder / "notes.txt").read_text() == "my own"


@pytest.mark.parametrize("content", ["empty folder", "other files", "a moved tag"])
def test_something_else_is_never_replaced(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "application"
    if content == "a moved tag":
        repository.create(folder)
        git(folder, "tag", "--force", "v1.0.0", "v0.9.0^{commit}")
    else:
        folder.mkdir()
        if content == "other files":
            (folder / "precious").touch()
    before = sorted(folder.rglob("*"))
    with pytest.raises(ConfigurationError, match="remove it"):
        repository.create(folder)
    assert sorted(folder.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["application"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "APPLICATION", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        repository.create(tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_requirements_are_pinned(application: Path) -> None:
    lines = (application / "backend" / "requirements.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages and all("==" in line for line in packages)


def test_lock_file_names_no_registry(application: Path) -> None:
    lock = json.loads((application / "frontend" / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_page_never_reads_text_as_markup(application: Path) -> None:
    sources = "".join(path.read_text() for path in (application / "frontend" / "src").glob("*.js"))
    assert "textContent" in sources
    assert not any(word in sources for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"))
