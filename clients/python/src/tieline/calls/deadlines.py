"""One heap of deadlines for everything an event system waits for, so that no call needs a timer of its own."""

from __future__ import annotations

import heapq
from typing import Protocol


class Waiting(Protocol):
    """Something that waits until a moment."""

    done: bool

    def due(self, now: float) -> None:
        """Its moment has come and it is not done."""


class Deadlines:
    """Moments of the local monotonic clock (seconds) and who waits for them.

    What is done stays in the heap until its moment comes or until it makes up half of the heap.
    """

    __slots__ = ("_finished", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiting]] = []
        self._sequence = 0
        self._finished = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, moment: float, waiting: Waiting) -> bool:
        """Wait until this moment; true if it is now the earliest."""
        self._sequence = sequence = self._sequence + 1
        heap = self._heap
        heapq.heappush(heap, (moment, sequence, waiting))
        return heap[0][1] == sequence

    def finished(self) -> None:
        """Somebody in the heap is done before the moment came."""
        self._finished += 1
        if self._finished > 256 and self._finished * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].done]
            heapq.heapify(self._heap)
            self._finished = 0

    def advance(self, now: float) -> None:
        """Tell everyone whose moment has come."""
        while self._heap and self._heap[0][0] <= now:
            waiting = heapq.heappop(self._heap)[2]
            if waiting.done:
                self._finished = max(0, self._finished - 1)
            else:
                waiting.due(now)

    def next(self) -> float | None:
        """The earliest moment; None when nobody waits."""
        return self._heap[0][0] if self._heap else None
