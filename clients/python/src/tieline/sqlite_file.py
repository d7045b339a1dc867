"""A SQLite file with one thread that reads and writes it: whatever waits is done together, in one commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tieline.errors import Outcome, TielineError, UnavailableError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

_TOGETHER = 1_000
_BUSY_SECONDS, _ALONE_SECONDS = 5.0, 1.0
_CLOSE_SECONDS = 5.0


class _Job(NamedTuple):
    work: Work
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    job: _Job
    result: Any
    error: Exception | None


class SqliteFile:
    """Opened with the first work, and again in a forked child. What was done survives the process and the machine.

    Args:
        path: the file; it is made if it does not exist.
        schema: statements that make its tables.
        alone: no other process may use the file at the same time.

    """

    def __init__(self, path: Path, schema: str, *, alone: bool = False) -> None:
        self.path = path
        self._schema = schema
        self._alone = alone
        self._pid = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have the thread do something; done when it is committed.

        The future raises UnavailableError if the file cannot be used; nothing has been done then.
        """
        if self._thread is None or self._pid != os.getpid():
            self._begin()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return future

    async def aclose(self) -> None:
        """Do what waits, and close the file. The next work opens it again."""
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            self._jobs.put(None)
            await asyncio.to_thread(thread.join, _CLOSE_SECONDS)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(self._jobs,), name="tieline-sqlite", daemon=True)
        self._thread.start()

    # --- in the thread --------------------------------------------------------------------------------------------

    def _work(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        connection: sqlite3.Connection | None = None
        ended = False
        while not ended:
            waiting, ended = _all_that_wait(jobs)
            try:
                connection = connection or self._open()
                outcomes = self._do(connection, waiting)
            except sqlite3.Error as failure:
                error = self._unusable(failure)
                outcomes = [_Outcome(job, None, error) for job in waiting]
            _tell(outcomes)
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        patience = _ALONE_SECONDS if self._alone else _BUSY_SECONDS
        connection = sqlite3.connect(self.path, timeout=patience, isolation_level=None)
        try:
            if self._alone:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(self._schema)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _do(self, connection: sqlite3.Connection, jobs: list[_Job]) -> list[_Outcome]:
        """Do the work of many and commit it; what fails undoes itself and nothing else."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._do_one(connection, job) for job in jobs]
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return outcomes

    def _do_one(self, connection: sqlite3.Connection, job: _Job) -> _Outcome:
        connection.execute("SAVEPOINT work")
        try:
            outcome = _Outcome(job, job.work(connection), None)
        except TielineError as error:
            outcome = _Outcome(job, None, error)
        except sqlite3.Error as error:
            outcome = _Outcome(job, None, self._unusable(error))
        except Exception as error:  # as of a text that has no bytes: this work's alone, and the thread goes on
            outcome = _Outcome(job, None, error)
        connection.execute("ROLLBACK TO work" if outcome.error else "RELEASE work")
        return outcome

    def _unusable(self, error: sqlite3.Error) -> UnavailableError:
        locked = "locked" in str(error)
        hint = "; another process uses it: give each one a file of its own" if locked and self._alone else ""
        why = why_not(self.path, error)
        return UnavailableError(f"the file {self.path} cannot be used: {why}{hint}", outcome=Outcome.NOT_DELIVERED)


def why_not(path: Path | None, error: sqlite3.Error) -> str:
    """Why a file cannot be used; without a path it is memory."""
    if path is not None and "unable to open" in str(error) and not path.parent.is_dir():
        return f"there is no folder {path.parent}; make it, or choose another path"
    return str(error)


def _all_that_wait(jobs: queue.SimpleQueue[_Job | None]) -> tuple[list[_Job], bool]:
    """Wait for the next work; returns it with all that waits, and whether that was the end."""
    waiting: list[_Job] = []
    job = jobs.get()
    with contextlib.suppress(queue.Empty):
        while job is not None:
            waiting.append(job)
            if len(waiting) == _TOGETHER:
                return waiting, False
            job = jobs.get_nowait()
        return waiting, True
    return waiting, False


def _tell(outcomes: list[_Outcome]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome.job.loop, []).append(outcome)
    for loop, each in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(_settle, each)


def _settle(outcomes: list[_Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
