"""Answers in the order of their frames: for sources that wait, of which nothing may be overtaken and left out."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Order(Generic[T]):
    """Gives items out in the order in which they were expected, each once; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: deque[int] = deque()
        self._came: dict[int, T | None] = {}

    def expect(self, number: int) -> None:
        """Say that an item of this number will come, or will be known not to, after those that are expected."""
        with self._lock:
            self._expected.append(number)

    def come(self, number: int, item: T | None) -> list[T]:
        """Hand in an item, None where there will be none; return those whose turn it is now."""
        with self._lock:
            self._came[number] = item
            due: list[T] = []
            while self._expected and self._expected[0] in self._came:
                first = self._came.pop(self._expected.popleft())
                if first is not None:
                    due.append(first)
            return due
