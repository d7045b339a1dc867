"""Cron expressions: when something that recurs comes next (SPEC.md, section 16).

There is no clock in here: all are told the time. All times are milliseconds since 1970.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tieline._contract.contract import LIMIT_CRON_BYTES, LIMIT_CRON_INTERVAL_MS
from tieline.cron.fields import CronFields, parse_fields
from tieline.cron.zone import Zone, find_zone
from tieline.errors import InvalidArgumentError

_END = 253_370_764_800
"""Nothing comes after the year 9998: seconds since 1970."""
_NAMED = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
_UNITS = {"S": 1, "M": 60, "H": 3600, "D": 86_400}
_is_every = re.compile(r"EVERY[ \t]+(.+)").fullmatch
_is_interval = re.compile(r"([0-9]{1,15})([SMHD])").fullmatch
_is_readable = re.compile(r"[\t -~]+").fullmatch


@dataclass(frozen=True, slots=True)
class Cron:
    """When something recurs.

    Attributes:
        expression: as it was given.
        zone: name of its time zone, as it was given.
        every: milliseconds from one time to the next; None if fields say when.

    """

    expression: str
    zone: str
    every: int | None
    _fields: CronFields | None
    _zone: Zone

    def next(self, after: int, start: int = 0) -> int | None:
        """The first time after a moment, and not before the start; None if there is none before the year 9999.

        Intervals are counted from the start, and the start is one of their times. By fields, a time of day that a clock
        put forward leaves out comes when it was put forward, and one that comes twice counts once; where a star begins
        the second, minute or hour, everything counts as the clock shows it.
        """
        after = max(after, start - 1, 0)
        if self.every is not None:
            found = start + max(0, (after - start) // self.every + 1) * self.every
            return found if found < _END * 1000 else None
        second = after // 1000
        moment = self._next_fixed(second) if self._rules.fixed else self._next_shown(second + 1)
        return None if moment is None else moment * 1000

    def upcoming(self, after: int, count: int, start: int = 0) -> list[int]:
        """So many times after a moment, or fewer if no more come."""
        times: list[int] = []
        at: int | None = after
        while len(times) < count and (at := self.next(at, start)) is not None:
            times.append(at)
        return times

    def last(self, first: int, before: int, start: int = 0) -> int:
        """The last time before a moment, given one that is before it."""
        found, low, high = first, first, before
        while low < high:
            middle = (low + high) // 2
            at = self.next(middle, start)
            if at is not None and at < before:
                found = low = at
            else:
                high = middle
        return found

    @property
    def _rules(self) -> CronFields:
        assert self._fields is not None
        return self._fields

    def _next_fixed(self, after: int) -> int | None:
        """A time of day that comes twice counts once, so what the clock shows may lie behind."""
        wall = self._rules.next(self._zone.wall(after))
        while wall is not None and wall < _END:
            moment = self._zone.moment(wall)
            if moment > after:
                return moment
            wall = self._rules.next(wall + 1)
        return None

    def _next_shown(self, moment: int) -> int | None:
        """Each stretch in which the clock is not put forward or back is looked through by itself."""
        while moment < _END:
            offset = self._zone.offset(moment)
            wall = self._rules.next(moment + offset)
            if wall is None or wall >= _END:
                return None
            change = self._zone.change(moment, wall - offset)
            if change is None:
                return wall - offset
            moment = change
        return None


def parse_cron(expression: str, zone: str = "UTC") -> Cron:
    """Read an expression: five fields, or six with the second in front; "@hourly" and the like; "every 90m".

    Raises:
        InvalidArgumentError: it, or the zone, makes no sense, or it never comes; `details["field"]` says what is wrong.

    """
    found = find_zone(zone)
    if not isinstance(expression, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _wrong("expression", f"must be text, not {type(expression).__name__}")
    if not _is_readable(expression) or len(expression) > LIMIT_CRON_BYTES:
        raise _wrong("expression", f"must have 1 to {LIMIT_CRON_BYTES} characters of ASCII")
    text = expression.strip(" \t").upper()
    if every := _is_every(text):
        return Cron(expression, zone, _interval(every[1]), None, found)
    if text.startswith("@") and text not in _NAMED:
        raise _wrong("expression", f'"{expression:.40}" is not known; known are {", ".join(_NAMED).lower()}')
    texts = _NAMED.get(text, text).split()
    if len(texts) not in (5, 6):
        rule = "write minute, hour, day-of-month, month and day-of-week, or a second before them"
        raise _wrong("expression", f'"{expression:.80}" has {len(texts)} fields; {rule}')
    return Cron(expression, zone, None, parse_fields(["0", *texts][-6:]), found)


def _interval(text: str) -> int:
    match = _is_interval(text)
    if match is None:
        raise _wrong("interval", f'"{text.lower():.40}" is no whole number with s, m, h or d, like "every 90m"')
    every = int(match[1]) * _UNITS[match[2]] * 1000
    if not 1000 <= every <= LIMIT_CRON_INTERVAL_MS:
        raise _wrong("interval", f'"{text.lower():.40}" is not from 1s to {LIMIT_CRON_INTERVAL_MS // 86_400_000}d')
    return every


def _wrong(field: str, fault: str) -> InvalidArgumentError:
    name = "cron expression" if field == "expression" else field
    return InvalidArgumentError(f"{name} {fault}", details={"field": field})
