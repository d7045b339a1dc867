"""Numbers of things, as people say them."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """How many there are: `1 event`, `1,201 events`, `2 keys`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
