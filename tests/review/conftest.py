"""A real browser for the pages that are made for reviewing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook_lib.record.events import GENESIS, Event, _line, digest_of

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"


@pytest.fixture
def browsed(chromium):
    """A page in a real Chromium whose console must say nothing, and which must ask for nothing but files of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page()
        said, asked = [], []
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        yield shown
        assert said == []
        assert all(url.startswith(("file:", "data:")) for url in asked), asked
        browser.close()


def rechained(path: Path, lines: str) -> None:
    """Write the events of `lines` as a whole log, each following from the one before it."""
    previous, written = GENESIS, b""
    for line in lines.splitlines():
        made = _line(Event(**{**json.loads(line), "previous": previous}))
        previous, written = digest_of(made), written + made
    path.write_bytes(written)
