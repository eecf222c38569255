"""Secrets in the source: the checklist's own text, and what detect-secrets recognizes."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runbook_lib import command
from runbook_lib.checks import accepted
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, check, progress

DIGEST_LENGTH = 12
"""Characters of a secret's SHA-1 in a finding's id: enough to know it again, too few to be searched for."""


@contextmanager
def _tracked_tree(env: Environment, release: Release) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Every file of the release's commit, written to a folder of its own, and their names.

    Not the checkout: what was changed there would hide or add findings, and an archive leaves out what the
    repository's attributes say.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, index = Path(temporary) / "tree", Path(temporary) / "index"
        folder.mkdir()
        repository = _git(["-C", env.application.repository], index, "rev-parse", "--absolute-git-dir").strip()
        within: list[str | Path] = ["-C", folder, f"--git-dir={repository}", f"--work-tree={folder}"]
        _git(within, index, "read-tree", release.commit)
        _git(within, index, "checkout-index", "--all")
        names = _git(within, index, "ls-files", "-z").split("\0")
        # A link may lead anywhere; what it names within the tree is looked at there.
        yield folder, tuple(name for name in names if (folder / name).is_file() and not (folder / name).is_symlink())


def _git(where: list[str | Path], index: Path, *arguments: str) -> str:
    completed = command.run(["git", *where, *arguments], env={"GIT_INDEX_FILE": str(index)}, timeout=120.0)
    if not completed.ok:
        raise Unanswerable(
            f"git {arguments[0]} of the release failed: {completed.tail(1)}", remedy="check application.repository"
        )
    return completed.output


@check("{release}'s source holds no forbidden text")
def forbidden_text(env: Environment, release: Release) -> Finding:
    """5.3: the checklist's own search: none of ``security_audit.forbidden_text`` stands in any tracked file.

    An accepted finding's id is ``file:text``.

    Raises
    ------
    NotApplicable
        No text is forbidden.
    Unanswerable
        git does not give the release's files.
    """
    texts = env.security_audit.forbidden_text
    if not texts:
        raise NotApplicable(f"{env.name}.toml declares no security_audit.forbidden_text")
    with _tracked_tree(env, release) as (folder, names):
        found = [
            (f"{name}:{text}", name, number, text)
            for name in names
            for number, line in enumerate((folder / name).read_bytes().splitlines(), start=1)
            for text in texts
            if text.encode() in line
        ]
    return _judged(env, found, f"{', '.join(texts)} in none of {len(names)} tracked files", len(names))


@check("{release}'s source holds no secret")
def secrets(env: Environment, release: Release) -> Finding:
    """5.3: detect-secrets finds none in any tracked file; each finding with file and line, never the secret itself.

    An accepted finding's id is ``file:kind:digest``, with the start of the secret's SHA-1, so that another secret in
    the same place is a new finding. A line that says ``pragma: allowlist secret`` is passed over by detect-secrets.

    Raises
    ------
    Unanswerable
        git does not give the release's files, or detect-secrets did not report.
    """
    with _tracked_tree(env, release) as (folder, names):
        if not names:
            raise Unanswerable(f"{release} has no tracked file", remedy="check the tag")
        progress(f"looking for secrets in {len(names)} files")
        completed = command.run(
            [sys.executable, "-m", "detect_secrets", "-C", folder, "scan", "--all-files", "--no-verify"],
            timeout=env.limits.audit,
        )
    try:
        found = read_report(completed.output)
    except ValueError as error:
        raise Unanswerable(
            f"detect-secrets gave no report: {error}; it ended with {completed.returncode}: {completed.tail(1)[:200]}",
            remedy="run 'python -m detect_secrets scan' in a checkout of the release, and read what it says",
        ) from error
    return _judged(env, found, f"no secret in any of {len(names)} tracked files, but accepted ones", len(names))


def read_report(text: str) -> list[tuple[str, str, int, str]]:
    """Id, file, line and kind of each finding in detect-secrets' baseline. Raises ValueError where it is none."""
    try:
        report: Any = json.loads(text)
        if not report["plugins_used"]:
            raise ValueError("it used no detector")
        return [
            (
                f"{name}:{entry['type']}:{entry['hashed_secret'][:DIGEST_LENGTH]}",
                name,
                entry["line_number"],
                entry["type"],
            )
            for name, entries in sorted(report["results"].items())
            for entry in entries
        ]
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"no baseline: {type(error).__name__} {error}") from None


def _judged(env: Environment, found: list[tuple[str, str, int, str]], expected: str, files: int) -> Finding:
    outcome, observed, decisions = accepted.judge(env, list(dict.fromkeys((id,) for id, *_ in found)))
    rows = tuple((name, line, kind, id) for id, name, line, kind in found)
    return Finding(
        ok=not outcome.open,
        observed={"files": files, **observed},
        expected=expected,
        remedy="replace the secret wherever it is used, then take it out of the source: the repository's history keeps "
        "it; what is none is accepted by its id as [[security_audit.accepted]]",
        tables=(*((Table(("file", "line", "kind", "id"), rows, "In the source"),) if rows else ()), *decisions),
    )
