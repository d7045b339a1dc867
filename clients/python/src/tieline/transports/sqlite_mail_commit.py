"""Group commit: operations of many callers become one transaction of the database of durable events.

If it fails, it is done again in halves, so that what cannot be done fails alone.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import weakref
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tieline.clock import Clock
from tieline.errors import OverloadedError, TielineError
from tieline.transports.sqlite_mail_book import Append, MailBook
from tieline.transports.sqlite_mail_schema import bug_error, database_error, open_database

log = logging.getLogger("tieline")

_RESERVE_BYTES = 33_554_432
"""Several times what the log of the database holds before it is written back."""

Work = Callable[[MailBook], Any]
Group = tuple[str, str]


class Growing(NamedTuple):
    """Work that needs room on the disk, beyond what handling makes and needs."""

    work: Work

    def __call__(self, book: MailBook) -> Any:
        """Do it."""
        return self.work(book)


class Operation:
    """Something to be done, and who waits for it."""

    __slots__ = ("error", "future", "told", "work")

    def __init__(self, work: Append | Work, future: Future[Any]) -> None:
        self.work = work
        self.future = future
        self.told: Any = None
        self.error: TielineError | None = None

    def tell(self) -> None:
        """It is done: the caller goes on."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.told)
        else:
            self.future.set_exception(self.error)


class MailCommitter:
    """The database, opened when it is first needed. One thread uses it at a time."""

    def __init__(self, path: Path | None, clock: Clock, *, served: bool) -> None:
        self._path = path
        self._clock = clock
        self._served = served
        self._book: MailBook | None = None

    def open(self) -> MailBook:
        """Open the database, if that is still to be done; raises as `open_database` does."""
        if self._book is None:
            connection = open_database(self._path)
            if self._path is None:
                weakref.finalize(self, connection.close)
            try:
                book = MailBook(connection, self._clock)
                if not self._served:
                    book.end_leases()
                self._book = book
            except sqlite3.Error as error:
                connection.close()
                raise database_error(error, self._path) from error
        return self._book

    @property
    def recording(self) -> bool:
        """Whether the database is open and knows of a recorder."""
        return self._book is not None and self._book.tape.on

    @property
    def opened(self) -> bool:
        """Whether the database is open."""
        return self._book is not None

    def run(self, operations: Sequence[Operation]) -> list[Group]:
        """Do what was asked for and note what came of it; returns the groups that have something to claim now."""
        try:
            return self._commit(self.open(), operations)
        except TielineError as error:
            for operation in operations:
                operation.error = error
            return []

    def close(self) -> None:
        """Nothing is asked for any more."""
        if self._book is not None:
            with contextlib.suppress(sqlite3.Error):
                self._book.connection.close()

    def _commit(self, book: MailBook, operations: Sequence[Operation]) -> list[Group]:
        woken, committing = list[Group](), False
        try:
            book.begin()
            self._do(book, operations)
            woken, committing = book.finish(), True
            book.execute("COMMIT")
            book.tape.committed()
        except Exception as error:
            _undo(book, woken)
            if len(operations) > 1:
                half = len(operations) // 2
                return self._commit(book, operations[:half]) + self._commit(book, operations[half:])
            operations[0].error = self._meaning(error, committing=committing)
            return []
        return woken

    def _do(self, book: MailBook, operations: Sequence[Operation]) -> None:
        """One after the other; events that are stored next to each other are stored together."""
        appends: list[Operation] = []
        for operation in operations:
            if isinstance(operation.work, Append):
                appends.append(operation)
                continue
            self._append(book, appends)
            appends = []
            if isinstance(operation.work, Growing) and (error := self._short_of_space(book)):
                operation.error = error
            else:
                operation.told = operation.work(book)
        self._append(book, appends)

    def _append(self, book: MailBook, operations: Sequence[Operation]) -> None:
        if not operations:
            return
        if error := self._short_of_space(book):
            for operation in operations:
                operation.error = error
            return
        requests = [operation.work for operation in operations if isinstance(operation.work, Append)]
        for operation, told in zip(operations, book.append(requests), strict=True):
            operation.told = told

    def _short_of_space(self, book: MailBook) -> TielineError | None:
        """The last of a disk is for handling what is stored, which makes room in the file: that room counts too."""
        free = _RESERVE_BYTES if self._path is None else shutil.disk_usage(self._path.parent).free
        if free >= _RESERVE_BYTES or (free >= _RESERVE_BYTES // 2 and free + book.reusable() >= _RESERVE_BYTES):
            return None
        message = f"the disk of the store {self._path} is full but for what handling needs; make room"
        return OverloadedError(message, retry_after=1.0)

    def _meaning(self, error: Exception, *, committing: bool) -> TielineError:
        if isinstance(error, TielineError):
            return error
        if isinstance(error, sqlite3.Error):
            return database_error(error, self._path, committing=committing)
        log.error("an operation on durable events failed", exc_info=error)
        return bug_error(error)


def _undo(book: MailBook, woken: Sequence[Group]) -> None:
    with contextlib.suppress(sqlite3.Error):
        if book.connection.in_transaction:
            book.execute("ROLLBACK")
    book.undone(woken)
