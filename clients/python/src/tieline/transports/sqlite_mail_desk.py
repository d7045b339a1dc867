"""Durable events in SQLite: what people ask of them, and sort out by hand (SPEC.md, section 14)."""

from __future__ import annotations

from collections.abc import Sequence

from tieline.durable.mail import GroupFigures, Letter, Redriven
from tieline.history.tape import Kind
from tieline.transports.sqlite_mail_book import MailBook, stream_name
from tieline.transports.sqlite_mail_schema import entry_of, entry_text, ms_of

_REMOVED_MS = 3_600_000

_KEYS = """
SELECT count(due), count(letter) FROM members WHERE topic = ? AND grp = ? AND event = 0
"""
_WAITING_IN_KEYS = """
SELECT count(*), total(id <= given), min(id) FROM members
JOIN events ON events.topic = members.topic AND events.key = members.key AND events.priority = 0 AND id > passed
WHERE members.topic = ? AND grp = ? AND event = 0 AND due IS NOT NULL
"""
_WAITING_IN_LANES = """
SELECT count(*), 0, min(id) FROM lanes
JOIN events ON events.topic = lanes.topic AND events.key = '' AND events.priority = lanes.priority AND id > given
WHERE lanes.topic = ? AND grp = ?
"""
_UNDER_WAY = """
SELECT count(*), count(*), min(event) FROM members
WHERE topic = ? AND grp = ? AND key = '' AND event > 0 AND passed < event
"""
_PASSED_BY_THE_REST = """
DELETE FROM events WHERE topic = ?1 AND NOT EXISTS (
    SELECT 1 FROM groups
    LEFT JOIN members ON members.topic = ?1 AND members.grp = groups.grp AND members.key = events.key
        AND members.event = CASE events.key WHEN '' THEN events.id ELSE 0 END
    LEFT JOIN lanes ON events.key = '' AND lanes.topic = ?1 AND lanes.grp = groups.grp
        AND lanes.priority = events.priority
    WHERE groups.topic = ?1 AND CASE events.key
        WHEN '' THEN coalesce(lanes.given, start) < max(events.id, ?2) OR coalesce(members.passed < events.id, 0)
        ELSE coalesce(members.passed, start) < max(events.id, ?2) END
)
"""
_QUIET = """
DELETE FROM members WHERE topic = ?1 AND event = 0 AND due IS NULL AND NOT EXISTS (
    SELECT 1 FROM events WHERE topic = ?1 AND key = members.key AND priority = 0
)
"""
_LETTERS = "SELECT id, letter FROM letters WHERE topic = ? AND id > ? ORDER BY id LIMIT ?"
_PURGE = "DELETE FROM letters WHERE topic = ? AND id = ?"
_PARKED = "SELECT key, letter FROM members WHERE topic = ? AND grp = ? AND letter IS NOT NULL ORDER BY key"


def topics(book: MailBook) -> list[str]:
    """See `Mail.topics`."""
    return [topic for (topic,) in book.execute("SELECT topic FROM topics ORDER BY topic")]


def groups(book: MailBook, topic: str) -> list[GroupFigures]:
    """See `Mail.groups`."""
    found = book.execute("SELECT grp, since FROM groups WHERE topic = ? ORDER BY grp", (topic,)).fetchall()
    return [_figures(book, topic, group, since) for group, since in found]


def _figures(book: MailBook, topic: str, group: str, since: int) -> GroupFigures:
    keys, parked = book.execute(_KEYS, (topic, group)).fetchone()
    counts = [
        book.execute(query, (topic, group)).fetchone() for query in (_WAITING_IN_KEYS, _WAITING_IN_LANES, _UNDER_WAY)
    ]
    waiting, pending = (int(sum(count[at] for count in counts)) for at in (0, 1))
    oldest = min((count[2] for count in counts if count[2] is not None), default=None)
    return GroupFigures(group, since, keys, waiting, pending, parked, None if oldest is None else ms_of(oldest))


def dismiss(book: MailBook, topic: str, group: str) -> bool:
    """See `Mail.dismiss`. What only this group waited for goes with it, if there are others; else it waits for one.

    What none of the others was to get waits for another one, too.
    """
    place = (topic, group)
    if book.execute("DELETE FROM groups WHERE topic = ? AND grp = ?", place).rowcount == 0:
        return False
    book.execute("INSERT OR REPLACE INTO removed VALUES (?, ?, ?)", (*place, book.now() + _REMOVED_MS))
    book.execute("DELETE FROM members WHERE topic = ? AND grp = ?", place)
    book.execute("DELETE FROM lanes WHERE topic = ? AND grp = ?", place)
    if starts := book.starts(topic).values():
        book.execute(_PASSED_BY_THE_REST, (topic, min(starts) + 1))
        book.execute(_QUIET, (topic,))
    book.asleep.add(place)
    book.wake(topic, group)
    book.turns.pop(place, None)
    book.services.pop(place, None)
    return True


def letters(book: MailBook, topic: str, after: str, limit: int) -> list[Letter]:
    """See `Mail.letters`."""
    found = book.execute(_LETTERS, (topic, entry_of(after) if after else 0, limit))
    return [Letter(entry_text(entry), letter) for entry, letter in found]


def redrive(book: MailBook, topic: str, asked: Sequence[Redriven]) -> list[str]:
    """See `Mail.redrive`."""
    return [_redrive(book, topic, letter) for letter in asked]


def _redrive(book: MailBook, topic: str, letter: Redriven) -> str:
    old, gone = entry_of(letter.id), letter.group not in book.starts(topic)
    if gone or book.execute(_PURGE, (topic, old)).rowcount == 0:
        return ""
    now, priority = book.now(), 0 if letter.key else letter.priority
    entry = book.next_id(now)
    book.store([(entry, topic, letter.key, priority, letter.group, letter.envelope)])
    stream = stream_name(topic, letter.key, letter.priority)
    book.tape.note(Kind.AGAIN, letter.envelope, stream, entry_text(entry))
    book.make_ready(topic, [letter.key] if letter.key else [], [] if letter.key else [priority], now)
    return entry_text(entry)


def purge(book: MailBook, topic: str, ids: Sequence[str]) -> int:
    """See `Mail.purge`."""
    return sum(book.execute(_PURGE, (topic, entry_of(entry))).rowcount for entry in ids)


def parked(book: MailBook, topic: str, group: str) -> list[Letter]:
    """See `Mail.parked`."""
    return [Letter(key, letter) for key, letter in book.execute(_PARKED, (topic, group))]
