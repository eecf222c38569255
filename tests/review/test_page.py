from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

import runbook_lib
from runbook_lib.record import attestation, seal
from runbook_lib.record.events import Event
from runbook_lib.record.summary import summarize
from runbook_lib.review import junit, listing, page, runs_page
from runbook_lib.step import Evidence, Finding, Table, check

from ..accessibility import serious_faults
from ..record.conftest import broken, numbered, roles  # noqa: F401
from .conftest import HOSTILE, edit_events


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


def test_a_record_that_does_not_hold_says_so_in_its_verdict(roles):  # noqa: F811
    run = roles.signed()
    assert "the record does not hold" not in page.write(run).read_text()
    (run.folder / "03_database_setup.ipynb").chmod(0o644)
    (run.folder / "03_database_setup.ipynb").write_text("{}")
    verdict = re.search("<dt>Verdict</dt>.*", page.write(run).read_text())
    assert "✘ the record does not hold" in verdict[0]


def test_how_a_sealed_run_ended_stands_beside_how_far_it_is_signed(roles):  # noqa: F811
    run = roles.ran()
    run.events.append("run closed", outcome="rolled back")
    seal.seal(run, roles.mask)
    assert "rolled back, sealed" in page.write(run).read_text()
    (row,) = listing.newest(limit=1).rows
    assert row.state == "rolled back, sealed"
    assert "rolled back" in runs_page.write().read_text()


def test_an_item_of_another_versions_checklist_is_shown_and_counted(roles):  # noqa: F811
    run = roles.ran(steps={"3.2": broken()})
    edit_events(run, lambda event: event["data"].get("id") == "3.2" and event["data"].update(id="3.9.9"))
    shown = page.write(run).read_text()
    assert 'id="item-3.9.9"' in shown
    assert "Not on record: 3.2 Verify Database Connection" in shown
    assert b'name="3.9.9 Verify Database Connection"' in junit.report(summarize(run))
    assert summarize(run).phases[0].counts["failed"] == 1


def test_what_a_person_gave_is_shown_and_nobody_is_awaited_any_more(roles, tmp_path):  # noqa: F811
    drill = tmp_path / "drill.txt"
    drill.write_text("all twelve were there")
    run = roles.ran(steps={"3.2": runbook_lib.attest("The drill was held")})
    before = page.write(run).read_text()
    assert "nobody has attested this yet" in before
    attestation.attest(run, "3.2", roles.mask, person="Ada", note="seen", files=(drill,))
    shown = page.write(run).read_text()
    assert "all twelve were there" in shown
    assert "drill.txt" in shown
    assert "nobody has attested this yet" not in shown
    assert page.SETTLED in shown
    assert "<code>null</code>" not in shown


def test_a_waiver_of_the_toml_is_somebodys_word_too(roles):  # noqa: F811
    waiver = (
        f'[[waivers]]\nitem = "3.2"\nreason = "T-1"\nperson = "Grace"\nexpires = {date.today() + timedelta(days=9)}'
    )
    roles.toml.write_text(f"{roles.toml.read_text()}\n{waiver}\n")
    shown = page.write(roles.ran(steps={"3.2": broken()})).read_text()
    assert "3.2 waived by Grace until" in shown
    assert "Nobody has attested" not in shown


def test_phases_that_overlap_in_jupyterlab_end_each_by_itself():
    told = (
        ("phase started", 2, ""),
        ("phase started", 3, ""),
        ("phase ended", 3, "passed"),
        ("phase ended", 2, "failed"),
    )
    events = tuple(
        Event(number, f"2026-01-01T00:00:0{number}+00:00", name, {"phase": phase, "outcome": outcome}, "")
        for number, (name, phase, outcome) in enumerate(told, start=1)
    )
    assert [(bar.title[0], bar.outcome, bar.seconds) for bar in page._bars(events)] == [
        ("2", "failed", 3.0),
        ("3", "passed", 1.0),
    ]


@check("Says much")
def verbose() -> Finding:
    rows = tuple((text,) for text in ["r" * 100_000] * 25)
    return Finding(False, "o" * 1_000_000, "e" * 1_000_000, remedy="m" * 1_000_000, tables=(Table(("c",), rows),))


def test_whatever_a_step_says_the_page_stays_small(roles):  # noqa: F811
    assert page.write(roles.ran(steps={"3.2": verbose()})).stat().st_size < 200_000


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
