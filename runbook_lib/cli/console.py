"""What commands print to, and what shows there how long things go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from runbook_lib.terminal import TerminalWatcher


def new_console() -> Console:
    """Standard output, without colours where it is no terminal."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def watching(console: Console) -> Iterator[TerminalWatcher]:
    """What shows a run, or anything that reports its progress, as it goes."""
    from runbook_lib.terminal import TerminalWatcher

    with TerminalWatcher(console).live() as watcher:
        yield watcher
