"""Wakes the generator when a request is due, to a few hundredths of a millisecond.

An event loop's own timers count whole milliseconds (libuv, epoll_wait): a generator that trusts them is late by up to
one, and one that turns idly until it is time spends a third of its processor time so, at 500 requests a second. Linux
tells such moments exactly by a file, timerfd_create(2); elsewhere the loop's timers have to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Iterator
from typing import Final, Protocol

CLOCK_MONOTONIC: Final = 1
"""The clock of ``time.perf_counter`` on Linux."""
ABSOLUTE: Final = 1
"""TFD_TIMER_ABSTIME."""


class Alarm(Protocol):
    """Tells a coroutine that it is time."""

    async def at(self, moment: float) -> None:
        """Return at this moment of ``time.perf_counter``, or soon after it; in the loop's next turn if it is past."""
        ...


class LoopAlarm:
    """By the event loop's timers."""

    async def at(self, moment: float) -> None:
        """See :class:`Alarm`."""
        await asyncio.sleep(moment - time.perf_counter())


class _Time(ctypes.Structure):
    """struct timespec."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = (("interval", _Time), ("value", _Time))


class FileAlarm:
    """By a file that can be read from the moment on.

    Raises OSError where the system has none to give.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._setting = _Setting()
        self._loop = asyncio.get_running_loop()
        self._rung = self._loop.create_future()
        self._file: int = self._library.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop.add_reader(self._file, self._ring)

    async def at(self, moment: float) -> None:
        """See :class:`Alarm`."""
        self._rung = self._loop.create_future()
        value = self._setting.value
        value.seconds = int(moment)
        # All zeros would switch it off.
        value.nanoseconds = int(moment % 1.0 * 1e9) or 1
        self._library.timerfd_settime(self._file, ABSOLUTE, ctypes.byref(self._setting), None)
        await self._rung

    def _ring(self) -> None:
        # Set anew since, it has nothing to say yet.
        with contextlib.suppress(BlockingIOError):
            os.read(self._file, 8)
            if not self._rung.done():
                self._rung.set_result(None)

    def close(self) -> None:
        """Give the file back."""
        self._loop.remove_reader(self._file)
        os.close(self._file)


@contextlib.contextmanager
def alarm() -> Iterator[Alarm]:
    """The most exact one that this system has, for the loop that runs."""
    if sys.platform != "linux":
        yield LoopAlarm()
        return
    with contextlib.closing(FileAlarm()) as exact:
        yield exact
