"""Durable events in SQLite: what the script `claim` does (SPEC.md, section 14)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tieline._contract import contract
from tieline.durable.mail import Claimed, Entry, Member
from tieline.transports.sqlite_mail_book import MailBook
from tieline.transports.sqlite_mail_schema import NEVER, entry_text, member_name, member_of

_LOWEST_FIRST = 16
"""One of so many claims begins with the lowest priority."""

_LATER_MS = 20

_DUE = """
SELECT key, event, priority, token, begun, tries, passed, given FROM members
WHERE topic = ? AND grp = ? AND due <= ? ORDER BY due, key, event LIMIT ?
"""
_NEXT_DUE = "SELECT min(due) FROM members WHERE topic = ? AND grp = ? AND due < ?"
_READ = """
SELECT id, envelope, only FROM events
WHERE topic = ? AND key = ? AND priority = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?
"""
_READ_ONE = "SELECT id, envelope, only FROM events WHERE id = ?"
_LANES = """
SELECT priority FROM lanes WHERE topic = ?1 AND grp = ?2 AND EXISTS (
    SELECT 1 FROM events WHERE topic = ?1 AND key = '' AND priority = lanes.priority AND id > given
) ORDER BY priority DESC
"""
_GIVEN = "SELECT given FROM lanes WHERE topic = ? AND grp = ? AND priority = ?"
_GIVE = "UPDATE lanes SET given = ? WHERE topic = ? AND grp = ? AND priority = ?"
_LEASE_NEW = """
INSERT INTO members (topic, grp, key, event, priority, due, token, passed, given) VALUES (?, ?, '', ?, ?, ?, ?, 0, 0)
"""
_LEASE = """
UPDATE members SET due = ?, token = ?, begun = 0, tries = ?, given = ?
WHERE topic = ? AND grp = ? AND key = ? AND event = ?
"""
_SUSPECT = "SELECT suspect FROM groups WHERE topic = ? AND grp = ?"
_LEASED = """
SELECT 1 FROM members WHERE topic = ? AND grp = ? AND key = ? AND event = ? AND token <> 0 AND due > ?
"""
_LOOK_LATER = "UPDATE members SET due = ? WHERE topic = ? AND grp = ? AND key = ? AND event = ?"

Row = tuple[int, bytes, str]


def claim(book: MailBook, topic: str, group: str, slots: int, entries: int, lease_ms: int, holder: str = "") -> Claimed:
    """See `Mail.claim`; a group that is not registered gets nothing."""
    work = _Claim(book, topic, group, slots, lease_ms)
    if group in book.starts(topic):
        work.take(entries)
    claimed = work.claimed()
    for member in claimed.members:
        book.hold(holder, topic, group, member.name, claimed.token)
    return claimed


class _Claim:
    """One claim under way."""

    def __init__(self, book: MailBook, topic: str, group: str, slots: int, lease_ms: int) -> None:
        self._book = book
        self._topic = topic
        self._place = (topic, group)
        self._slots = slots
        self._bytes = contract.LIMIT_CLAIM_BYTES
        self._now = book.now()
        self._token = book.next_token(self._now)
        self._ends = self._now + lease_ms
        self._turn = book.turns[self._place] = book.turns.get(self._place, 0) + 1
        self._taken: list[Member] = []
        self._lost = self._waiting = 0
        self._suspecting = False

    def take(self, entries: int) -> None:
        """Half of the room is for new events without key, the rest for what is due, and what is left for more."""
        room = (self._slots + self._turn % 2) // 2
        self._take_lanes(room)
        filled = len(self._taken) == room
        self._take_due(entries)
        if filled and not self._full:
            self._take_lanes(self._slots - len(self._taken))

    def claimed(self) -> Claimed:
        token = b"%d" % self._token
        if self._full:
            return Claimed(token, 0.0, self._lost, self._taken)
        self._book.asleep.add(self._place)
        (head,) = self._book.execute(_NEXT_DUE, (*self._place, NEVER)).fetchone()
        again = None if head is None else max(1, head - self._now) / 1000
        return Claimed(token, again, self._lost, self._taken)

    @property
    def _full(self) -> bool:
        return len(self._taken) + self._waiting >= self._slots or self._bytes <= 0

    # --- events without key ---------------------------------------------------------------------------------------

    def _take_lanes(self, room: int) -> None:
        lanes = [(priority, room) for priority in self._priorities()]
        if lanes and self._turn % _LOWEST_FIRST == 0:
            lanes.insert(0, (lanes[-1][0], 1))
        for priority, most in lanes:
            if room > 0 and self._bytes > 0:
                room -= self._take_lane(priority, min(most, room))

    def _priorities(self) -> list[int]:
        """Those that have something new, the highest first."""
        return [priority for (priority,) in self._book.execute(_LANES, self._place).fetchall()]

    def _take_lane(self, priority: int, room: int) -> int:
        """Lease new events of a priority; returns how many."""
        (given,) = self._book.execute(_GIVEN, (*self._place, priority)).fetchone()
        rows = self._fit(self._book.execute(_READ, (self._topic, "", priority, given, NEVER, room)))
        if rows:
            self._book.execute(_GIVE, (rows[-1][0], *self._place, priority))
            leases = [(*self._place, row[0], priority, self._ends, self._token) for row in rows]
            self._book.many(_LEASE_NEW, leases)
            self._taken += [Member(member_name("", row[0], priority), "", 0, [_entry(row)]) for row in rows]
        return len(rows)

    # --- what is due ----------------------------------------------------------------------------------------------

    def _take_due(self, entries: int) -> None:
        room = self._slots - len(self._taken)
        due = self._book.execute(_DUE, (*self._place, self._now, room)).fetchall() if self._bytes > 0 else []
        share, leases = max(1, entries // max(1, len(due))), list[tuple[Any, ...]]()
        for key, event, priority, token, begun, tries, passed, given in due:
            if self._bytes <= 0:
                break
            lost = token != 0 and (begun or not tries)  # who had not begun with what failed before ran nothing
            if lost and tries and not self._may_suspect(key, event, priority):
                self._waiting += 1
                continue
            tries += lost
            rows = self._read_key(key, passed, given, 1 if tries else share) if key else self._read_one(event, passed)
            if rows:
                leases.append((self._ends, self._token, tries, max(given, rows[-1][0]), *self._place, key, event))
                name = member_name(key, event, priority)
                self._taken.append(Member(name, key, tries, [_entry(row) for row in rows]))
            else:
                self._book.forget(*self._place, key, event)
        if leases:
            self._book.many(_LEASE, leases)

    def _may_suspect(self, key: str, event: int, priority: int) -> bool:
        """Whether a member that was lost again may be leased now; if not, it is looked at a little later.

        It may be what ends its holders: of those one in the group is leased at a time.
        """
        name = member_name(key, event, priority)
        (other,) = self._book.execute(_SUSPECT, self._place).fetchone()
        if self._suspecting or (other is not None and other != name and self._is_leased(other)):
            self._book.execute(_LOOK_LATER, (self._now + _LATER_MS, *self._place, key, event))
            return False
        self._suspecting = True
        self._book.execute("UPDATE groups SET suspect = ? WHERE topic = ? AND grp = ?", (name, *self._place))
        return True

    def _is_leased(self, name: bytes) -> bool:
        row = self._book.execute(_LEASED, (*self._place, *member_of(name), self._now)).fetchone()
        return row is not None

    def _read_one(self, event: int, passed: int) -> list[Row]:
        """An event without key that was given out before."""
        if passed >= event:
            return []
        rows = self._book.execute(_READ_ONE, (event,)).fetchall()
        self._lost += not rows
        return self._fit(rows)

    def _read_key(self, key: str, passed: int, given: int, wanted: int) -> list[Row]:
        """What was given out before; if that is nothing, what is new."""
        if given > passed:
            before = self._fit(self._book.execute(_READ, (self._topic, key, 0, passed, given, wanted)))
            if before:
                return before
        return self._fit(self._book.execute(_READ, (self._topic, key, 0, max(passed, given), NEVER, wanted)))

    def _fit(self, rows: Iterable[Row]) -> list[Row]:
        """As much as there is room for, and at least the first one."""
        fitting: list[Row] = []
        for row in rows:
            if fitting and len(row[1]) > self._bytes:
                break
            fitting.append(row)
            self._bytes -= len(row[1])
        return fitting


def _entry(row: Row) -> Entry:
    return Entry(entry_text(row[0]).encode(), row[1], row[2])
