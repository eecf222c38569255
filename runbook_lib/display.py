"""Cards and images in a notebook, as they change while a step runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from runbook_lib.step import Evidence

SHOWN_IMAGES = {".png": "image/png", ".svg": "image/svg+xml"}


class Display:
    """A MIME bundle on show, which later ones replace."""

    def __init__(self, first: dict[str, Any]) -> None:
        from IPython.display import display

        self._handle = display(first, raw=True, display_id=True)
        self._shown = time.monotonic()

    def show(self, bundle: dict[str, Any]) -> None:
        """Replace what is shown."""
        if self._handle is not None:
            self._handle.update(bundle, raw=True)

    def show_progress(self, bundle: dict[str, Any]) -> None:
        """Replace what is shown, at most twice a second."""
        if time.monotonic() - self._shown > 0.5:
            self.show(bundle)
            self._shown = time.monotonic()


def show_image(image: Evidence) -> None:
    """Show a PNG or SVG below the card."""
    from IPython.display import display

    kind = SHOWN_IMAGES[Path(image.name).suffix]
    if kind == "image/png":
        import base64

        content = image.content if isinstance(image.content, bytes) else image.content.encode()
        display({kind: base64.b64encode(content).decode(), "text/plain": image.name}, raw=True)
    else:
        text = image.content if isinstance(image.content, str) else image.content.decode()
        display({kind: text, "text/plain": image.name}, raw=True)
