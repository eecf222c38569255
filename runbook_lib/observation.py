"""Something measured once and judged by several checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Observation(Generic[T]):
    """A measurement that items of one notebook share, so that a service is loaded, or driven to its limit, once.

    It is made when the first item asks for it. An item that asks a second time, because its cell was run again, has it
    made anew: nobody is shown an old measurement for a new one.

    Parameters
    ----------
    about:
        What is measured, such as the environment; its text stands for the observation in the record.
    measure:
        Makes the measurement; what it raises is raised to whoever asks, and nothing is kept.
    """

    def __init__(self, about: object, measure: Callable[[], T]) -> None:
        self._about = about
        self._measure = measure
        self._made: list[T] = []
        self._judged_by: set[str] = set()

    def __str__(self) -> str:
        return str(self._about)

    def for_item(self, id: str) -> T:
        """The measurement, for the item `id` to judge."""
        if not self._made or id in self._judged_by:
            self._made.clear()
            self._judged_by.clear()
            self._made.append(self._measure())
        self._judged_by.add(id)
        return self._made[0]
