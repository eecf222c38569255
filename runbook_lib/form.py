"""The form by which a person attests an item in the notebook where it waits; elsewhere its card is all that is shown.

It only takes down what :func:`runbook_lib.record.attestation.attest` records, as ``runbook attest`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from runbook_lib import card, kernel
from runbook_lib.checklist import Item
from runbook_lib.errors import RunbookError
from runbook_lib.record import attestation, evidence
from runbook_lib.record.archive import Run
from runbook_lib.record.masking import Mask
from runbook_lib.record.result import ItemResult, StepResult
from runbook_lib.step import Finding, Kind, Status

Show = Callable[[ItemResult, dict[str, Any]], None]
"""Takes an item's result and the bundle that shows it."""


def offer(run: Run, phase: int, item: Item, result: ItemResult, mask: Mask, show: Show) -> None:
    """Show the result of an item: as its card, and as a form where it waits for somebody who sits before it.

    Parameters
    ----------
    show:
        Called at once, and again when a person has attested the item.
    """
    if result.status is Status.PENDING and not item.role and kernel.attended():
        Form(run, phase, item, result, mask, show)
    else:
        show(result, card.bundle(result))


class Form:
    """Asks for a name, a note and files, and records them; what was typed stays until that has succeeded."""

    def __init__(self, run: Run, phase: int, item: Item, result: ItemResult, mask: Mask, show: Show) -> None:
        import ipywidgets

        self._run, self._phase, self._item, self._result = run, phase, item, result
        self._mask, self._show = mask, show
        wide = {"layout": {"width": "36em", "max_width": "100%"}, "style": {"description_width": "11em"}}
        plain = card.bundle(result)
        self.name = ipywidgets.Text(description="Your name", **wide)
        self.note = ipywidgets.Textarea(description="What you vouch for", rows=3, **wide)
        as_wide_as_its_text = {"width": "auto", "align_self": "flex-start"}
        self.files = ipywidgets.FileUpload(description="Files as evidence", multiple=True, layout=as_wide_as_its_text)
        self.button = ipywidgets.Button(description=f"Attest {item.id}", button_style="primary")
        self.message = ipywidgets.HTML()
        self.button.on_click(lambda _: self.attest())
        parts = [self.name, self.note, self.files, self.button, self.message]
        self._box = ipywidgets.VBox([ipywidgets.HTML(plain["text/html"]), *parts])
        # Where no widget can be shown, and once the notebook is saved, the card stands in its place.
        show(result, {**self._box._repr_mimebundle_(), **plain})

    def attest(self) -> None:
        """Put the person's word on record and show the card that it makes; or say in the form what is missing."""
        if not self.name.value.strip():
            return self._say(f"Who attests {self._item.id}? Fill in your name; nothing is recorded yet.")
        if not self.note.value.strip():
            return self._say(f"What do you vouch for? Fill in the note of {self._item.id}; nothing is recorded yet.")
        try:
            with TemporaryDirectory() as folder:
                files = list(_written(self.files.value, Path(folder)))
                words = {"person": self.name.value.strip(), "note": self.note.value.strip()}
                attestation.attest(self._run, self._item.id, self._mask, files=files, **words)
        except (RunbookError, OSError) as error:
            return self._say(f"Not recorded: {error}")
        word = attestation.word_for(self._run.events.read(), self._phase, self._item)
        result = attested(self._result, word) if word else self._result
        self._show(result, card.bundle(result))
        return self._close()

    def _say(self, sentence: str) -> None:
        self.message.value = f"<div role='alert'>{card.ICONS[Status.ERROR]} {escape(self._mask.text(sentence))}</div>"

    def _close(self) -> None:
        for part in (*self._box.children, self._box):
            part.close()


def attested(result: ItemResult, word: Finding) -> ItemResult:
    """`result` with a person's word in the place of what waited for one."""
    return replace(result, steps=tuple(_given(step, word) for step in result.steps))


def _given(step: StepResult, word: Finding) -> StepResult:
    if step.status is not Status.PENDING:
        return step
    seen = {"observed": word.observed, "expected": word.expected}
    return replace(step, kind=Kind.ATTEST, status=Status.PASSED, reason="", remedy="", **seen)


def _written(uploads: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[Path]:
    """The uploaded files on disk, each in a folder of its own, for two may have one name."""
    for number, upload in enumerate(uploads):
        path = folder / str(number) / evidence.harmless_name(upload["name"])
        path.parent.mkdir()
        path.write_bytes(upload["content"])
        yield path
