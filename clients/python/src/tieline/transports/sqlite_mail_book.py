"""Durable events in SQLite: storing them, registering groups, and what all operations share (SPEC.md, section 14).

What is here, in the lease and in the desk does what the scripts of the same names do. One thread at a time runs it,
inside of a transaction of the writer's.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tieline._contract import contract
from tieline.clock import Clock
from tieline.durable.mail import Appended, Draft, Stored, group_removed
from tieline.history.tape import Kind
from tieline.transports.sqlite_agenda_going import Going
from tieline.transports.sqlite_mail_schema import entry_text, first_id
from tieline.transports.sqlite_mail_tape import BookTape

log = logging.getLogger("tieline")

_SWEEP_MS = 60_000
_SWEEP_ROWS = 5_000
_PREFIX = "tl:"
TAPE = ("", "")
"""Instead of a topic and a group: the tape has something to read."""

_REMOVED = "SELECT 1 FROM removed WHERE topic = ? AND grp = ? AND expires > ?"
_STORE = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)"
_READY = """
INSERT INTO members (topic, grp, key, event, priority, due, passed, given) VALUES (?, ?, ?, 0, 0, ?, ?, ?)
ON CONFLICT DO UPDATE SET due = excluded.due WHERE members.due IS NULL
"""
_LANE = "INSERT OR IGNORE INTO lanes VALUES (?, ?, ?, ?)"
_KNOWN = "SELECT entry FROM known WHERE topic = ? AND name = ? AND expires > ?"
_COUNT = "SELECT count(*) FROM events WHERE topic = ? AND key = ? AND priority = ?"
_SWEEP = "DELETE FROM known WHERE (topic, name) IN (SELECT topic, name FROM known WHERE expires <= ? LIMIT ?)"
_EXPIRE = """
DELETE FROM events WHERE id IN (
    SELECT id FROM events
    WHERE id < ? AND NOT EXISTS (SELECT 1 FROM groups WHERE groups.topic = events.topic AND start < id)
    ORDER BY id LIMIT ?
) RETURNING topic
"""
_FORGET = "DELETE FROM members WHERE topic = ? AND grp = ? AND key = ? AND event = ?"
_REST = "UPDATE members SET due = NULL, token = 0, tries = 0 WHERE topic = ? AND grp = ? AND key = ? AND event = 0"
_ANY = "SELECT 1 FROM events WHERE topic = ? AND key = ? AND priority = 0 LIMIT 1"
_FORGET_QUIET = "DELETE FROM members WHERE topic = ? AND grp = ? AND key = ? AND event = 0 AND due IS NULL"
_ENROLL_KEYS = """
INSERT OR IGNORE INTO members (topic, grp, key, event, priority, due, passed, given)
SELECT DISTINCT topic, ?, key, 0, 0, 0, 0, 0 FROM events WHERE topic = ? AND key <> ''
"""
_ENROLL_LANES = """
INSERT OR IGNORE INTO lanes SELECT DISTINCT topic, ?, priority, ? FROM events WHERE topic = ? AND key = ''
"""

Stream = tuple[str, str, int]
Row = tuple[int, str, str, int, str, bytes]


class Append(NamedTuple):
    """See `Mail.append`."""

    topic: str
    drafts: Sequence[Draft]
    together: bool
    most: int


class MailBook:
    """One open database, and what is known about it without asking."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.many = connection.executemany
        self.asleep: set[tuple[str, str]] = set()
        self.woken: list[tuple[str, str]] = []
        self.turns: dict[tuple[str, str], int] = {}
        self.services: dict[tuple[str, str], str] = {}
        self.going = Going()
        self._holders: dict[tuple[str, str, bytes], tuple[bytes, str]] = {}
        self._clock = clock
        self._topics: set[str] = set()
        self._swept = 0
        self._changes = connection.total_changes
        self._id, self._token = self.execute("SELECT id, token FROM state").fetchone()
        self.tape = BookTape(connection, clock, self.next_id)

    # --- what all operations share --------------------------------------------------------------------------------

    def now(self) -> int:
        """Milliseconds since 1970, by the broker's clock."""
        return self._clock.now()

    def reusable(self) -> int:
        """Bytes of the file that hold nothing."""
        (pages,), (size,) = (self.execute(f"PRAGMA {what}").fetchone() for what in ("freelist_count", "page_size"))
        return pages * size

    def end_leases(self) -> None:
        """Whoever held something is gone: it may be claimed at once, and that counts as a failure."""
        self.execute("UPDATE members SET due = ? WHERE token <> 0", (self.now(),))

    def next_id(self, now: int) -> int:
        """An id above all others."""
        self._id = max(self._id + 1, first_id(now))
        return self._id

    def next_token(self, now: int) -> int:
        """A token above all others."""
        self._token = max(self._token + 1, now * 1000)
        return self._token

    def hold(self, holder: str, topic: str, group: str, member: bytes, token: bytes) -> None:
        """A lease is somebody's alone, as long as this process runs; or of whoever has its token."""
        if holder:
            self._holders[topic, group, member] = (token, holder)
        else:
            self._holders.pop((topic, group, member), None)

    def is_held_by(self, holder: str, topic: str, group: str, member: bytes, token: bytes) -> bool:
        """Whether a lease, if it is one, is of this holder, or of nobody in particular and none is named."""
        known = self._holders.get((topic, group, member))
        return (known[1] if known and known[0] == token else "") == holder

    def wake(self, topic: str, group: str) -> None:
        """A group has something to claim; it is told when this is committed, if a claim of its came back unfilled."""
        if (topic, group) in self.asleep:
            self.asleep.remove((topic, group))
            self.woken.append((topic, group))

    def starts(self, topic: str) -> dict[str, int]:
        """The groups of a topic, and where each began."""
        return dict(self.execute("SELECT grp, start FROM groups WHERE topic = ?", (topic,)).fetchall())

    def forget(self, topic: str, group: str, key: str, event: int) -> None:
        """A member has nothing for its group. With the last event of a key goes what is kept of it."""
        if not key:
            self.execute(_FORGET, (topic, group, key, event))
            return
        self.execute(_REST, (topic, group, key))
        if not self.execute(_ANY, (topic, key)).fetchone():
            self.many(_FORGET_QUIET, [(topic, other, key) for other in {group, *self.starts(topic)}])

    def keep_letter(self, topic: str, letter: bytes, now: int) -> None:
        """Keep a dead letter."""
        self.execute("INSERT INTO letters VALUES (?, ?, ?)", (self.next_id(now), topic, letter))
        self.tape.note(Kind.DEAD, letter)

    def has_topic(self, topic: str) -> None:
        """A topic has durable events."""
        if topic not in self._topics:
            self.execute("INSERT OR IGNORE INTO topics VALUES (?)", (topic,))
            self._topics.add(topic)

    def begin(self) -> None:
        """Begin a transaction."""
        self.going.begin()
        self.execute("BEGIN IMMEDIATE")

    def finish(self) -> list[tuple[str, str]]:
        """The transaction is about to be committed; returns the groups to be told then."""
        if self._changes != self.connection.total_changes:
            self.execute("UPDATE state SET id = ?, token = ?", (self._id, self._token))
            self._changes = self.connection.total_changes
        woken, self.woken = self.woken, []
        if self.tape.news:
            self.tape.news = False
            woken.append(TAPE)
        return woken

    def undone(self, woken: Sequence[tuple[str, str]]) -> None:
        """The transaction was not committed."""
        self.asleep.update({*self.woken, *woken} - {TAPE})
        self.tape.undone()
        self.woken.clear()
        self.going.undone()
        self._topics.clear()
        self._changes = self.connection.total_changes

    # --- append ---------------------------------------------------------------------------------------------------

    def append(self, requests: Sequence[Append]) -> list[list[Appended]]:
        """Store events; returns for each request where, or None for what finds no room."""
        now = self.now()
        if now - self._swept > _SWEEP_MS:
            self._swept = now
            self.execute(_SWEEP, (now, _SWEEP_ROWS))
            self._expire(now - contract.LIMIT_STREAM_ALONE_MS)
        page = _Page(self)
        told = [page.take(request) for request in requests]
        page.write()
        return told

    def _expire(self, least: int) -> None:
        """Delete what was stored before this moment (ms) and is for no group."""
        topics = Counter(topic for (topic,) in self.execute(_EXPIRE, (first_id(least), _SWEEP_ROWS)))
        for topic, count in topics.items():
            days = contract.LIMIT_STREAM_ALONE_MS / 86_400_000
            log.warning("%d events of %r were deleted: nobody subscribed to it for %g days", count, topic, days)

    def store(self, rows: Sequence[Row]) -> None:
        """Put events in: id, topic, key, priority, the only group they are for or nothing, envelope."""
        self.many(_STORE, rows)

    def make_ready(self, topic: str, keys: Sequence[str], priorities: Sequence[int], now: int) -> None:
        """Keys, and priorities of events without key, have something new: every group shall look at them."""
        for group, start in self.starts(topic).items():
            news = bool(priorities)
            if priorities:
                self.many(_LANE, [(topic, group, priority, start) for priority in priorities])
            if keys:
                rows = [(topic, group, key, now, start, start) for key in keys]
                news = self.many(_READY, rows).rowcount > 0 or news
            if news:
                self.wake(topic, group)

    def replay(self, topic: str, group: str, events: Sequence[tuple[str, int, bytes]]) -> int:
        """See `Tape.replay`: events with key, priority and envelope."""
        if group not in self.starts(topic):
            return -1
        now = self.now()
        rows = [(self.next_id(now), topic, key, 0 if key else priority, group, data) for key, priority, data in events]
        self.store(rows)
        keys = dict.fromkeys(key for key, _, _ in events if key)
        priorities = dict.fromkeys(priority for key, priority, _ in events if not key)
        self.make_ready(topic, list(keys), list(priorities), now)
        return len(rows)

    def enroll(self, topic: str, group: str, *, latest: bool, again: bool) -> bool:
        """See `Mail.enroll`."""
        self.has_topic(topic)
        if self.execute("SELECT 1 FROM groups WHERE topic = ? AND grp = ?", (topic, group)).fetchone():
            return False
        now = self.now()
        if again and self.execute(_REMOVED, (topic, group, now)).fetchone():
            raise group_removed(topic, group)
        self.execute("DELETE FROM removed WHERE expires <= ? OR (topic = ? AND grp = ?)", (now, topic, group))
        start, since = (self.next_id(now), now) if latest else (0, 0)
        self.execute("INSERT INTO groups VALUES (?, ?, ?, ?, NULL)", (topic, group, since, start))
        if not latest:
            self.execute(_ENROLL_KEYS, (group, topic))
        self.execute(_ENROLL_LANES, (group, start, topic))
        return True

    def subscribed(self, topic: str, group: str, service: str, *, again: bool) -> str:
        """A service registered a group; returns another one that has subscribed to it, or nothing.

        Which one did last is kept in memory: whoever is there registers its group again and again.
        """
        if not service:
            return ""
        last = self.services.get((topic, group), "")
        if not last or not again:
            self.services[topic, group] = service
        return last if last != service else ""


