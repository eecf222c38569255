"""A value that is looked up at most so often."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


class Cached(Generic[T]):
    """What `load` returned at most `seconds` ago. While it is looked up anew, everyone waits for the one look-up."""

    def __init__(self, load: Callable[[], T], seconds: float) -> None:
        self._load = load
        self._seconds = seconds
        self._expires = float("-inf")
        self._lock = asyncio.Lock()
        self._value: T

    async def get(self) -> T:
        """The value. Raises what `load` raises; the next call tries again."""
        if time.monotonic() >= self._expires:
            async with self._lock:
                if time.monotonic() >= self._expires:
                    self._value = await run_in_threadpool(self._load)
                    self._expires = time.monotonic() + self._seconds
        return self._value
