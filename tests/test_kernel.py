"""What leaves a kernel is masked, whoever runs it: a real kernel, asked as JupyterLab asks it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from jupyter_client.manager import start_new_kernel

SECRET = "mini-database-password"
Messages = list[dict]


@pytest.fixture
def run(mini, monkeypatch) -> Iterator[Callable[[str], Messages]]:
    # Where ipykernel sees that pytest runs, it does not capture what is written to the file descriptors.
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    manager, client = start_new_kernel(env=variables)

    def run(code: str) -> Messages:
        messages: Messages = []
        client.execute_interactive(code, output_hook=messages.append, timeout=60)
        return [message for message in messages if message["msg_type"] not in ("status", "execute_input")]

    try:
        setup = "import os, sys, time, runbook_lib\nphase = runbook_lib.begin(2, environment='mini', release='v1')"
        assert [message["content"] for message in run(setup)] == []
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def said(messages: Messages) -> str:
    return "".join(message["content"]["text"] for message in messages)


@pytest.mark.parametrize(
    "code",
    [
        "for sign in 'mini-database-password': print(sign, end='', flush=True); time.sleep(0.02)",
        "for sign in b'mini-database-password': os.write(1, bytes([sign])); time.sleep(0.02)\ntime.sleep(0.5)",
        "import subprocess; subprocess.run(['echo', 'mini-database-password']); time.sleep(0.5)",
        "!echo mini-database-password",
    ],
    ids=["print", "descriptor", "subprocess", "shell"],
)
def test_a_stream_is_masked_however_it_is_cut(run, code):
    assert said(run(code)).strip() == "[masked DATABASE_URL]"


def test_what_is_held_back_is_shown_before_what_comes_below(run):
    messages = run("from IPython.display import display\nprint('all of mini'); display(1); print('mini-data', end='')")
    kinds = [(m["msg_type"], m["content"].get("text") or m["content"]["data"]["text/plain"]) for m in messages]
    shown = "".join(text for kind, text in kinds if kind == "stream")
    assert shown == "all of mini\nmini-data"
    below = kinds.index(("display_data", "1"))
    assert "".join(text for kind, text in kinds[:below]) == "all of mini\n"


def test_results_displays_and_tracebacks_are_masked(run):
    for code in (
        f"{SECRET!r}",
        f"raise ValueError({SECRET!r})",
        f"{{{SECRET!r}: [{SECRET!r}]}}",
        f"from IPython.display import HTML; HTML('<b>{SECRET}</b>')",
        f"get_ipython().display_pub.publish({{'application/json': {{{SECRET!r}: {SECRET!r}}}}})",
        f"handle = display(1, display_id=True); handle.update({SECRET!r})",
    ):
        messages = run(code)
        assert SECRET not in str(messages)
        assert "[masked DATABASE_URL]" in str(messages)


def test_a_secret_that_an_action_makes_is_known_at_once(run, mini):
    run(
        "from runbook_lib.step import Finding, action\n"
        f"def make():\n    open({str(mini.root / '.env')!r}, 'a').write('NEW_TOKEN=made-just-now-5\\n')\n"
        "    return Finding(True, 'made', 'made')\n"
        "phase.item('2.1', action('Makes one')(make)())"
    )
    assert said(run("print('made-just-now-5')")) == "[masked NEW_TOKEN]\n"


def test_a_second_phase_of_the_same_kernel_forgets_nothing(run):
    run("runbook_lib.begin(3, environment='mini', release='v1')")
    assert said(run(f"print({SECRET!r})")) == "[masked DATABASE_URL]\n"
