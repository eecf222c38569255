"""Cards and images in a notebook, as they change while a step runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from runbook_lib.record.evidence import Kept

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


def show_image(image: Kept) -> None:
    """Show a PNG or SVG below the card; an SVG as a picture, in which browsers run no script and fetch nothing."""
    from base64 import b64encode
    from html import escape

    from IPython.display import display

    kind, content = SHOWN_IMAGES[Path(image.name).suffix], b64encode(image.content).decode()
    shown = {kind: content}
    if kind == "image/svg+xml":
        shown = {"text/html": f"<img alt='{escape(image.name)}' src='data:{kind};base64,{content}'>"}
    display({**shown, "text/plain": image.name}, raw=True)
