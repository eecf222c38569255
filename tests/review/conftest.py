"""A real browser for the pages that are made for reviewing."""

from __future__ import annotations

import json

import pytest

from runbook_lib.record.archive import Run
from runbook_lib.record.events import GENESIS, digest_of

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


def edit_events(run: Run, change) -> None:
    """Every event changed by `change`, and the chain made anew."""
    previous, lines = GENESIS, []
    for line in run.events.path.read_bytes().splitlines():
        event = json.loads(line)
        change(event)
        event["previous"] = previous
        lines.append(json.dumps(event, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        previous = digest_of(lines[-1])
    run.events.path.write_bytes(b"".join(lines))
