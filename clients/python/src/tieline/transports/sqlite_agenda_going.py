"""Planned events that were taken to be published live, and are not marked yet, as long as the process lives.

The database has them as pending, so that a process that dies between the two publishes them again. Until they are
marked, nobody takes them a second time, or cancels them.
"""

from __future__ import annotations


class Going:
    """Their ids; what a transaction says of them holds when it is committed."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._added: list[str] = []
        self._marked: list[str] = []

    def __contains__(self, id: str) -> bool:
        """Whether it was taken, and is not marked yet."""
        return id in self._ids

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ids)

    def begin(self) -> None:
        """Another transaction begins; the last one was committed, unless it was undone."""
        self._ids.difference_update(self._marked)
        self._added.clear()
        self._marked.clear()

    def undone(self) -> None:
        """The transaction was not committed."""
        self._ids.difference_update(self._added)
        self._added.clear()
        self._marked.clear()

    def add(self, id: str) -> None:
        """One was taken."""
        self._ids.add(id)
        self._added.append(id)

    def mark(self, id: str) -> None:
        """It was published, and the database has it so."""
        self._marked.append(id)
