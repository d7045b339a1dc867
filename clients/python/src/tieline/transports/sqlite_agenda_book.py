"""Planned events in SQLite: what `plan`, `fire`, `cancel`, `reschedule` and `planned` do (SPEC.md, section 15).

Two things are not done in one transaction here: what is live is published between the one that takes it and the one
that marks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tieline._contract import contract
from tieline.durable.mail import Draft
from tieline.schedules.agenda import Firing, Plan, Planned, ScheduleStatus, Way
from tieline.transports.sqlite_agenda_rows import (
    KEEP_MS,
    Ended,
    count,
    end,
    end_published,
    ended_with,
    forget,
    is_first,
    tidy,
)
from tieline.transports.sqlite_mail_book import Append, MailBook
from tieline.transports.sqlite_roster_book import hand_out, next_tick

_PENDING, _DELIVERED, _EXPIRED = ScheduleStatus.PENDING, ScheduleStatus.DELIVERED, ScheduleStatus.EXPIRED
_NO_ROOM = "no room"

_PLAN = """
INSERT OR IGNORE INTO plans (
    id, due, priority, created, way, topic, key, expires, attempts, backoff, cap, known_as, window, most, envelope,
    status, tries, why
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, '')
"""
_DUE = """
SELECT id, topic, way, key, ifnull(moment, due), priority, expires, tries, attempts, backoff, cap, known_as, window,
    most, envelope, lease
FROM plans WHERE ended IS NULL AND due <= ? ORDER BY due, priority DESC, id LIMIT ?
"""
_HEADS = "SELECT id, due FROM plans WHERE ended IS NULL ORDER BY due, priority DESC, id LIMIT ?"
_HAND_OUT = "UPDATE plans SET moment = ifnull(moment, due), due = ? WHERE id = ?"
_LATER = "UPDATE plans SET due = ?, why = ?, tries = ? WHERE id = ?"
_MOVE = """
UPDATE plans SET status = 'pending', moment = NULL, due = ?, expires = ?, envelope = ?, tries = 0, ended = NULL,
    why = '' WHERE id = ?
"""
_FIELDS = "id, status, ifnull(moment, due), priority, tries, created, ifnull(ended, 0), why, way, envelope"
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
    lease: int


class Taken(NamedTuple):
    """What was due.

    Attributes:
        events: what left the agenda, or is about to.
        live: envelopes to be published now, in this order, then `mark` is to be told their ids.
        head: when the next one is due (ms since 1970); None: nothing is planned.
        ticks: see `Fired` …
        calls: … both are handed out now.

    """

    events: list[Firing]
    live: list[tuple[str, bytes]]
    head: int | None
    ticks: list[tuple[str, int]]
    calls: list[str]


def plan(book: MailBook, plan: Plan) -> bool:
    """See `Agenda.plan`; returns whether it is due earlier than all else."""
    values = (
        plan.id, plan.due, plan.priority, book.now(), plan.way.value, plan.topic, plan.key, plan.expires,
        plan.attempts, plan.backoff, plan.cap, plan.known_as, plan.window, plan.most, plan.envelope,
    )  # fmt: skip
    if book.execute(_PLAN, values).rowcount == 0:
        return False
    count(book, "planned", 1)
    return is_first(book, plan.id)


def take(book: MailBook, published: Sequence[str]) -> Taken:
    """Store what is due, and take what is to be published live; mark what was published before."""
    if published:
        mark(book, published)
    now = book.now()
    live, stored, calls, firings = list[tuple[str, bytes]](), list[_Row](), list[str](), list[Firing]()
    ended = Ended()
    for row in _due(book, now):
        if row.way not in (Way.LIVE, Way.CALL):
            stored.append(row)
        elif row.expires and row.expires <= now:
            end(book, row, _EXPIRED, "", now, ended)
            firings.append(Firing(row.id, _EXPIRED, row.due))
        elif row.way == Way.CALL:
            book.execute(_HAND_OUT, (now + row.lease, row.id))
            calls.append(row.id)
        else:
            book.going.add(row.id)
            live.append((row.id, row.envelope))
            firings.append(Firing(row.id, _DELIVERED, row.due))
    firings += _store(book, stored, now, ended)
    tidy(book, ended, now)
    ticks = hand_out(book, now)
    return Taken(firings, live, head(book), ticks, calls)


def mark(book: MailBook, published: Sequence[str]) -> int | None:
    """These were published; returns when the next one is due (ms since 1970), None if nothing is planned."""
    now = book.now()
    end_published(book, published, now)
    for name in published:
        book.going.mark(name)
    return head(book)


def head(book: MailBook) -> int | None:
    """When the next one is due (ms since 1970) that was not taken; None if nothing is planned."""
    heads = book.execute(_HEADS, (len(book.going) + 1,)).fetchall()
    dues = [next((due for name, due in heads if name not in book.going), None), next_tick(book)]
    return min((due for due in dues if due is not None), default=None)


def find(book: MailBook, id: str) -> Planned | None:
    """See `Agenda.find`."""
    row = book.execute(_FIND, (id, book.now() - KEEP_MS + 1)).fetchone()
    return _told(book, row) if row else None


def page(book: MailBook, status: ScheduleStatus, offset: int, limit: int) -> tuple[int, list[Planned]]:
    """See `Agenda.page`."""
    if status is _PENDING:
        rows = book.execute(_PAGE_PENDING, (limit, offset)).fetchall()
        return sums(book)["pending"], [_told(book, row) for row in rows]
    forget(book, status, book.now())
    rows = book.execute(_PAGE_ENDED, (status.value, limit, offset)).fetchall()
    return ended_with(book, status), [_told(book, row) for row in rows]


def sums(book: MailBook) -> dict[str, int]:
    """See `Agenda.sums`."""
    counts = dict(book.execute("SELECT name, count FROM sums").fetchall())
    return {**counts, "pending": counts.get("planned", 0) - sum(counts.get(each.value, 0) for each in ScheduleStatus)}


def cancel(book: MailBook, id: str) -> Planned | None:
    """See `Agenda.cancel`."""
    was = find(book, id)
    if was is not None and was.status is _PENDING:
        now = book.now()
        ended = Ended()
        end(book, was, ScheduleStatus.CANCELLED, "", now, ended)
        tidy(book, ended, now)
    return was


def move(book: MailBook, id: str, due: int, expires: int, envelope: bytes, was: ScheduleStatus) -> tuple[bool, bool]:
    """See `Agenda.move`; returns also whether it is due earlier than all else."""
    now_is = find(book, id)
    if now_is is None or now_is.status is not was:
        return False, False
    book.execute(_MOVE, (due, expires, envelope, id))
    if was is not _PENDING:
        count(book, was.value, -1)
    return True, is_first(book, id)


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


def _store(book: MailBook, rows: Sequence[_Row], now: int, ended: Ended) -> list[Firing]:
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
        end(book, tried, status, "" if entry is not None else _NO_ROOM, now, ended)
        firings.append(Firing(row.id, status, row.due))
    return firings


def _told(book: MailBook, row: Sequence[Any]) -> Planned:
    """As callers get it; what was taken to be published is delivered."""
    name, status, due, priority, tries, created, ended, why, way, envelope = row
    if name in book.going and not ended:
        status, ended = _DELIVERED, book.now()
    return Planned(name, ScheduleStatus(status), due, priority, tries, created, ended, why, Way(way), envelope)
