"""Keeps a generator's samples: in memory for a second, then in a file, so that a long test needs no more memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Final

from runbook_lib.load.samples import RECORD, Outcome

BREAKER_SECONDS: Final = 5
BREAKER_LEAST: Final = 20
"""The circuit breaker looks at the requests of so many seconds, if there were as many as this."""


def nothing() -> None:
    """What follows upon an answer in open loop."""


class Recorder:
    """Takes samples and counts them.

    Parameters
    ----------
    output:
        Takes rows of :mod:`runbook_lib.load.samples`.
    """

    def __init__(self, output: BinaryIO) -> None:
        self.zero = 0.0
        self.failed = self.dropped = 0
        self.after_each: Callable[[], None] = nothing
        """Says to a user who waits that a request has ended, and that its connection can be had."""
        self._output, self._written, self._buffer = output, 0, bytearray()
        self.record = self._buffer.extend
        """Keeps the sample of a request that has ended, as RECORD packs it."""
        self._past: deque[tuple[int, int]] = deque([(0, 0)], maxlen=BREAKER_SECONDS + 1)

    @property
    def ended(self) -> int:
        """The requests that have a sample, and those that could not be sent."""
        return (self._written + len(self._buffer)) // RECORD.size + self.dropped

    def count(self, outcome: int) -> None:
        """Count the outcome of a request; one that is answered as it should be need not be told."""
        if outcome and outcome != Outcome.ABANDONED:
            self.failed += 1

    def drop(self) -> None:
        """Count a request that this machine could not send."""
        self.dropped += 1

    def flush(self) -> None:
        """Write what was kept since the last time."""
        self._output.write(self._buffer)
        self._written += len(self._buffer)
        self._output.flush()
        self._buffer.clear()

    def breaks(self, most: float) -> str:
        """Why the circuit breaker opens; empty where it does not. To be asked once a second.

        Parameters
        ----------
        most:
            Share of errors among the requests of the last :data:`BREAKER_SECONDS` that is borne.
        """
        self._past.append((self.ended, self.failed))
        if len(self._past) <= BREAKER_SECONDS:
            return ""
        ended, failed = (now - then for now, then in zip(self._past[-1], self._past[0], strict=True))
        if ended < BREAKER_LEAST or failed <= most * ended:
            return ""
        return f"{failed} of {ended} requests failed within {BREAKER_SECONDS} s, above the declared {most:.0%}"
