"""The form of an item that waits for a person: what it takes down is on record, and nothing typed is lost."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

import runbook_lib
from runbook_lib.errors import GateFailed
from runbook_lib.kernel import LAB
from runbook_lib.lab import WIDGET_VIEW
from runbook_lib.record import archive
from runbook_lib.record.result import MIME
from runbook_lib.record.summary import ATTESTED, summarize
from runbook_lib.step import Status, attest

SECRET = "mini-database-password"


@pytest.fixture
def shown(monkeypatch):
    """Every bundle that was shown, in order; with somebody who sits before this process."""
    from runbook_lib import phase
    from runbook_lib.display import Display

    bundles = []

    class Kept(Display):
        def __init__(self, first):
            bundles.append(first)
            super().__init__(first)

        def show(self, bundle):
            bundles.append(bundle)

    monkeypatch.setattr(phase, "Display", Kept)
    monkeypatch.setenv(LAB, str(os.getppid()))
    return bundles


@pytest.fixture
def form(mini, shown, monkeypatch):
    """The form of item 15.1.1, as it was offered."""
    from runbook_lib import form as module

    offered = []

    class Kept(module.Form):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            offered.append(self)

    monkeypatch.setattr(module, "Form", Kept)
    phase = runbook_lib.begin(15, environment="mini", release="v1")
    phase.item("15.1.1", attest("The operations team has been trained"))
    (only,) = offered
    only.phase = phase
    return only


def attestations():
    (run,) = archive.runs()
    return [event.data for event in run.events.read() if event.name == ATTESTED]


def fill(form, name="Ada", note="All five were trained", files=()):
    form.name.value, form.note.value = name, note
    at = datetime.now(UTC)
    form.files.value = tuple(
        {"name": name, "type": "text/plain", "size": len(content), "content": content, "last_modified": at}
        for name, content in files
    )
    form.button.click()


def test_a_word_given_by_the_form_is_on_record_with_its_files(form, shown):
    fill(form, files=[("list.txt", b"first"), ("list.txt", b"second"), ("../.hidden", SECRET.encode())])
    (word,) = attestations()
    assert (word["item"], word["person"], word["note"]) == ("15.1.1", "Ada", "All five were trained")
    (run,) = archive.runs()
    kept = [(run.folder / file["path"]).read_text() for file in word["files"]]
    assert kept == ["first", "second", "[masked DATABASE_URL]"]
    assert all(file["path"].startswith("evidence/15.1.1/") for file in word["files"])
    assert summarize(run).items["15.1.1"]["status"] == Status.PASSED


def test_afterwards_a_plain_card_stands_in_its_place(form, shown):
    assert WIDGET_VIEW in shown[-1]
    fill(form)
    assert WIDGET_VIEW not in shown[-1]
    assert shown[-1][MIME]["status"] == Status.PASSED
    assert "Ada" in shown[-1]["text/html"]
    assert "nobody has attested" not in shown[-1]["text/html"]


def test_the_gate_counts_what_the_form_has_settled(form, shown):
    fill(form)
    with pytest.raises(GateFailed, match=r"^1 passed; never ran"):
        form.phase.gate()


@pytest.mark.parametrize(("name", "note", "asked"), [(" ", "A note", "your name"), ("Ada", "\n", "the note")])
def test_what_is_missing_is_said_in_the_form_and_nothing_is_lost(form, name, note, asked):
    fill(form, name, note, [("list.txt", b"first")])
    assert attestations() == []
    assert asked in form.message.value
    assert "nothing is recorded yet" in form.message.value
    assert (form.name.value, form.note.value, len(form.files.value)) == (name, note, 1)


def test_what_is_refused_is_said_in_the_form_and_nothing_is_lost(form):
    (run,) = archive.runs()
    (run.folder / "evidence").write_text("no folder")
    fill(form, files=[("list.txt", b"first")])
    assert attestations() == []
    assert "Not recorded: " in form.message.value
    assert form.note.value == "All five were trained"


def test_a_secret_in_a_note_is_not_recorded(form, shown):
    fill(form, note=f"It is {SECRET}")
    assert attestations()[0]["note"] == "It is [masked DATABASE_URL]"
    assert SECRET not in str(shown)


def test_without_somebody_before_it_there_is_no_form(mini, shown, monkeypatch):
    monkeypatch.setenv(LAB, "1")
    phase = runbook_lib.begin(15, environment="mini", release="v1")
    phase.item("15.1.1", attest("The operations team has been trained"))
    assert shown[-1][MIME]["status"] == Status.PENDING
    assert not any(WIDGET_VIEW in bundle for bundle in shown)


def test_what_is_signed_has_no_form(mini, shown):
    phase = runbook_lib.begin(17, environment="mini", release="v1")
    signed = next(item for item in phase.definition.items if item.role)
    phase.item(signed.id, runbook_lib.signature(signed.role))
    assert shown[-1][MIME]["status"] == Status.PENDING
    assert not any(WIDGET_VIEW in bundle for bundle in shown)
