"""What a target sends is text, in notebooks and pages: a real browser runs none of it and fetches nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import nbformat
import pytest

import runbook_lib
from runbook_lib import checklist, pages
from runbook_lib.pages import Page, Section
from runbook_lib.record import archive
from runbook_lib.step import Table

from .jupyterlab import address_of, end, folders

PROGRAMS = Path(sys.executable).parent
PARAMETERS = 'environment = "mini"\nrelease = "v1"\nrun_id = ""\ndry_run = False\nconfirm = ""'
SEEN = "a target said so"


class Canary(BaseHTTPRequestHandler):
    """Whatever comes here was fetched by hostile markup."""

    visits: ClassVar[list[str]] = []

    def do_GET(self):
        self.visits.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def canary() -> Iterator[str]:
    Canary.visits.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Canary) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Visit:
    """A page as a browser shows it: what it says, the dialogs that it opened, and where it turned to."""

    def __init__(self, browser, address: str, wait_for: str, script: bool = True) -> None:
        self.dialogs: list[str] = []
        self.requests: list[str] = []
        page = browser.new_page(java_script_enabled=script)
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))
        # What nbconvert fetches from elsewhere for its own looks is kept from doing so.
        page.route("**/*", lambda route: route.continue_() if local(route.request.url) else route.abort())
        try:
            page.goto(address)
            page.wait_for_selector(f"text={wait_for}", timeout=60_000, state="attached")
            # Every picture has been fetched, or has not been; then scripts of theirs would have run too.
            page.wait_for_load_state("networkidle")
            self.text = page.inner_text("body")
            self.flag = page.evaluate("window.hostile === undefined ? '' : window.hostile") if script else ""
        finally:
            page.close()


def local(address: str) -> bool:
    return address.startswith(("http://127.0.0.1:", "file://", "data:", "blob:", "about:"))


def markup(canary: str, place: str) -> str:
    """Markup that would run, fetch or ask in any place where it were taken for such."""
    script = f"window.hostile='{place}';fetch('{canary}/{place}/script');alert('{place}')"
    return (
        f"{SEEN} {place}'\"></td></pre></code></title></a><script>{script}</script>"
        f'<img src=\'{canary}/{place}/img\' onerror="{script}"><svg onload="{script}"></svg>'
        f"<iframe src='{canary}/{place}/frame'></iframe><link rel=stylesheet href='{canary}/{place}/css'>"
        f"[x](javascript:{script}) ![x]({canary}/{place}/md)"
    )


SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' xmlns:x='http://www.w3.org/1999/xlink' width='9' height='9'"
    " onload=\"{script}\"><script>{script}</script><image x:href='{canary}/svg/image' width='1' height='1'/>"
    "<foreignObject><img xmlns='http://www.w3.org/1999/xhtml' src='{canary}/svg/img'/></foreignObject></svg>"
)
CELLS = """
import json, sys
from pathlib import Path
sys.path.insert(0, str(Path({folder!r})))
from runbook_lib import begin
from runbook_lib.step import Evidence, Finding, Table, check, progress
HOSTILE, SVG = json.loads(Path({folder!r}, "hostile.json").read_text())
phase = begin(2, environment=environment, release=release, run_id=run_id, dry_run=dry_run, confirm=confirm)

