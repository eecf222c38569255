"""Looking at something in a thread, while something else happens."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from runbook_lib.environment import Environment


@dataclass
class Watching(ABC):
    """Watches an environment in a thread of its own for as long as a ``with`` block runs.

    What cannot be watched does not disturb the block.
    """

    env: Environment
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @abstractmethod
    def _watch(self) -> None:
        """Look again and again, until ``_ended`` is set."""
