"""JupyterLab on a run's own copies of the notebooks, and what it may write there.

The module is an extension of Jupyter's server: what is saved is masked before it is written, like all that a run keeps.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from runbook_lib import environment as environments
from runbook_lib.environment import Environment
from runbook_lib.home import home
from runbook_lib.kernel import LAB
from runbook_lib.record.archive import Run
from runbook_lib.record.masking import Mask

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
OPTIONS = (
    f"--ServerApp.jpserver_extensions={__name__}=True",
    # Rather no JupyterLab than one that saves unmasked.
    "--ServerApp.reraise_server_extension_failures=True",
    # A deployment is no time for questions about news and updates, nor for requests to anywhere.
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)


def start(run: Run, first: Path) -> NoReturn:
    """Become a JupyterLab in the folder of `run`, with the notebook `first` open.

    In this process's place, so that Ctrl-C is JupyterLab's alone, and it ends its kernels.
    """
    os.environ[LAB] = str(os.getpid())
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={run.folder}", *OPTIONS, str(first)]
    os.execv(sys.executable, command)  # noqa: S606


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    env = environments.load(Run(Path(server.root_dir)).environment)
    server.contents_manager.register_pre_save_hook(before_save(env))


def before_save(env: Environment) -> Callable[..., None]:
    """What makes of a model of Jupyter's what may be written: see :func:`kept`."""
    mask = Mask(home().root)

    def hook(*, model: dict[str, Any], **_: Any) -> None:
        from tornado.web import HTTPError

        try:
            if model.get("content") is not None and model.get("format") != "base64":
                model["content"] = kept(model["content"], mask.learn(env.secrets()))
        except Exception as error:
            # Of any other exception Jupyter only makes a note, and saves.
            raise HTTPError(500, f"Not saved, for its secrets could not be masked: {type(error).__name__}") from error

    return hook


def kept(content: Any, mask: Mask) -> Any:
    """A file's text or a notebook without secrets, and without widgets, which live no longer than their kernel."""
    if isinstance(content, Mapping):
        content = {**content, "metadata": {k: v for k, v in content.get("metadata", {}).items() if k != "widgets"}}
        content["cells"] = [_without_views(cell) for cell in content.get("cells", ())]
    return mask.value(content)


def _without_views(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {**cell, "outputs": [_without_view(output) for output in cell["outputs"]]} if "outputs" in cell else {**cell}


def _without_view(output: Mapping[str, Any]) -> dict[str, Any]:
    shown = {kind: value for kind, value in output.get("data", {}).items() if kind != WIDGET_VIEW}
    return {**output, "data": shown} if "data" in output else {**output}