@check("Reads {{address}}")
def reads(address):
    progress(HOSTILE)
    table = Table((HOSTILE, "column"), ((HOSTILE, 1), ([HOSTILE], {{HOSTILE: HOSTILE}})), HOSTILE)
    names = (HOSTILE, "javascript:alert(1)", "a'b\\"><script>c.txt", "..")
    kept = tuple(Evidence(name, HOSTILE) for name in names) + (Evidence("chart.svg", SVG), Evidence("x.SVG", SVG))
    return Finding(False, {{HOSTILE: [HOSTILE, "\\ud800", 2**70]}}, HOSTILE, HOSTILE, (table,), kept, {{"f": HOSTILE}})

@check("Raises")
def raises():
    raise ValueError(HOSTILE)
"""


def executed(home, canary: str) -> Path:
    """The notebook of a run in which a target sent markup through all that a step can show."""
    import json

    svg = SVG.format(canary=canary, script=f"window.hostile='svg';fetch('{canary}/svg');alert('svg')")
    (home.root / "hostile.json").write_text(json.dumps([markup(canary, "card"), svg]))
    cells = [
        CELLS.format(folder=str(home.root)),
        'phase.item("2.1", reads(HOSTILE), raises())',
        "print(HOSTILE)",
        "HOSTILE",
        "try:\n    raise ValueError(HOSTILE)\nexcept ValueError:\n    get_ipython().showtraceback()",
        'phase.item("2.2", reads("x"))',
        "phase.gate()",
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
        + [nbformat.v4.new_code_cell(source) for source in cells],
        metadata={
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
            "runbook": {"phase": 2},
        },
    )
    nbformat.write(notebook, home.notebooks / checklist.phase(2).notebook)
    command = [PROGRAMS / "runbook", "run", "mini", "--release", "v1", "--only", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    (opened,) = archive.runs()
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert SEEN in ended.stdout
    return opened.notebook(checklist.phase(2))


def harmless(visit: Visit, *places: str) -> None:
    assert visit.dialogs == []
    assert visit.flag == ""
    assert Canary.visits == []
    for place in places:
        assert f"{SEEN} {place}'\"></td></pre>" in visit.text.replace("\n", "")
        assert "<script>" in visit.text


def test_the_browser_would_show_what_markup_does(browser, canary, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<p>{markup(canary, 'here')}</p>")
    visit = Visit(browser, page.as_uri(), SEEN)
    assert "here" in visit.dialogs
    assert visit.flag == "here"
    assert {"/here/script", "/here/img", "/here/frame", "/here/css"} <= set(Canary.visits)


def test_an_executed_notebook_as_html_is_harmless(mini, browser, canary, tmp_path):
    path = executed(mini, canary)
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", tmp_path, path]
    subprocess.run(convert, check=True, capture_output=True, timeout=120)
    harmless(Visit(browser, (tmp_path / path.with_suffix(".html").name).as_uri(), SEEN), "card")


def test_an_executed_notebook_in_jupyterlab_is_harmless(mini, browser, canary, tmp_path):
    """Trusted, as it is where it was stepped through: what is not trusted JupyterLab would not show at all."""
    path = executed(mini, canary)
    variables = {**os.environ, **folders(tmp_path)}
    subprocess.run([PROGRAMS / "jupyter", "trust", path], check=True, env=variables, capture_output=True, timeout=60)
    options = ["--no-browser", "--allow-root", "--port=0", "--ServerApp.root_dir", path.parent]
    token = "--IdentityProvider.token=lab"  # of a server of this test's own
    with subprocess.Popen(
        [PROGRAMS / "jupyter", "lab", *options, token], env=variables, stderr=subprocess.DEVNULL
    ) as lab:
        try:
            visit = Visit(browser, f"{address_of(tmp_path / 'runtime')}lab/tree/{path.name}?token=lab", SEEN)
        finally:
            end(lab)
    harmless(visit, "card")


def test_a_page_is_harmless(browser, canary, tmp_path):
    text = markup(canary, "page")
    table = Table((text, "b"), ((text, "javascript:alert(1)"), (f"http://x/{text}", "https://x/'onclick=alert(1)")))
    page = tmp_path / "page.html"
    page.write_text(pages.html(Page("page", text, (text,), (Section(text, (text,), table, (text,)),))))
    harmless(Visit(browser, page.as_uri(), SEEN), "page")


def test_nothing_hostile_makes_a_step_unrecordable(mini):
    """Numbers and halves of characters that JSON or UTF-8 cannot hold; they are told by their digits and codes."""
    from runbook_lib.step import Finding, check

    phase = runbook_lib.begin(2, environment="mini", release="v1")
    phase.item("2.1", check("Reads")(lambda: Finding(True, [2**70, -(2**70), "\ud800", float("nan")], "\udcff"))())
    step = phase.run.events.read()[-1].data["steps"][0]
    assert step["observed"] == [str(2**70), str(-(2**70)), "\\ud800", "nan"]
    assert step["expected"] == "\\udcff"
