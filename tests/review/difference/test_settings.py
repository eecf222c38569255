from __future__ import annotations

import pytest

from runbook_lib.record.archive import SETTINGS, Run
from runbook_lib.review.difference.settings import compare


@pytest.fixture
def archived(tmp_path):
    def write(before: str | None, after: str | None) -> list[tuple[str, str, str]]:
        runs = [Run(tmp_path / name) for name in ("one", "other")]
        for run, text in zip(runs, (before, after), strict=True):
            run.folder.mkdir()
            if text is not None:
                (run.folder / SETTINGS).write_text(text)
        return [(change.place, change.before, change.after) for change in compare(*runs)]

    return write


def test_settings_are_named_by_their_keys(archived):
    before = 'kind = "staging"\n[load]\nceiling = 10.0\n[[contacts]]\nname = "A"\n'
    after = 'kind = "production"\n[load]\nceiling = 10.0\n[[contacts]]\nname = "B"\n[limits]\ncell = 7\n'
    assert archived(before, after) == [
        ("kind", "staging", "production"),
        ("contacts[0].name", "A", "B"),
        ("limits.cell", "", "7"),
    ]


def test_comments_and_order_are_no_settings(archived):
    assert archived("a = 1\nb = 2\n", "# said so\nb = 2\na = 1\n") == []


def test_what_was_masked_stays_so(archived):
    assert archived('url = "x://[masked A]@h"', 'url = "x://[masked B]@h"') == [
        ("url", "x://[masked A]@h", "x://[masked B]@h")
    ]


def test_what_is_no_toml_any_more_is_compared_line_by_line(archived):
    assert archived("a = [masked A]\nb = 1\n", "a = [masked A]\nb = 2\n") == [("line 2", "b = 1", "b = 2")]


def test_a_run_without_archived_settings_is_said(archived):
    assert archived("a = 1", None) == [(SETTINGS, "on record", "not on record")]


def test_what_python_takes_for_the_same_is_not(archived):
    assert archived("a = 1\n", "a = true\n[x]\n") == [("a", "1", "true"), ("x", "", "{}")]


def test_a_file_that_is_no_utf_8_is_compared_line_by_line(archived, tmp_path):
    archived("a = 1\n", "a = 2\n")
    (tmp_path / "other" / SETTINGS).write_bytes(b"a = '\xff\n")
    assert [change.place for change in compare(Run(tmp_path / "one"), Run(tmp_path / "other"))] == ["line 1"]
