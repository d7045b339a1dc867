"""What fails again and again until it is over, and is not told each time."""

from __future__ import annotations

import logging

log = logging.getLogger("tieline")

_LASTING = 10


class Trouble:
    """Tells of the first failure, warns once when it lasts, and has the others told to who debugs.

    Args:
        what: fails, as a sentence begins.

    """

    __slots__ = ("_failures", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0

    def told(self, error: object) -> None:
        """It failed, and is tried again."""
        self._failures += 1
        if self._failures == _LASTING:
            log.warning("%s, %d times by now: %s", self._what, _LASTING, error)
        else:
            log.log(logging.INFO if self._failures == 1 else logging.DEBUG, "%s: %s", self._what, error)

    def over(self) -> None:
        """It went well."""
        self._failures = 0
