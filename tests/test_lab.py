"""What JupyterLab may save of a run: nothing secret, and no widget."""

from __future__ import annotations

import nbformat
import pytest
from tornado.web import HTTPError

from runbook_lib import environment as environments
from runbook_lib.lab import WIDGET_VIEW, before_save

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
