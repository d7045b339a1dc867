"""Durable events in SQLite: what the scripts `settle`, `extend` and `unpark` do (SPEC.md, section 14)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from tieline.durable.mail import Settlement, Verdict
from tieline.history.tape import Kind
from tieline.transports.sqlite_mail_book import MailBook
from tieline.transports.sqlite_mail_schema import NEVER, entry_of, member_of

_HELD = """
SELECT begun, tries, passed FROM members
WHERE topic = ? AND grp = ? AND key = ? AND event = ? AND token = ? AND token > 0
"""
_UPDATE = """
UPDATE members SET due = ?, token = ?, begun = ?, tries = ?, passed = ?, letter = ?
WHERE topic = ? AND grp = ? AND key = ? AND event = ?
"""
_EXTEND = """
UPDATE members SET due = ? WHERE topic = ? AND grp = ? AND key = ? AND event = ? AND token = ? AND token > 0
"""
_MORE = "SELECT 1 FROM events WHERE topic = ? AND key = ? AND priority = 0 AND id > ? LIMIT 1"
_FIRST = "SELECT min(id) FROM events WHERE topic = ? AND key = ? AND priority = 0 AND id > ? AND id <= ?"
_REACHED = """
SELECT min(coalesce(passed, start)) FROM groups
LEFT JOIN members ON members.topic = groups.topic AND members.grp = groups.grp AND key = ? AND event = 0
WHERE groups.topic = ?
"""
_DELETE = "DELETE FROM events WHERE topic = ? AND key = ? AND priority = 0 AND id <= ?"
_DELETE_ONE = """
DELETE FROM events WHERE id = ? AND NOT EXISTS (
    SELECT 1 FROM groups
    LEFT JOIN lanes ON lanes.topic = groups.topic AND lanes.grp = groups.grp AND lanes.priority = events.priority
    LEFT JOIN members ON members.topic = groups.topic AND members.grp = groups.grp AND members.key = ''
        AND members.event = events.id
    WHERE groups.topic = events.topic
        AND (coalesce(lanes.given, groups.start) < events.id OR members.passed < events.id)
)
"""
_PARKED = "SELECT passed, given, letter FROM members WHERE topic = ? AND grp = ? AND key = ? AND event = 0"


def settle(
    book: MailBook, topic: str, group: str, settlements: Sequence[Settlement], lease_ms: int, *, claims: bool
) -> list[bool]:
    """See `Mail.settle`."""
    work = _Settling(book, topic, group, lease_ms)
    told = [work.take(settlement) for settlement in settlements]
    if work.freed or (work.news and not claims):
        book.wake(topic, group)
    return told


def extend(book: MailBook, topic: str, group: str, leases: Sequence[tuple[bytes, bytes]], lease_ms: int) -> list[bool]:
    """See `Mail.extend`."""
    ends = book.now() + lease_ms
    return [
        book.execute(_EXTEND, (ends, topic, group, *member_of(name), _number(token))).rowcount == 1
        for name, token in leases
    ]


def unpark(book: MailBook, topic: str, group: str, key: str, *, skip: bool) -> bool:
    """See `Mail.unpark`."""
    row = book.execute(_PARKED, (topic, group, key)).fetchone()
    if row is None or row[2] is None:
        return False
    passed, given, letter = row
    now = book.now()
    head = book.execute(_FIRST, (topic, key, passed, given)).fetchone()[0] if skip else None
    if skip:
        book.keep_letter(topic, letter, now)
    else:
        book.tape.note(Kind.UNPARKED, letter)
    book.execute(_UPDATE, (now, 0, 0, 0, head or passed, None, topic, group, key, 0))
    if head is not None:
        delete_passed(book, topic, key)
    book.wake(topic, group)
    return True


def delete_passed(book: MailBook, topic: str, key: str) -> None:
    """Delete the events of a key that every group has handled."""
    (reached,) = book.execute(_REACHED, (key, topic)).fetchone()
    if reached is not None:
        book.execute(_DELETE, (topic, key, reached))


def _number(token: bytes) -> int:
    with contextlib.suppress(ValueError):
        return int(token)
    return 0


class _Settling:
    """Settlements of one group."""

    def __init__(self, book: MailBook, topic: str, group: str, lease_ms: int) -> None:
        self._book = book
        self._topic = topic
        self._place = (topic, group)
        self._now = book.now()
        self._ends = self._now + lease_ms
        self.freed = self.news = False

    def take(self, settlement: Settlement) -> bool:
        """Returns whether the lease still was the caller's."""
        key, event = member_of(settlement.member)
        token, verdict = _number(settlement.token), settlement.verdict
        held = self._book.execute(_HELD, (*self._place, key, event, token)).fetchone()
        if held is None:
            return False
        begun, tries, passed = held
        if settlement.entries:
            tries, passed = 0, max(passed, entry_of(settlement.entries[-1]))
        if verdict is Verdict.DEAD:
            self._book.keep_letter(self._topic, settlement.argument, self._now)
        due, letter = self._ends, None
        begun = begun or verdict is Verdict.BEGIN
        if verdict is Verdict.RETRY:
            due, token, tries, self.news = self._now + int(settlement.argument), 0, tries + 1, True
        elif verdict is Verdict.PARK:
            due, token, tries, letter = NEVER, 0, 0, settlement.argument
            self._book.tape.note(Kind.DEAD, settlement.argument)
        elif verdict is Verdict.FREE:
            due, token, self.freed = self._now, 0, True
        elif verdict is Verdict.DONE:
            due, token, tries = self._now, 0, 0
            passed = passed if key else event
        self._book.execute(_UPDATE, (due, token, begun, tries, passed, letter, *self._place, key, event))
        if key:
            self._tidy_key(key, passed, handled=bool(settlement.entries), done=verdict is Verdict.DONE)
        elif passed >= event:
            self._tidy_event(event, over=token == 0)
        return True

    def _tidy_key(self, key: str, passed: int, *, handled: bool, done: bool) -> None:
        if handled:
            delete_passed(self._book, self._topic, key)
        if done and self._book.execute(_MORE, (self._topic, key, passed)).fetchone():
            self.news = True
        elif done:
            self._book.forget(*self._place, key, 0)

    def _tidy_event(self, event: int, *, over: bool) -> None:
        self._book.execute(_DELETE_ONE, (event,))
        if over:
            self._book.forget(*self._place, "", event)