def stream_name(topic: str, key: str, priority: int) -> str:
    """What others call the place of an event."""
    return contract.stream_key(_PREFIX, topic, key) if key else contract.lane_key(_PREFIX, topic, str(priority))


class _Page:
    """Events on their way into the database: few statements for many of them."""

    def __init__(self, book: MailBook) -> None:
        self._book = book
        self._now = book.now()
        self._events: list[Row] = []
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        self._keys: dict[str, dict[str, None]] = {}
        self._lanes: dict[str, dict[int, None]] = {}
        self._counts: dict[Stream, int] = {}
        self._alone: dict[str, bool] = {}

    def take(self, request: Append) -> list[Appended]:
        topic, drafts, together, most = request
        if self._is_alone(topic):
            most = min(most or contract.LIMIT_STREAM_ALONE, contract.LIMIT_STREAM_ALONE)
        if together and most and not self._have_room(topic, drafts, most):
            return [None] * len(drafts)
        return [self._take(topic, draft, most) for draft in drafts]

    def write(self) -> None:
        book, now = self._book, self._now
        if self._events:
            book.store(self._events)
        if self._known:
            rows = [(topic, name, *entry) for (topic, name), entry in self._known.items()]
            book.many("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)", rows)
        for topic in {**self._keys, **self._lanes}:
            book.has_topic(topic)
            book.make_ready(topic, list(self._keys.get(topic, ())), list(self._lanes.get(topic, ())), now)

    def _take(self, topic: str, draft: Draft, most: int) -> Appended:
        key, priority, name, window, envelope = draft
        stream = stream_name(topic, key, priority)
        if key:
            priority = 0
        if name and (before := self._entry_of(topic, name)):
            return Stored(stream, entry_text(before), duplicate=True)
        if most:
            count = self._count(topic, key, priority)
            if count >= most:
                return None
            self._counts[topic, key, priority] = count + 1
        elif (topic, key, priority) in self._counts:
            self._counts[topic, key, priority] += 1
        entry = self._book.next_id(self._now)
        self._events.append((entry, topic, key, priority, "", envelope))
        self._book.tape.note(Kind.STORED, envelope, stream, entry_text(entry))
        if name:
            self._known[topic, name] = (entry, self._now + window)
        if key:
            self._keys.setdefault(topic, {})[key] = None
        else:
            self._lanes.setdefault(topic, {})[priority] = None
        return Stored(stream, entry_text(entry))

    def _is_alone(self, topic: str) -> bool:
        alone = self._alone.get(topic)
        if alone is None:
            alone = self._alone[topic] = not self._book.starts(topic)
        return alone

    def _have_room(self, topic: str, drafts: Sequence[Draft], most: int) -> bool:
        counts: dict[Stream, int] = {}
        for draft in drafts:
            stream = (topic, draft.key, 0 if draft.key else draft.priority)
            counts[stream] = counts.get(stream, self._count(*stream)) + 1
        return max(counts.values(), default=0) <= most

    def _count(self, topic: str, key: str, priority: int) -> int:
        """Events of a stream, those on this page included."""
        count = self._counts.get((topic, key, priority))
        if count is None:
            (count,) = self._book.execute(_COUNT, (topic, key, priority)).fetchone()
            count += sum(row[1:4] == (topic, key, priority) for row in self._events)
            self._counts[topic, key, priority] = count
        return count

    def _entry_of(self, topic: str, name: str) -> int:
        if found := self._known.get((topic, name)):
            return found[0]
        row = self._book.execute(_KNOWN, (topic, name, self._now)).fetchone()
        return row[0] if row else 0
