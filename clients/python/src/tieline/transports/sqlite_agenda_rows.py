"""Planned events in SQLite: how they are counted and come to their end, whoever planned them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tieline._contract import contract
from tieline.schedules.agenda import ScheduleStatus
from tieline.transports.sqlite_mail_book import MailBook

KEEP_MS = contract.DEFAULT_ENDED_PLAN_MS
"""For how long what has ended is remembered."""

Ended = dict[ScheduleStatus, int]
"""How many ended with each status."""

_END = "UPDATE plans SET status = ?, ended = ?, why = ?, tries = ? WHERE id = ? AND ended IS NULL"
_MARK = "UPDATE plans SET status = 'delivered', ended = ?, why = '' WHERE id = ? AND ended IS NULL"
_DROP_TICK = "DELETE FROM plans WHERE id = ? AND task <> '' AND ended IS NOT NULL AND status <> 'failed'"
_COUNT = "INSERT INTO sums VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + ?2"
_FORGET = "DELETE FROM plans WHERE status = ? AND ended <= ?"
_ENDED = "SELECT count(*) FROM plans WHERE status = ? AND ended IS NOT NULL"
_FORGET_OLDEST = """
DELETE FROM plans WHERE rowid IN (
    SELECT rowid FROM plans WHERE status = ? AND ended IS NOT NULL ORDER BY ended, id LIMIT ?
)
"""
_FIRST = "SELECT id FROM plans WHERE ended IS NULL ORDER BY due, priority DESC, id LIMIT 1"


class Row(Protocol):
    """What its end says of a planned event."""

    @property
    def id(self) -> str:
        """Of the event."""
        ...

    @property
    def tries(self) -> int:
        """How often it failed."""
        ...


def end(book: MailBook, row: Row, status: ScheduleStatus, why: str, now: int, ended: Ended) -> None:
    """It is over; `tidy` must follow. What a cron task planned is remembered only if it failed."""
    book.execute(_END, (status.value, now, why, row.tries, row.id))
    book.execute(_DROP_TICK, (row.id,))
    ended[status] = ended.get(status, 0) + 1


def end_published(book: MailBook, names: Sequence[str], now: int) -> None:
    """These were published."""
    marked = book.many(_MARK, [(now, name) for name in names]).rowcount
    book.many(_DROP_TICK, [(name,) for name in names])
    tidy(book, {ScheduleStatus.DELIVERED: marked}, now)


def tidy(book: MailBook, ended: Ended, now: int) -> None:
    """So many ended with each status: they are counted and remembered for a while, the last of them at most."""
    for status, number in ended.items():
        if number:
            count(book, status.value, number)
            forget(book, status, now)
            left = ended_with(book, status)
            if left > contract.LIMIT_ENDED_PLANS:
                book.execute(_FORGET_OLDEST, (status.value, left - contract.LIMIT_ENDED_PLANS))


def forget(book: MailBook, status: ScheduleStatus, now: int) -> None:
    """Forget what ended with a status too long ago."""
    book.execute(_FORGET, (status.value, now - KEEP_MS))


def ended_with(book: MailBook, status: ScheduleStatus) -> int:
    """How many that ended with a status are remembered."""
    return book.execute(_ENDED, (status.value,)).fetchone()[0]


def count(book: MailBook, name: str, number: int) -> None:
    """Add to one of the sums."""
    book.execute(_COUNT, (name, number))


def is_first(book: MailBook, id: str) -> bool:
    """Whether it is due before all others."""
    first = book.execute(_FIRST).fetchone()
    return first is not None and first[0] == id
