"""The fields of a cron line: what they allow, and the next time on a wall clock that fits (SPEC.md, section 16)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from tieline.errors import InvalidArgumentError

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_YEARS = 50
_LAST_YEAR = 9998
_LAST = 1000
"""A weekday so many later is the last of its month; as a day it is the last one …"""
_LAST_WORKDAY = 1001
"""… and this the last from Monday to Friday."""
_NTH = 10
"""The n-th of a weekday is that weekday and n times this."""
_is_number = re.compile(r"[0-9]+").fullmatch


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()

    @property
    def values(self) -> int:
        """How many different ones there are: Sunday is 0 and 7."""
        return 7 if self.name == "day-of-week" else self.most - self.least + 1


_SECOND = _Field("second", 0, 59)
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY_OF_MONTH = _Field("day-of-month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day-of-week", 0, 7, _WEEKDAYS)


@dataclass(frozen=True, slots=True)
class CronFields:
    """What the fields of a line allow.

    Attributes:
        seconds: ascending, as are `minutes` and `hours`.
        days: of the month; the last one and the last workday have numbers of their own.
        weekdays: 0 is Sunday; the n-th and the last of a month have numbers of their own.
        both: a day must fit `days` and `weekdays`, not one of them: one of the two fields begins with a star.
        fixed: no star begins one of second, minute and hour: it is about times of a day, not about intervals.

    """

    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both: bool
    fixed: bool

    def next(self, wall: int) -> int | None:
        """The first second of a wall clock that fits, from this one on; None if there is none for 50 years."""
        day, second = divmod(wall, _DAY)
        if self._fits(date.fromordinal(day + _EPOCH)):
            time = self._time(second)
            if time is not None:
                return day * _DAY + time
        found = self._day(day + 1)
        return None if found is None else found * _DAY + self._first

    @property
    def _first(self) -> int:
        return self.hours[0] * 3600 + self.minutes[0] * 60 + self.seconds[0]

    def _time(self, second: int) -> int | None:
        """The first time of a day, in seconds, that fits and is not before this one."""
        minute, second = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        if hour in self.hours:
            if minute in self.minutes and (found := _from(self.seconds, second)) is not None:
                return hour * 3600 + minute * 60 + found
            if (found := _from(self.minutes, minute + 1)) is not None:
                return hour * 3600 + found * 60 + self.seconds[0]
        found = _from(self.hours, hour + 1)
        return None if found is None else found * 3600 + self.minutes[0] * 60 + self.seconds[0]

    def _day(self, day: int) -> int | None:
        """The first day since 1970, from this one on, that fits."""
        at = date.fromordinal(day + _EPOCH)
        last = min(at.year + _YEARS, _LAST_YEAR)
        while at.year <= last:
            if at.month not in self.months:
                at = _next_month(at)
            elif self._fits(at):
                return at.toordinal() - _EPOCH
            else:
                at = date.fromordinal(at.toordinal() + 1)
        return None

    def _fits(self, at: date) -> bool:
        if at.month not in self.months:
            return False
        left = _next_month(at).toordinal() - at.toordinal()
        weekday = at.isoweekday() % 7
        by_day, by_weekday = self._fits_month(at.day, weekday, left), self._fits_week(at.day, weekday, left)
        return by_day and by_weekday if self.both else by_day or by_weekday

    def _fits_month(self, day: int, weekday: int, left: int) -> bool:
        """Whether a day of a month that ends after so many days, itself included, is one of `days`."""
        if day in self.days or (left == 1 and _LAST in self.days):
            return True
        workday = (left == 1 and 1 <= weekday <= 5) or (left <= 3 and weekday == 5)
        return workday and _LAST_WORKDAY in self.days

    def _fits_week(self, day: int, weekday: int, left: int) -> bool:
        nth = weekday + _NTH * ((day + 6) // 7)
        last = left <= 7 and weekday + _LAST in self.weekdays
        return weekday in self.weekdays or nth in self.weekdays or last


def parse_fields(texts: Sequence[str]) -> CronFields:
    """What six fields allow, of which the first is about seconds; in capital letters.

    Raises:
        InvalidArgumentError: one of them is wrong, or no day ever fits; says which field.

    """
    second, minute, hour, day, month, weekday = texts
    fields = CronFields(
        seconds=sorted(_parse(_SECOND, second)),
        minutes=sorted(_parse(_MINUTE, minute)),
        hours=sorted(_parse(_HOUR, hour)),
        days=frozenset(_parse(_DAY_OF_MONTH, day)),
        months=frozenset(_parse(_MONTH, month)),
        weekdays=frozenset(0 if value == 7 else value for value in _parse(_WEEKDAY, weekday)),
        both=day.startswith("*") or weekday.startswith("*"),
        fixed=not any(text.startswith("*") for text in (second, minute, hour)),
    )
    if fields.next(date(2000, 1, 1).toordinal() - _EPOCH) is None:
        raise _wrong(_DAY_OF_MONTH, day, "never comes together with the month and the day-of-week")
    return fields


def _parse(field: _Field, text: str) -> Iterable[int]:
    return {value for term in text.split(",") for value in _term(field, term)}


def _term(field: _Field, term: str) -> Iterable[int]:
    special = _special(field, term)
    if special is not None:
        return [special]
    base, slash, step_text = term.partition("/")
    first, last = _range(field, term, base, open_end=bool(slash))
    return range(first, last + 1, _step(field, term, step_text) if slash else 1)


def _special(field: _Field, term: str) -> int | None:
    """What only one of the two fields about days can say."""
    if field is _DAY_OF_MONTH:
        return {"L": _LAST, "LW": _LAST_WORKDAY}.get(term)
    if field is not _WEEKDAY:
        return None
    word, hash_sign, nth = term.partition("#")
    if hash_sign:
        if nth not in ("1", "2", "3", "4", "5"):
            raise _wrong(field, term, "has no number from 1 to 5 after its #")
        return _value(field, term, word) % 7 + _NTH * int(nth)
    if len(term) > 1 and term.endswith("L"):
        return _value(field, term, term[:-1]) % 7 + _LAST
    return None


def _range(field: _Field, term: str, base: str, *, open_end: bool) -> tuple[int, int]:
    if base == "*":
        return field.least, field.least + field.values - 1
    low, dash, high = base.partition("-")
    first = _value(field, term, low)
    if not dash:
        return first, (field.most if open_end else first)
    last = _value(field, term, high)
    if high == "SUN" and first > 0:
        last = 7
    if last < first:
        raise _wrong(field, term, f"ends before it begins; write {low}-{field.most},{field.least}-{high}")
    return first, last


def _step(field: _Field, term: str, text: str) -> int:
    if not _is_number(text) or int(text) == 0:
        raise _wrong(field, term, "has no whole number of at least 1 after its /")
    if int(text) > field.values:
        raise _wrong(field, term, f'has a step beyond its {field.values} values; for an interval write "every 90m"')
    return int(text)


def _value(field: _Field, term: str, text: str) -> int:
    if text in field.words:
        return field.words.index(text) + field.least
    if not _is_number(text):
        names = f"; names are {' '.join(field.words)}" if field.words else ""
        raise _wrong(field, term, f"{'is no' if text else 'lacks a'} number{names}")
    if not field.least <= int(text) <= field.most:
        raise _wrong(field, term, f"is not from {field.least} to {field.most}")
    return int(text)


def _wrong(field: _Field, text: str, fault: str) -> InvalidArgumentError:
    return InvalidArgumentError(f'{field.name} "{text:.40}" {fault}', details={"field": field.name})


def _from(values: Sequence[int], least: int) -> int | None:
    return next((value for value in values if value >= least), None)


def _next_month(at: date) -> date:
    return date(at.year + 1, 1, 1) if at.month == 12 else date(at.year, at.month + 1, 1)
