"""Who does the operations on durable events in SQLite, and tells the callers.

A file has a thread of its own, which waits for the disk while the loop goes on; whatever came meanwhile is committed
together. A database in memory waits for nothing: the loop itself writes it, at the end of its turn, so that tests that
turn the clock by hand see all that happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tieline.clock import Clock
from tieline.errors import Outcome, UnavailableError
from tieline.transports.sqlite_mail_book import Append
from tieline.transports.sqlite_mail_commit import Group, MailCommitter, Operation, Work

log = logging.getLogger("tieline")

_CLOSE_SECONDS = 5.0


class _Batch:
    """What was asked for in one turn of a loop."""

    __slots__ = ("handed_over", "loop", "operations")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.handed_over = False
        self.operations: list[Operation] = []


class MailWriter:
    """Does what is submitted, in that order.

    Args:
        path: the file; without one, the database is in memory.
        clock: the broker's.
        wake: told, on the loop, of each group that has something to claim.
        served: other processes may hold leases, so they outlive this one.

    """

    def __init__(self, path: Path | None, clock: Clock, wake: Callable[[str, str], None], *, served: bool) -> None:
        self._path = path
        self._committer = MailCommitter(path, clock, served=served)
        self._wake = wake
        self._gathered: _Batch | None = None
        self._under_way: set[_Batch] = set()
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def open(self) -> None:
        """Open the database now rather than when it is first needed; raises as `open_database` does."""
        self._committer.open()

    @property
    def recording(self) -> bool:
        """Whether the database is open and knows of a recorder."""
        return self._committer.recording

    @property
    def opened(self) -> bool:
        """Whether the database is open."""
        return self._committer.opened

    @property
    def empty(self) -> bool:
        """Whether nothing was ever stored: there is no database yet."""
        return not self._committer.opened and (self._path is None or not self._path.exists())

    def submit(self, work: Append | Work) -> Future[Any]:
        """Do something when this turn of the loop is over.

        Raises:
            UnavailableError: it is closed.

        """
        if self._closed:
            raise UnavailableError("the event system is closed", outcome=Outcome.NOT_DELIVERED)
        loop = asyncio.get_running_loop()
        batch = self._gathered
        if batch is None or batch.loop is not loop:
            batch = self._gathered = _Batch(loop)
            loop.call_soon(self._hand_over, batch)
        future: Future[Any] = loop.create_future()
        batch.operations.append(Operation(work, future))
        return future

    async def aclose(self) -> None:
        """Do what waits, within 5 s or behind our back, and close the database. Idempotent."""
        if self._gathered is not None:
            self._hand_over(self._gathered)
        self.abandon()
        if self._thread is None:
            return
        await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)
        if self._thread.is_alive():
            log.warning("the store %s is still being written to; what holds it up?", self._path)
            self._give_up()

    def abandon(self) -> None:
        """As `aclose`, where there is no loop to wait in. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None:
            self._committer.close()
        else:
            self._queue.put(None)

    # --- from the loop to the database and back ---------------------------------------------------------------------

    def _hand_over(self, batch: _Batch) -> None:
        if self._gathered is batch:
            self._gathered = None
        if batch.handed_over:
            return
        batch.handed_over = True
        if self._path is None:
            self._done([batch], self._committer.run(batch.operations))
            return
        self._under_way.add(batch)
        self._queue.put(batch)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="tieline-mail", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        """The thread."""
        while batches := self._waiting():
            woken = self._committer.run([operation for batch in batches for operation in batch.operations])
            for loop in {batch.loop: None for batch in batches}:
                own = [batch for batch in batches if batch.loop is loop]
                with contextlib.suppress(RuntimeError):  # the loop is gone
                    loop.call_soon_threadsafe(self._done, own, woken)
                    woken = []
        self._committer.close()

    def _waiting(self) -> list[_Batch]:
        """Wait for the next batch; returns it with all that wait; nothing at the end."""
        batches: list[_Batch] = []
        following = self._queue.get()
        with contextlib.suppress(queue.Empty):
            while following is not None:
                batches.append(following)
                following = self._queue.get_nowait()
            if batches:
                self._queue.put(None)  # it was the end
        return batches

    def _done(self, batches: Sequence[_Batch], woken: Sequence[Group]) -> None:
        """On the loop: callers and consumers go on."""
        self._under_way.difference_update(batches)
        for batch in batches:
            for operation in batch.operations:
                operation.tell()
        for topic, group in woken:
            self._wake(topic, group)

    def _give_up(self) -> None:
        """Nobody shall wait for a disk that does not answer."""
        loop, message = asyncio.get_running_loop(), f"the store {self._path} did not answer while it was closed"
        for batch in [batch for batch in self._under_way if batch.loop is loop]:
            for operation in batch.operations:
                if not operation.future.done():
                    operation.future.set_exception(UnavailableError(message, outcome=Outcome.MAY_HAVE_RUN))
