from __future__ import annotations

import re

import pytest

from runbook_lib.record import seal
from runbook_lib.review import lookup, runs_page

from ..accessibility import serious_faults
from ..many_runs import multiply
from ..record.conftest import roles  # noqa: F401
from .conftest import HOSTILE


def vary(number, overview):
    overview["release"] = f"v1.{number // 40}"
    overview["outcome"] = "failed" if number % 10 == 0 else "passed"
    overview["items"]["3.1"]["status"] = "failed" if number % 2 else "passed"
    overview["loads"] = {
        "3.2": {"throughput": 500.0 + number, "p95": 20.0 + number % 7, "errors": 0.001 * (number % 3)}
    }


@pytest.fixture
def written(roles):  # noqa: F811
    """120 runs of two environments, and the real one that they were made from."""
    run = roles.ran()
    multiply(run, 90, vary)
    multiply(run, 29, vary, "other")
    return runs_page.write()


@pytest.fixture
def opened(written, browsed):
    """The page in a real Chromium."""
    browsed.goto(written.as_uri())
    return browsed


def shown(opened) -> list[str]:
    return opened.locator("#runs tr td:nth-child(2) a:first-child").all_inner_texts()


def test_the_newest_runs_can_be_read_without_the_script(written):
    body = re.sub(r"<script.*?</script>", "", written.read_text(), flags=re.DOTALL)
    rows = re.findall(r'<td><a href="\./(.*?)/(.*?)/review.html">(.*?)</a> \(<a', body)
    newest = [(entry.environment, entry.run, entry.run) for entry in lookup.entries()[::-1]]
    assert rows == newest[:50]
    assert len(newest) == 120


def test_runs_are_paged_and_filtered(opened):
    newest = [entry.run for entry in lookup.entries()[::-1]]
    assert shown(opened) == newest[:50]
    opened.click("#older")
    opened.click("#older")
    assert shown(opened) == newest[100:]
    assert opened.locator("#older").is_disabled()
    opened.select_option("#environment", label="other")
    assert (len(shown(opened)), opened.inner_text("#shown")) == (29, "29 of 120 runs")
    opened.select_option("#outcome", "failed")
    assert len(shown(opened)) == 3
    opened.select_option("#environment", "")
    opened.select_option("#outcome", "")
    opened.fill("#words", "-V1.2")
    assert len(shown(opened)) == 10
    opened.fill("#words", "nothing of the kind")
    assert shown(opened) == []


def test_a_link_leads_to_the_run(written, opened):
    for selector in ("#runs tr:first-child a:nth-child(2)", "#runs tr:last-child a:nth-child(2)"):
        address = opened.get_attribute(selector, "href")
        assert (written.parent / address / "events.jsonl").is_file()


def test_trends_wavering_items_and_times_are_shown(opened):
    assert opened.locator("svg.line").count() == 6
    assert opened.locator("svg.line").first.locator("circle").count() == 90
    opened.click("summary >> nth=0")
    assert opened.locator("details[open] tbody tr").count() == 90
    assert "3.1 changed 19 times in the last 20 runs" in opened.inner_text("main")
    assert "3 Database setup" in opened.inner_text("main")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_has_no_serious_fault_of_accessibility(opened, theme):
    opened.emulate_media(color_scheme=theme)
    opened.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert serious_faults(opened) == []


def test_what_runs_say_never_becomes_markup(roles, browsed):  # noqa: F811
    def hostile(number, overview):
        vary(number, overview)
        overview["outcome"] = HOSTILE
        overview["items"] = {HOSTILE: {"status": "failed" if number % 2 else "passed", "said": HOSTILE}}
        overview["loads"] = {HOSTILE: overview["loads"]["3.2"]}

    multiply(roles.ran(), 4, hostile)
    written = runs_page.write()
    assert HOSTILE not in written.read_text()
    browsed.goto(written.as_uri())
    assert HOSTILE in browsed.inner_text("#runs")
    assert browsed.title() == "All runs"


def test_an_archive_without_runs_still_has_a_page(mini):
    assert "Runs: 0; environments: 0" in runs_page.write().read_text()


def test_it_is_written_at_a_runs_end_and_a_damaged_run_breaks_nothing(roles):  # noqa: F811
    run = roles.ran()
    run.events.path.write_text("damaged\n")
    assert runs_page.refresh() == ""
    assert "⚠ damaged" in runs_page.html() or "■ damaged" in runs_page.html()


def test_a_page_that_cannot_be_written_is_said_and_stops_nothing(mini):
    (mini.outputs / runs_page.NAME).mkdir()
    assert "index.html could not be written" in runs_page.refresh()


def test_a_sealed_run_may_be_listed_without_a_change_to_it(roles):  # noqa: F811
    run = roles.sealed()
    before = sorted(path.name for path in run.folder.iterdir())
    runs_page.write()
    assert sorted(path.name for path in run.folder.iterdir()) == before
    assert seal.is_sealed(run)
