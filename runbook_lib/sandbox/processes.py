"""Processes that an earlier sandbox left behind: told from strangers by a mark that only they carry."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runbook_lib.errors import ConfigurationError
from runbook_lib.sandbox.layout import Stack
from runbook_lib.step import progress

if TYPE_CHECKING:
    import psutil

MARK = "RUNBOOK_SANDBOX"
"""The environment variable that supervisord is started with, and hands to all that it starts: the stack's folder."""
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05


def end_leftovers(stack: Stack) -> None:
    """End every process of `stack` that still runs: asked first, killed after a while.

    Raises
    ------
    ConfigurationError
        Some do not end even so.
    """
    left = list(leftovers(stack))
    if left:
        progress(f"{stack.name}: ending {len(left)} processes that an earlier sandbox left behind")
    for send in (_ask, _kill):
        for process in left:
            send(process)
        deadline = time.monotonic() + _GRACE_SECONDS
        while (left := list(leftovers(stack))) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise ConfigurationError(f"{stack.name}: these processes of an earlier sandbox do not end: {numbers}.")


def leftovers(stack: Stack) -> Iterator[psutil.Process]:
    """The processes of `stack` that run now, its supervisord included."""
    import psutil

    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and _belongs(process, stack):
                yield process
        except (psutil.Error, OSError):
            continue  # another user's, or gone meanwhile


def ended(pid: int) -> bool:
    """Whether the process is gone, or nothing but a line in the process table that nobody has removed yet."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _belongs(process: psutil.Process, stack: Stack) -> bool:
    if process.environ().get(MARK) == str(stack.folder):
        return True
    # PostgreSQL's own children write their title over their environment; they stay in the data folder.
    return bool(process.name() == "postgres" and process.cwd() == str(stack.database))


def _ask(process: psutil.Process) -> None:
    import psutil

    try:
        # PostgreSQL waits for its clients at SIGTERM, and disconnects them at SIGINT.
        process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    except psutil.NoSuchProcess:
        pass


def _kill(process: psutil.Process) -> None:
    import psutil

    try:
        process.kill()
    except psutil.NoSuchProcess:
        pass
