"""A real browser for the pages that are made for reviewing."""

from __future__ import annotations

import os
import shutil

import pytest

from runbook_lib.checks.browser import chromium

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"


@pytest.fixture
def browsed():
    """A page in a real Chromium whose console must say nothing, and which must ask for nothing but files of its own."""
    program = next((path for name in chromium.PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        assert not os.environ.get("CI"), "chromium is missing"
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page()
        said, asked = [], []
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        yield shown
        assert said == []
        assert all(url.startswith(("file:", "data:")) for url in asked), asked
        browser.close()
