"""Letting others run."""

from __future__ import annotations

_UNBROKEN = 128


class Turns:
    """Says when the loop must turn: whoever never waits, as all within a process may, would let nobody else run."""

    __slots__ = ("_unbroken",)

    def __init__(self) -> None:
        self._unbroken = 0

    def due(self) -> bool:
        """Whether to wait for a turn of the loop now; every so many times."""
        self._unbroken = (self._unbroken + 1) % _UNBROKEN
        return not self._unbroken
