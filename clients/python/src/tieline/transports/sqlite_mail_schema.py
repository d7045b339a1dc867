"""The SQLite database of durable and planned events: its tables, how it is opened, and what its errors mean.

Ids of entries are one rising number for all topics, milliseconds and a count within them, so they order as they read.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tieline.errors import (
    InternalError,
    InvalidArgumentError,
    Outcome,
    OverloadedError,
    TielineError,
    UnavailableError,
    UnsupportedError,
)
from tieline.sqlite_file import why_not

NEVER = 1 << 62
"""When a parked key is due."""

_COUNT_BITS = 20
_MOST_COUNT = (1 << _COUNT_BITS) - 1
_LOCK_SECONDS = 2.0
_LANE = "\0"

_MAIL = """
CREATE TABLE state (one INTEGER PRIMARY KEY, id INTEGER NOT NULL, token INTEGER NOT NULL) STRICT;
INSERT INTO state VALUES (1, 0, 0);

CREATE TABLE topics (topic TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- A subscription group gets what has an id above `start`; `since` is the moment that stands for it (ms), 0: everything.
-- suspect: the last member that was leased although it may be what ends its holders.
CREATE TABLE groups (
    topic TEXT NOT NULL, grp TEXT NOT NULL, since INTEGER NOT NULL, start INTEGER NOT NULL, suspect BLOB,
    PRIMARY KEY (topic, grp)
) STRICT, WITHOUT ROWID;

-- Groups that were removed; who had registered one does not bring it back.
CREATE TABLE removed (
    topic TEXT NOT NULL, grp TEXT NOT NULL, expires INTEGER NOT NULL, PRIMARY KEY (topic, grp)
) STRICT, WITHOUT ROWID;

-- An event has a key, or an empty one and a priority. One that was redriven is for one group only.
CREATE TABLE events (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, key TEXT NOT NULL, priority INTEGER NOT NULL, only TEXT NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE INDEX events_in_order ON events (topic, key, priority);

-- What a group leases: a key (event 0), or an event without key that was given out.
-- due: when to look at it (ms); NULL while there is nothing to look at. token: of its lease; 0: nobody holds it. begun:
-- who holds it said that it begins with the head, which had failed before.
-- tries: how often its head failed. passed, given: the last ids that were handled, and given out. letter: it is parked.
CREATE TABLE members (
    topic TEXT NOT NULL, grp TEXT NOT NULL, key TEXT NOT NULL, event INTEGER NOT NULL, priority INTEGER NOT NULL,
    due INTEGER, token INTEGER NOT NULL DEFAULT 0, begun INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
    passed INTEGER NOT NULL, given INTEGER NOT NULL, letter BLOB,
    PRIMARY KEY (topic, grp, key, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_due ON members (topic, grp, due) WHERE due IS NOT NULL;

-- The last event without key of a priority that was given to a group.
CREATE TABLE lanes (
    topic TEXT NOT NULL, grp TEXT NOT NULL, priority INTEGER NOT NULL, given INTEGER NOT NULL,
    PRIMARY KEY (topic, grp, priority)
) STRICT, WITHOUT ROWID;

CREATE TABLE known (
    topic TEXT NOT NULL, name TEXT NOT NULL, entry INTEGER NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (topic, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_expires ON known (expires);

CREATE TABLE letters (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, letter BLOB NOT NULL) STRICT;
CREATE INDEX letters_of_topic ON letters (topic);
"""

_AGENDA = """
-- Planned events, and those that ended not long ago; moments are ms. ended: NULL while it is pending. known_as, window,
-- most: how it is stored; of a live one nothing. attempts, backoff, cap: how often that is tried, and in which pauses.
CREATE TABLE plans (
    id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, due INTEGER NOT NULL, priority INTEGER NOT NULL,
    tries INTEGER NOT NULL, created INTEGER NOT NULL, ended INTEGER, why TEXT NOT NULL, way TEXT NOT NULL,
    topic TEXT NOT NULL, key TEXT NOT NULL, expires INTEGER NOT NULL, attempts INTEGER NOT NULL,
    backoff INTEGER NOT NULL, cap INTEGER NOT NULL, known_as TEXT NOT NULL, window INTEGER NOT NULL,
    most INTEGER NOT NULL, envelope BLOB NOT NULL
) STRICT;
CREATE INDEX plans_due ON plans (due, priority DESC, id) WHERE ended IS NULL;
CREATE INDEX plans_ended ON plans (status, ended, id) WHERE ended IS NOT NULL;

-- How many were planned, and ended with each status, ever.
CREATE TABLE sums (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""

_ROSTER = """
-- Cron tasks; moments are ms. expected: the next tick, and fire_at: when that is fired, or handed out again; NULL:
-- there is none. ran: the tick of the last run, run: what is known of it, runs: how many there were.
CREATE TABLE tasks (
    name TEXT PRIMARY KEY, version INTEGER NOT NULL, task BLOB NOT NULL, expected INTEGER, fire_at INTEGER,
    ran INTEGER, run BLOB NOT NULL, runs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_due ON tasks (fire_at, name) WHERE fire_at IS NOT NULL;

-- task: the one that planned it. lease: for how long a call is handed out; then `due` says when it is handed out again,
-- and `moment` when it was due.
ALTER TABLE plans ADD COLUMN task TEXT NOT NULL DEFAULT '';
ALTER TABLE plans ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;
ALTER TABLE plans ADD COLUMN moment INTEGER;
"""

_STEPS = (_MAIL, _AGENDA, _ROSTER)
"""What each version of the database adds to the one before."""


def open_database(path: Path | None) -> sqlite3.Connection:
    """Open a file, which is made if it does not exist, for this process alone; without one, a database in memory.

    Raises:
        UnavailableError: it cannot be opened, or another process has it; the message says what to do.
        UnsupportedError: a newer version has written it.

    """
    connection = None
    try:
        connection = sqlite3.connect(
            path or ":memory:", check_same_thread=False, isolation_level=None, timeout=_LOCK_SECONDS
        )
        _prepare(connection, path)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise database_error(error, path) from error
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path | None) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("BEGIN EXCLUSIVE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_STEPS):
        raise UnsupportedError(f"a newer version of Tieline has written {path}; use that one, or another file")
    for step in _STEPS[version:]:
        for statement in step.split(";\n"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(_STEPS)}")
    connection.execute("COMMIT")


def database_error(error: sqlite3.Error, path: Path | None, *, committing: bool = False) -> TielineError:
    """What a failed operation means to its caller."""
    name, where = getattr(error, "sqlite_errorname", ""), path or "in memory"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return UnavailableError(
            f"the store {where} is in use by another process; durable events in a file belong to one process: "
            "give each its own file, or have them share a gateway (tieline up --store FILE) or Redis",
            outcome=Outcome.NOT_DELIVERED,
        )
    if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
        message = f"the store {where} cannot grow ({error}): the disk is full, or a limit was reached; make room"
        return OverloadedError(message, retry_after=1.0)
    unknown = committing and name != "SQLITE_CONSTRAINT"
    outcome = Outcome.MAY_HAVE_RUN if unknown else Outcome.NOT_DELIVERED
    return UnavailableError(f"the store {where} cannot be used: {why_not(path, error)}", outcome=outcome)


def bug_error(error: BaseException) -> TielineError:
    """An operation failed for no reason that lies in the database."""
    return InternalError(f"a durable operation failed: {type(error).__name__}: {error}")


# --- names ------------------------------------------------------------------------------------------------------------


def first_id(ms: int) -> int:
    """The least id of a millisecond."""
    return ms << _COUNT_BITS


def ms_of(entry: int) -> int:
    """When an entry was stored (ms since 1970)."""
    return entry >> _COUNT_BITS


def entry_text(entry: int) -> str:
    """An id as others see it."""
    return f"{entry >> _COUNT_BITS}-{entry & _MOST_COUNT}"


def entry_of(text: str | bytes) -> int:
    """Read an id; a count that no entry has is that of the last one of its millisecond.

    Raises:
        InvalidArgumentError: it is none.

    """
    with contextlib.suppress(ValueError):
        ms, _, count = (text.decode() if isinstance(text, bytes) else text).partition("-")
        if int(ms) >= 0 and int(count) >= 0:
            return min(first_id(int(ms)) + min(int(count), _MOST_COUNT), NEVER)
    raise InvalidArgumentError(f"{text!r:.80} is no id of an entry; one looks like 1767225600000-0")


def member_name(key: str, event: int, priority: int) -> bytes:
    """A member as others see it: its key, or the priority and id of an event without."""
    return key.encode() if key else f"{_LANE}{priority}{_LANE}{entry_text(event)}".encode()


def member_of(name: bytes) -> tuple[str, int]:
    """The key and the event of a member; one of them is empty or 0."""
    text = name.decode()
    if not text.startswith(_LANE):
        return text, 0
    return "", entry_of(text.rpartition(_LANE)[2])
