"""JupyterLab as ``runbook lab`` starts it, and a person who steps through its notebooks in a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from runbook_lib.home import VARIABLE, Home

# As a user's own settings would be; the tests may run as root.
SETTINGS = """
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.port = 0
c.IdentityProvider.token = "lab"
c.LabApp.expose_app_in_browser = True
"""


READY = """notebook => {
  const widget = window.jupyterapp?.shell.currentWidget;
  return widget?.context?.path === notebook && widget.context.isReady
    && widget.sessionContext.session?.kernel?.connectionStatus === "connected"
    && widget.sessionContext.kernelDisplayStatus === "idle";
}"""


def folders(folder: Path) -> dict[str, str]:
    """The variables that keep Jupyter's own files of this machine's user out of it; all cells are shown at once."""
    tracker = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text('{"windowingMode": "none"}')
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "RUNTIME", "DATA")}
    return {**own, "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}


def address_of(runtime: Path) -> str:
    """Where the server that wrote its file there listens, as soon as it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for file in runtime.glob("jpserver-*.json"):
            try:
                url: str = json.loads(file.read_text())["url"].replace("localhost", "127.0.0.1")
                httpx.get(url + "api", timeout=5)
            except (ValueError, httpx.HTTPError):
                continue
            return url
        time.sleep(0.1)
    raise AssertionError("JupyterLab did not start")


def end(lab: subprocess.Popen[Any]) -> None:
    """Ask it to end; one that hangs over that, as Jupyter's server now and then does, is killed: its kernels notice."""
    lab.terminate()
    try:
        lab.wait(20)
    except subprocess.TimeoutExpired:
        lab.kill()


@contextmanager
def started(home: Home, folder: Path) -> Iterator[str]:
    """The address of a JupyterLab on a new run of ``mini``; ended afterwards, with its kernels."""
    variables = {**os.environ, **folders(folder), VARIABLE: str(home.root)}
    (folder / "config").mkdir()
    (folder / "config" / "jupyter_server_config.py").write_text(SETTINGS)
    command = [Path(sys.executable).with_name("runbook"), "lab", "mini", "--release", "v1"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, env=variables, stderr=log) as lab:
        try:
            yield address_of(folder / "runtime")
        finally:
            end(lab)


@dataclass
class Seat:
    """A person's page in JupyterLab: what it wrote to its console as an error, and what it asked for, and where."""

    page: Any
    address: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, notebook: str) -> None:
        """Open `notebook` alone, in a workspace of its own, and wait until its kernel is connected and idle."""
        self.page.goto(f"{self.address}lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token=lab", timeout=60_000)
        self.page.wait_for_function(READY, arg=notebook, timeout=60_000)

    def run_all(self) -> None:
        """Run every cell, from the menu, and wait for the gate's card."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.page.get_by_text("Gate of").first.wait_for(timeout=90_000)

    def command(self, name: str, **arguments: Any) -> None:
        """Give one of JupyterLab's own commands."""
        self.page.evaluate("([name, given]) => window.jupyterapp.commands.execute(name, given)", [name, arguments])
