"""Files that may change while the gateway runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_LOOK_SECONDS = 1.0

State = tuple[int, int, int]


class Watched:
    """Some files; looked at once a second at most, when somebody asks.

    Args:
        paths: of the files.
        clock: seconds.

    """

    def __init__(self, *paths: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.paths = paths
        self._clock = clock
        self._looked = clock()
        self._seen = [_state(path) for path in paths]

    def changed(self) -> bool:
        """Whether one of them is another one than when this was last true."""
        now = self._clock()
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        seen = [_state(path) for path in self.paths]
        changed, self._seen = seen != self._seen, seen
        return changed


def _state(path: Path) -> State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
