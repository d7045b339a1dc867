"""Time zones: what a wall clock shows at a moment, and when it shows something (SPEC.md, section 16).

All moments are whole seconds since 1970; a wall clock is counted as if it were one in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tieline.errors import InvalidArgumentError

DAY = 86_400
_HOP = 7 * DAY
_is_name = re.compile(r"(?!posix/|right/|systemv/)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)+", re.IGNORECASE).fullmatch


class Zone:
    """A time zone.

    Attributes:
        name: as it was given.

    """

    def __init__(self, name: str, offset: Callable[[int], int]) -> None:
        self.name = name
        self.offset = offset

    def wall(self, moment: int) -> int:
        """What the clock shows at a moment."""
        return moment + self.offset(moment)

    def moment(self, wall: int) -> int:
        """The first moment at which the clock shows this, or the end of the gap if it never does."""
        before, after = self.offset(wall - DAY), self.offset(wall + DAY)
        if before == after:
            return wall - before
        for moment in (wall - max(before, after), wall - min(before, after)):
            if self.wall(moment) == wall:
                return moment
        return self._between(wall - DAY, wall + DAY, before)

    def change(self, since: int, until: int) -> int | None:
        """The first moment after `since`, and not after `until`, at which the clock is put forward or back."""
        offset = self.offset(since)
        while since < until:
            hop = min(since + _HOP, until)
            if self.offset(hop) != offset:
                return self._between(since, hop, offset)
            since = hop
        return None

    def _between(self, low: int, high: int, offset: int) -> int:
        while high - low > 1:
            middle = (low + high) // 2
            if self.offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high


def find_zone(name: str) -> Zone:
    """The zone of that name: "UTC", or one of IANA's with a slash in it; upper and lower case are the same.

    Raises:
        InvalidArgumentError: there is none.

    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _no_zone(f"must be text, not {type(name).__name__}")
    if name.upper() == "UTC":
        return Zone(name, lambda _: 0)
    if not _is_name(name):
        raise _no_zone(f'"{name:.80}" is none; write "UTC", or a name like "Europe/Berlin"')
    return Zone(name, _offset_of(_load(name)))


def _offset_of(zone: tzinfo) -> Callable[[int], int]:
    def offset(moment: int) -> int:
        found = datetime.fromtimestamp(moment, zone).utcoffset()
        return 0 if found is None else found.days * DAY + found.seconds

    return offset


def _load(name: str) -> ZoneInfo:
    for spelled in (lambda: name, lambda: _spelled().get(name.lower(), name)):
        try:
            return ZoneInfo(spelled())
        except (ZoneInfoNotFoundError, OSError):
            pass
    if not _spelled():
        raise _no_zone(f'"{name:.80}" cannot be looked up: there are no time zones here; install the package tzdata')
    raise _no_zone(f'"{name:.80}" is not known; names are those of IANA, like "Europe/Berlin"')


@cache
def _spelled() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _no_zone(fault: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"zone {fault}", details={"field": "zone"})
