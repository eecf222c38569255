"""A run in JupyterLab: what a person sees and does there, and that nothing secret and no widget is saved."""

from __future__ import annotations

import shutil

import nbformat
import pytest
from tornado.web import HTTPError

from runbook_lib import checklist
from runbook_lib import environment as environments
from runbook_lib.lab import WIDGET_VIEW, before_save
from runbook_lib.record import archive
from runbook_lib.record.summary import ATTESTED

from . import jupyterlab
from .accessibility import serious_faults

SECRET = "mini-database-password"


@pytest.fixture
def save(mini):
    """What is written of a model of Jupyter's."""
    hook = before_save(environments.load("mini"))

    def save(content, **parts):
        model = {"type": "file", "format": "text", "content": content, **parts}
        hook(model=model, path="x", contents_manager=None)
        return model["content"]

    return save


def test_a_notebook_is_saved_masked_and_without_widgets(save):
    view = {WIDGET_VIEW: {"model_id": "1"}, "text/html": f"<b>{SECRET}</b>"}
    code = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data=view)])
    notebook = nbformat.v4.new_notebook(
        cells=[code, nbformat.v4.new_markdown_cell(SECRET)],
        metadata={"widgets": {"state": {"1": SECRET}}, "runbook": {"phase": 15}},
    )
    saved = nbformat.from_dict(save(notebook, type="notebook", format="json"))
    nbformat.validate(saved)
    assert saved.metadata == {"runbook": {"phase": 15}}
    assert saved.cells[0].outputs[0].data == {"text/html": "<b>[masked DATABASE_URL]</b>"}
    assert saved.cells[1].source == "[masked DATABASE_URL]"


def test_a_text_is_saved_masked(save):
    assert save(f"It is {SECRET}") == "It is [masked DATABASE_URL]"


def test_a_secret_that_was_made_meanwhile_is_masked(save, mini):
    with (mini.root / ".env").open("a") as file:
        file.write("SESSION_SECRET=made-by-phase-one\n")
    assert save("made-by-phase-one") == "[masked SESSION_SECRET]"


def test_what_cannot_be_masked_is_not_saved(save, mini):
    (mini.root / ".env").write_bytes(b"A_SECRET=\xff\xfe\n")
    with pytest.raises(HTTPError, match="could not be masked"):
        save("text")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, write_mini, kit):
    """The home of a kit and the address of its JupyterLab, opened on a new run."""
    folder = tmp_path_factory.mktemp("lab")
    home = write_mini(folder / "kit")
    for notebook in kit.notebooks.glob("*.ipynb"):
        shutil.copy(notebook, home.notebooks)
    with jupyterlab.started(home, folder) as address:
        yield home, address


@pytest.fixture
def seat(lab, browser):
    page = browser.new_page()
    seated = jupyterlab.Seat(page, lab[1])
    yield seated
    page.close()
    assert seated.errors == []
    assert [url for url in seated.requests if not url.startswith((seated.address, "data:", "blob:"))] == []


def recorded(home):
    (run,) = archive.runs(where=home)
    return run, run.events.read()


def test_a_notebook_is_stepped_through_and_its_cards_can_be_read(lab, seat):
    seat.open("12_security_hardening.ipynb")
    seat.run_all()
    cards = seat.page.locator(".jp-OutputArea-output").all_inner_texts()
    items = checklist.phase(12).items
    assert [item.id for item in items if any(f"{item.id} {item.text}" in card for card in cards)] == [
        item.id for item in items
    ]
    # axe-core passes over what is hidden: what JupyterLab's own parts lack is not ours to mend.
    seat.page.add_style_tag(content="body * { visibility: hidden } .jp-OutputArea-output * { visibility: visible }")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        seat.command("apputils:change-theme", theme=theme)
        seat.page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
        assert serious_faults(seat.page) == [], theme


def test_what_waits_for_a_person_is_attested_where_it_stands(lab, seat, tmp_path):
    home, _ = lab
    (tmp_path / "list.txt").write_text(f"five people, {SECRET}")
    seat.open("15_team_handoff.ipynb")
    seat.run_all()
    form = seat.page.locator(".jp-OutputArea-output").filter(has_text="Train operations team")
    form.get_by_role("button", name="Attest 15.1.1").click()
    form.get_by_text("Fill in your name; nothing is recorded yet").wait_for()
    form.get_by_label("Your name").fill("Ada")
    form.get_by_label("What you vouch for").fill("All five were trained")
    with seat.page.expect_file_chooser() as chooser:
        form.get_by_role("button", name="Files as evidence").click()
    chooser.value.set_files(tmp_path / "list.txt")
    form.get_by_text("(1)").wait_for()
    form.get_by_role("button", name="Attest 15.1.1").click()
    form.get_by_text("Ada").wait_for()
    assert form.get_by_role("button").count() == 0
    run, events = recorded(home)
    (word,) = [event.data for event in events if event.name == ATTESTED]
    assert (word["item"], word["person"], word["note"]) == ("15.1.1", "Ada", "All five were trained")
    assert (run.folder / word["files"][0]["path"]).read_text() == "five people, [masked DATABASE_URL]"
    seat.command("docmanager:save")
    saved = run.notebook(checklist.phase(15)).read_text()
    assert "All five were trained" in saved
    assert "widget" not in saved
    assert "15.1.2 Document common tasks" in saved
