"""What a check found."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is."""

    FINE = "fine"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One line of a diagnosis.

    Attributes:
        level: how bad it is.
        check: what was looked at, in a word or two.
        found: what is so.
        advice: how to mend it; empty where all is well.

    """

    level: Level
    check: str
    found: str
    advice: str = ""


def fine(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(Level.FINE, check, found)


def warning(check: str, found: str, advice: str) -> Finding:
    """It works, and may not tomorrow."""
    return Finding(Level.WARNING, check, found, advice)


def error(check: str, found: str, advice: str) -> Finding:
    """It does not work, or loses what must not be lost."""
    return Finding(Level.ERROR, check, found, advice)
