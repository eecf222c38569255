"""Doing independent things at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context


def together(*jobs: Callable[[], None]) -> None:
    """Run all `jobs` at the same time, each with this context's progress; returns, or raises, once all have ended."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(copy_context().run, job) for job in jobs]
    for job in running:
        job.result()
