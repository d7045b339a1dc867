"""Cron tasks in SQLite: what `put_task`, `drop_task`, `tasks`, `tick` and `end_call` do (SPEC.md, section 16)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tieline._contract import contract
from tieline.cron.roster import Kept, Tick, Turn
from tieline.schedules.agenda import ScheduleStatus
from tieline.transports.sqlite_agenda_rows import Ended, count, end, is_first, tidy
from tieline.transports.sqlite_mail_book import MailBook

_FIELDS = "name, version, task, expected, runs, run"
_FIND = f"SELECT {_FIELDS} FROM tasks WHERE name = ?"  # noqa: S608 - ours
_PAGE = f"SELECT {_FIELDS} FROM tasks ORDER BY name LIMIT ? OFFSET ?"  # noqa: S608
_ADD = "INSERT INTO tasks (name, version, task, expected, fire_at, runs, run) VALUES (?, ?, ?, ?, ?, 0, x'')"
_CHANGE = "UPDATE tasks SET version = ?, task = ?, expected = ?, fire_at = ? WHERE name = ?"
_EXPECT = "UPDATE tasks SET expected = ?, fire_at = ? WHERE name = ?"
_RAN = "UPDATE tasks SET ran = ?1, run = ?2 WHERE name = ?3 AND (ran IS NULL OR ran <= ?1)"
_NOT_LATER = "SELECT 1 FROM tasks WHERE name = ? AND ran >= ?"
_RUNS = "UPDATE tasks SET runs = runs + ? WHERE name = ?"
_DUE = "SELECT name, fire_at FROM tasks WHERE fire_at <= ? ORDER BY fire_at, name LIMIT ?"
_AGAIN = "UPDATE tasks SET fire_at = ? WHERE name = ?"
_FIRST = "SELECT name, fire_at FROM tasks WHERE fire_at IS NOT NULL ORDER BY fire_at, name LIMIT 1"
_PENDING = "SELECT 1 FROM plans WHERE id = ? AND ended IS NULL"
_PLAN = """
INSERT OR REPLACE INTO plans (
    id, status, due, priority, tries, created, ended, why, way, topic, key, expires, attempts, backoff, cap, known_as,
    window, most, envelope, task, lease
) VALUES (?, 'pending', ?, ?, 0, ?, NULL, '', ?, ?, ?, ?, ?, ?, ?, '', 0, 0, ?, ?, ?)
"""
_CALL = "SELECT id, tries, attempts, backoff FROM plans WHERE id = ? AND way = 'call' AND ended IS NULL AND tries = ?"
_LATER = "UPDATE plans SET due = ?, moment = NULL, why = ?, tries = ? WHERE id = ?"


class _Call(NamedTuple):
    """One that was made."""

    id: str
    tries: int
    attempts: int
    backoff: int


def put(book: MailBook, name: str, version: int, task: bytes, expected: int | None, fire_at: int) -> tuple[int, bool]:
    """See `Roster.put`; returns also whether its tick is fired earlier than all others.

    A version is never used twice: who knew a task that was deleted does not change one of the same name.
    """
    kept = find(book, name)
    if (kept.version if kept else 0) != version:
        return 0, False
    now_is, fires = book.next_token(book.now()), None if expected is None else fire_at
    if kept:
        book.execute(_CHANGE, (now_is, task, expected, fires, name))
    else:
        if _total(book) >= contract.LIMIT_CRON_TASKS:
            return -1, False
        book.execute(_ADD, (name, now_is, task, expected, fires))
    first = book.execute(_FIRST).fetchone()
    return now_is, first is not None and first[0] == name


def drop(book: MailBook, name: str) -> Kept | None:
    """See `Roster.drop`."""
    kept = find(book, name)
    book.execute("DELETE FROM tasks WHERE name = ?", (name,))
    return kept


def find(book: MailBook, name: str) -> Kept | None:
    """See `Roster.find`."""
    row = book.execute(_FIND, (name,)).fetchone()
    return Kept(*row) if row else None


def page(book: MailBook, offset: int, limit: int) -> tuple[int, list[Kept]]:
    """See `Roster.page`."""
    rows = book.execute(_PAGE, (limit, offset)).fetchall()
    return _total(book), [Kept(*row) for row in rows]


def turn(book: MailBook, name: str, turn: Turn) -> tuple[bool, int | None]:
    """See `Roster.turn`; returns also when what it planned is due, if that is earlier than all else."""
    kept = find(book, name)
    if kept is None or kept.version != turn.version or turn.expected not in (None, kept.expected):
        return False, None
    if turn.expected is None and book.execute(_NOT_LATER, (name, turn.ran)).fetchone():
        return False, None
    if turn.expected is not None:
        fires = None if turn.following is None else turn.fire_at
        book.execute(_EXPECT, (turn.following, fires, name))
    firsts = [tick.due for tick in turn.ticks if _plan(book, name, tick)]
    book.execute(_RUNS, (len(turn.ticks), name))
    if turn.ran is not None:
        book.execute(_RAN, (turn.ran, turn.run, name))
    return True, firsts[0] if firsts else None


def _plan(book: MailBook, name: str, tick: Tick) -> bool:
    """Plan what a tick does; returns whether it is due earlier than all else."""
    if book.execute(_PENDING, (tick.id,)).fetchone():
        return False
    values = (
        tick.id, tick.due, tick.priority, book.now(), tick.way.value, tick.topic, tick.key, tick.expires,
        tick.attempts, tick.backoff, tick.backoff, tick.envelope, name, tick.lease,
    )  # fmt: skip
    book.execute(_PLAN, values)
    count(book, "planned", 1)
    return is_first(book, tick.id)


def end_call(
    book: MailBook, id: str, name: str, tries: int, why: str, tick: int, run: bytes
) -> tuple[ScheduleStatus | None, int | None]:
    """See `Roster.end_call`; returns also when it is made again."""
    row = book.execute(_CALL, (id, tries)).fetchone()
    if row is None:
        return None, None
    call, now, ended = _Call._make(row), book.now(), Ended()
    status, again = ScheduleStatus.DELIVERED, None
    if why:
        call, status = call._replace(tries=tries + 1), ScheduleStatus.FAILED
    if why and call.tries < call.attempts:
        status, again = ScheduleStatus.PENDING, now + call.backoff
        book.execute(_LATER, (again, why, call.tries, id))
    else:
        end(book, call, status, why, now, ended)
        tidy(book, ended, now)
    book.execute(_RAN, (tick, run, name))
    return status, again


def hand_out(book: MailBook, now: int) -> list[tuple[str, int]]:
    """Tasks of which ticks are due; they come again if nobody says in time what became of them."""
    found: Sequence[tuple[str, int]] = book.execute(_DUE, (now, contract.LIMIT_FIRE_EVENTS)).fetchall()
    book.many(_AGAIN, [(now + contract.DEFAULT_ROLE_MS, name) for name, _ in found])
    return [(name, at) for name, at in found]


def next_tick(book: MailBook) -> int | None:
    """When the next one is fired (ms since 1970)."""
    first = book.execute(_FIRST).fetchone()
    return first[1] if first else None


def _total(book: MailBook) -> Any:
    return book.execute("SELECT count(*) FROM tasks").fetchone()[0]
