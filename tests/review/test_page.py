from __future__ import annotations

import pytest

from runbook_lib.review import page
from runbook_lib.step import Evidence, Finding, check

from ..accessibility import serious_faults
from ..record.conftest import broken, numbered, roles  # noqa: F401
from .conftest import HOSTILE


@check("Answers with markup")
def hostile() -> Finding:
    return Finding(False, HOSTILE, "text", remedy=HOSTILE, evidence=(Evidence("seen.log", HOSTILE),))


@pytest.fixture
def written(roles):  # noqa: F811
    run = roles.ran(steps={"3.2": hostile()})
    return page.write(run)


@pytest.fixture
def opened(written, browsed):
    """The review in a real Chromium."""
    browsed.goto(f"{written.as_uri()}#item-3.1")
    return browsed


def test_what_a_target_sent_never_becomes_markup(written):
    text = written.read_text()
    assert HOSTILE not in text
    assert text.count("<script>") == 1
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert len(text) < 100_000


def test_a_missing_notebook_and_changed_evidence_are_said(roles):  # noqa: F811
    run = roles.ran()
    (run.folder / "03_database_setup.ipynb").unlink()
    next(run.folder.glob("evidence/3.1/*")).write_text("another")
    text = page.write(run).read_text()
    assert "03_database_setup.ipynb is missing" in text
    assert "is not what was kept" in text


def test_damaged_events_still_give_a_page(roles):  # noqa: F811
    run = roles.ran()
    run.events.path.write_text("damaged\n")
    assert "What is missing" in page.write(run).read_text()


def test_seal_and_signatures_are_shown_and_the_page_is_no_part_of_the_record(roles):  # noqa: F811
    run = roles.signed()
    text = page.write(run).read_text()
    assert "signed for security" in text
    assert "signed; what is there holds" in text


def test_a_page_that_cannot_be_written_is_said_and_stops_nothing(roles):  # noqa: F811
    run = roles.ran()
    (run.folder / page.NAME).mkdir()
    assert "review.html could not be written" in page.refresh(run)


def test_it_is_filtered_by_status_and_text_and_opened_at_an_item(opened):
    assert opened.locator("[id='item-3.1']").get_attribute("open") is not None
    opened.select_option("#status", "failed")
    assert opened.locator("details.item:visible").count() == 1
    opened.evaluate("location.hash = '#item-3.1-none'; location.hash = '#item-3.1'")
    opened.wait_for_function("document.getElementById('item-3.1').checkVisibility()")
    opened.fill("#words", "answers with markup")
    assert opened.locator("details.item:visible").get_attribute("id") == "item-3.2"


def test_it_prints_whole(opened):
    printed = opened.pdf()
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") > 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_has_no_serious_fault_of_accessibility(opened, theme):
    opened.emulate_media(color_scheme=theme)
    opened.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert serious_faults(opened) == []
