"""Planned events in SQLite: what `plan`, `fire`, `cancel`, `reschedule` and `planned` do (SPEC.md, section 16).

Two things are not done in one transaction here: what is live is published between the one that takes it and the one
that marks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tieline._contract import contract
from tieline.durable import Draft
from tieline.schedule import Firing, Plan, Planned, ScheduleStatus, Way
from tieline.transports.sqlite_mail_book import Append, MailBook

_PENDING, _DELIVERED, _EXPIRED = ScheduleStatus.PENDING, ScheduleStatus.DELIVERED, ScheduleStatus.EXPIRED
_KEEP_MS = contract.DEFAULT_ENDED_PLAN_MS
_NO_ROOM = "no room"

_PLAN = """
INSERT OR IGNORE INTO plans VALUES (?, 'pending', ?, ?, 0, ?, NULL, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DUE = """
SELECT id, topic, way, key, due, priority, expires, tries, attempts, backoff, cap, known_as, window, most, envelope
FROM plans WHERE ended IS NULL AND due <= ? ORDER BY due, priority DESC, id LIMIT ?
"""
_HEADS = "SELECT id, due FROM plans WHERE ended IS NULL ORDER BY due, priority DESC, id LIMIT ?"
_END = "UPDATE plans SET status = ?, ended = ?, why = ?, tries = ? WHERE id = ? AND ended IS NULL"
_MARK = "UPDATE plans SET status = 'delivered', ended = ?, why = '' WHERE id = ? AND ended IS NULL"
_LATER = "UPDATE plans SET due = ?, why = ?, tries = ? WHERE id = ?"
_MOVE = """
UPDATE plans SET status = 'pending', due = ?, expires = ?, envelope = ?, tries = 0, ended = NULL, why = ''
WHERE id = ?
"""
_COUNT = "INSERT INTO sums VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + ?2"
_FORGET = "DELETE FROM plans WHERE status = ? AND ended <= ?"
_ENDED = "SELECT count(*) FROM plans WHERE status = ? AND ended IS NOT NULL"
_FORGET_OLDEST = """
DELETE FROM plans WHERE rowid IN (
    SELECT rowid FROM plans WHERE status = ? AND ended IS NOT NULL ORDER BY ended, id LIMIT ?
)
"""
_FIELDS = "id, status, due, priority, tries, created, ifnull(ended, 0), why, way, envelope"
_FIND = f"SELECT {_FIELDS} FROM plans WHERE id = ?1 AND ifnull(ended, ?2) >= ?2"  # noqa: S608 - ours
_PAGE_PENDING = f"""
SELECT {_FIELDS} FROM plans WHERE ended IS NULL ORDER BY due, priority DESC, id LIMIT ? OFFSET ?
"""  # noqa: S608
_PAGE_ENDED = f"""
SELECT {_FIELDS} FROM plans WHERE status = ? AND ended IS NOT NULL ORDER BY ended DESC, id DESC LIMIT ? OFFSET ?
"""  # noqa: S608


class _Row(NamedTuple):
    """One that is due."""

    id: str
    topic: str
    way: str
    key: str
    due: int
    priority: int
    expires: int
    tries: int
    attempts: int
    backoff: int
    cap: int
    known_as: str
    window: int
    most: int
    envelope: bytes


class Taken(NamedTuple):
    """What was due.

    Attributes:
        events: what left the agenda, or is about to.
        live: envelopes to be published now, in this order, then `mark` is to be told their ids.
        head: when the next one is due (ms since 1970); None: nothing is planned.

    """

    events: list[Firing]
    live: list[tuple[str, bytes]]
    head: int | None


def plan(book: MailBook, plan: Plan) -> bool:
    """See `Agenda.plan`; returns whether it is due earlier than all else."""
    values = (
        plan.id, plan.due, plan.priority, book.now(), plan.way.value, plan.topic, plan.key, plan.expires,
        plan.attempts, plan.backoff, plan.cap, plan.known_as, plan.window, plan.most, plan.envelope,
    )  # fmt: skip
    if book.execute(_PLAN, values).rowcount == 0:
        return False
    _count(book, "planned", 1)
    return _is_first(book, plan.id)


def take(book: MailBook, published: Sequence[str]) -> Taken:
    """Store what is due, and take what is to be published live; mark what was published before."""
    if published:
        mark(book, published)
    now = book.now()
    live, stored, firings = list[tuple[str, bytes]](), list[_Row](), list[Firing]()
    ended: dict[ScheduleStatus, int] = {}
    for row in _due(book, now):
        if row.way != Way.LIVE:
            stored.append(row)
        elif row.expires and row.expires <= now:
            _end(book, row, _EXPIRED, "", now, ended)
            firings.append(Firing(row.id, _EXPIRED, row.due))
        else:
            book.going.add(row.id)
            live.append((row.id, row.envelope))
            firings.append(Firing(row.id, _DELIVERED, row.due))
    firings += _store(book, stored, now, ended)
    _tidy(book, ended, now)
    return Taken(firings, live, head(book))


def mark(book: MailBook, published: Sequence[str]) -> int | None:
    """These were published; returns when the next one is due (ms since 1970), None if nothing is planned."""
    now = book.now()
    marked = book.many(_MARK, [(now, name) for name in published]).rowcount
    for name in published:
        book.going.mark(name)
    _tidy(book, {_DELIVERED: marked}, now)
    return head(book)


def head(book: MailBook) -> int | None:
    """When the next one is due (ms since 1970) that was not taken; None if nothing is planned."""
    for name, due in book.execute(_HEADS, (len(book.going) + 1,)).fetchall():
        if name not in book.going:
            return due
    return None


def find(book: MailBook, id: str) -> Planned | None:
    """See `Agenda.find`."""
    row = book.execute(_FIND, (id, book.now() - _KEEP_MS + 1)).fetchone()
    return _told(book, row) if row else None


def page(book: MailBook, status: ScheduleStatus, offset: int, limit: int) -> tuple[int, list[Planned]]:
    """See `Agenda.page`."""
    if status is _PENDING:
        rows = book.execute(_PAGE_PENDING, (limit, offset)).fetchall()
        return sums(book)["pending"], [_told(book, row) for row in rows]
    book.execute(_FORGET, (status.value, book.now() - _KEEP_MS))
    (total,) = book.execute(_ENDED, (status.value,)).fetchone()
    rows = book.execute(_PAGE_ENDED, (status.value, limit, offset)).fetchall()
    return total, [_told(book, row) for row in rows]


def sums(book: MailBook) -> dict[str, int]:
    """See `Agenda.sums`."""
    counts = dict(book.execute("SELECT name, count FROM sums").fetchall())
    return {**counts, "pending": counts.get("planned", 0) - sum(counts.get(each.value, 0) for each in ScheduleStatus)}


def cancel(book: MailBook, id: str) -> Planned | None:
    """See `Agenda.cancel`."""
    was = find(book, id)
    if was is not None and was.status is _PENDING:
        now = book.now()
        book.execute(_END, (ScheduleStatus.CANCELLED.value, now, "", was.tries, id))
        _tidy(book, {ScheduleStatus.CANCELLED: 1}, now)
    return was


def move(book: MailBook, id: str, due: int, expires: int, envelope: bytes, was: ScheduleStatus) -> tuple[bool, bool]:
    """See `Agenda.move`; returns also whether it is due earlier than all else."""
    now_is = find(book, id)
    if now_is is None or now_is.status is not was:
        return False, False
    book.execute(_MOVE, (due, expires, envelope, id))
    if was is not _PENDING:
        _count(book, was.value, -1)
    return True, _is_first(book, id)


def _due(book: MailBook, now: int) -> list[_Row]:
    """What is due and was not taken before: so many, and so many bytes, at most."""
    rows, size = list[_Row](), 0
    cursor = book.execute(_DUE, (now, contract.LIMIT_FIRE_EVENTS + len(book.going)))
    for row in map(_Row._make, cursor):
        size += len(row.envelope)
        if len(rows) == contract.LIMIT_FIRE_EVENTS or (rows and size > contract.LIMIT_CLAIM_BYTES):
            break
        if row.id not in book.going:
            rows.append(row)
    cursor.close()
    return rows


def _store(book: MailBook, rows: Sequence[_Row], now: int, ended: dict[ScheduleStatus, int]) -> list[Firing]:
    """Store events for durable subscriptions; returns what left the agenda.

    What is expired is stored all the same: in each group it becomes a dead letter.
    """
    drafts = [Draft(row.key, row.priority, row.known_as, row.window, row.envelope) for row in rows]
    requests = [Append(row.topic, [draft], False, row.most) for row, draft in zip(rows, drafts, strict=True)]
    firings: list[Firing] = []
    for row, (entry,) in zip(rows, book.append(requests) if requests else (), strict=True):
        if entry is not None:
            status, tried = _EXPIRED if row.expires and row.expires <= now else _DELIVERED, row
        else:
            tried = row._replace(tries=row.tries + 1)
            if tried.tries < tried.attempts:
                pause = min(row.cap, row.backoff << min(row.tries, 32))
                book.execute(_LATER, (now + pause, _NO_ROOM, tried.tries, row.id))
                continue
            status = ScheduleStatus.FAILED
        _end(book, tried, status, "" if entry is not None else _NO_ROOM, now, ended)
        firings.append(Firing(row.id, status, row.due))
    return firings


def _end(
    book: MailBook, row: _Row, status: ScheduleStatus, why: str, now: int, ended: dict[ScheduleStatus, int]
) -> None:
    """It is over; `_tidy` must follow."""
    book.execute(_END, (status.value, now, why, row.tries, row.id))
    ended[status] = ended.get(status, 0) + 1


def _tidy(book: MailBook, ended: dict[ScheduleStatus, int], now: int) -> None:
    """So many ended with each status: they are counted and remembered for a while, the last of them at most."""
    for status, count in ended.items():
        if count:
            _count(book, status.value, count)
            book.execute(_FORGET, (status.value, now - _KEEP_MS))
            (left,) = book.execute(_ENDED, (status.value,)).fetchone()
            if left > contract.LIMIT_ENDED_PLANS:
                book.execute(_FORGET_OLDEST, (status.value, left - contract.LIMIT_ENDED_PLANS))


def _count(book: MailBook, name: str, count: int) -> None:
    book.execute(_COUNT, (name, count))


def _is_first(book: MailBook, id: str) -> bool:
    return book.execute(_HEADS, (1,)).fetchone()[0] == id


def _told(book: MailBook, row: Sequence[Any]) -> Planned:
    """As callers get it; what was taken to be published is delivered."""
    name, status, due, priority, tries, created, ended, why, way, envelope = row
    if name in book.going and not ended:
        status, ended = _DELIVERED, book.now()
    return Planned(name, ScheduleStatus(status), due, priority, tries, created, ended, why, Way(way), envelope)
