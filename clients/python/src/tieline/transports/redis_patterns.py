"""What this process knows of wildcard groups and observers everywhere (SPEC.md, section 7)."""

from __future__ import annotations

from collections.abc import Iterable

from tieline import topics


def group_entry(pattern: str, group: str) -> str:
    """The entry of a wildcard group."""
    return f"g\0{pattern}\0{group}"


def observer_entry(pattern: str) -> str:
    """The entry of an observer."""
    return f"o\0{pattern}"


class Patterns:
    """The cached list: extended by each notice, replaced by each full reading."""

    __slots__ = ("_entries", "_groups", "_observers", "observing")

    def __init__(self) -> None:
        self.replace(())

    def replace(self, entries: Iterable[bytes]) -> None:
        """Take the whole list as the broker has it."""
        self._entries: set[bytes] = set()
        self._groups: topics.PatternTrie[str] = topics.PatternTrie()
        self._observers: topics.PatternTrie[str] = topics.PatternTrie()
        self.observing = False
        for entry in entries:
            self.add(entry)

    def add(self, entry: bytes) -> None:
        """Take one more; what is no entry is ignored."""
        if entry in self._entries:
            return
        self._entries.add(entry)
        kind, _, rest = entry.decode("ascii", "replace").partition("\0")
        pattern, _, group = rest.partition("\0")
        if kind == "g":
            self._groups.insert(pattern, group)
        elif kind == "o":
            self._observers.insert(pattern, "")
            self.observing = True

    def groups(self, topic: str) -> list[tuple[str, str]]:
        """(pattern, group) of every wildcard group that may take this topic."""
        return self._groups.match(topic) if len(self._groups) else []

    def observed(self, topic: str) -> bool:
        """Whether anybody may observe this topic."""
        return bool(self._observers.match(topic))
