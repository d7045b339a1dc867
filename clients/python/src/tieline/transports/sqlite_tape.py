"""The tape inside one process (SPEC.md, section 17)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.errors import TielineError
from tieline.history.tape import Kind, TapeEntry, TapeFigures, letter_entry
from tieline.transports.sqlite_mail_book import MailBook
from tieline.transports.sqlite_mail_tape import Row, entry_name

log = logging.getLogger("tieline")


class Writer(Protocol):
    """Who runs what is submitted."""

    @property
    def recording(self) -> bool:
        """Whether the database is open and knows of a recorder."""
        ...

    def submit(self, work: Callable[[MailBook], Any]) -> Future[Any]:
        """Do something when this turn of the loop is over."""
        ...


class SqliteTape:
    """See `Tape`.

    Args:
        writer: that of the database of durable events.
        clock: the broker's.
        hand: gives a live event to the next member of a group.

    """

    def __init__(self, writer: Writer, clock: Clock, hand: Callable[[str, Envelope], bool]) -> None:
        self._writer = writer
        self._clock = clock
        self._hand = hand
        self._news: asyncio.Event | None = None

    def published(self, envelope: Envelope) -> None:
        """A live event is published: write it down, if there is a recorder. Nobody waits for that."""
        if not self._writer.recording:
            return
        data = envelope.SerializeToString()
        with contextlib.suppress(TielineError):
            self._writer.submit(lambda book: book.tape.note(Kind.LIVE, data)).add_done_callback(_forget)

    def woken(self) -> None:
        """There is something to read."""
        if self._news is not None:
            self._news.set()

    async def register(self, topics: Sequence[str] = ()) -> tuple[str, ...]:
        """See `Tape.register`."""
        return await self._writer.submit(lambda book: book.tape.register(topics))

    async def read(self, recorder: str, *, wait: float, idle: float = 0.0) -> list[TapeEntry]:
        """See `Tape.read`."""
        self._news = news = self._news or asyncio.Event()
        news.clear()

        def work(book: MailBook) -> list[Row]:
            return book.tape.read(recorder, int(idle * 1000))

        rows = await self._writer.submit(work)
        if not rows and wait > 0:
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(wait):
                    await news.wait()
            rows = await self._writer.submit(work)
        entries, unread = list[TapeEntry](), list[str]()
        for row in rows:
            try:
                entries.append(_entry(row))
            except (DecodeError, ValueError) as error:
                log.error("the entry %s of the tape cannot be read: %s", entry_name(row), error)
                unread.append(entry_name(row))
        if unread:
            await self.acknowledge(unread)
        return entries

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """See `Tape.acknowledge`."""
        await self._writer.submit(lambda book: book.tape.acknowledge(entries))

    async def there(self, places: Sequence[tuple[str, str]]) -> list[bool]:
        """See `Tape.there`."""
        return await self._writer.submit(lambda book: book.tape.there(places))

    async def figures(self) -> TapeFigures:
        """See `Tape.figures`."""
        return await self._writer.submit(lambda book: book.tape.figures())

    async def watch(self, told: Callable[[TapeEntry], None], began: Callable[[], None]) -> None:
        """See `Tape.watch`."""
        loop = asyncio.get_running_loop()

        def hear(rows: list[Row]) -> None:
            for row in rows:
                told(_entry(row))

        def tell(rows: list[Row]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(hear, rows)

        await self._writer.submit(lambda book: book.tape.watch(tell, on=True))
        try:
            began()
            await asyncio.get_running_loop().create_future()
        finally:
            self._writer.submit(lambda book: book.tape.watch(tell, on=False)).add_done_callback(_forget)

    async def replay(self, topic: str, group: str, envelopes: Sequence[Envelope]) -> int:
        """See `Tape.replay`."""
        events = [(each.key, each.priority or contract.PRIORITY_NORMAL, each.SerializeToString()) for each in envelopes]
        return await self._writer.submit(lambda book: book.replay(topic, group, events))

    async def hand(self, group: str, envelope: Envelope) -> bool:
        """See `Tape.hand`."""
        return self._hand(group, envelope)


def _entry(row: Row) -> TapeEntry:
    _, name, data, stream, entry = row
    kind = Kind(name)
    if kind in (Kind.DEAD, Kind.UNPARKED):
        return letter_entry(entry_name(row), kind, data)
    return TapeEntry(entry_name(row), kind, Envelope.FromString(data), None, stream, entry)


def _forget(future: Future[Any]) -> None:
    """What could not be written down is missing in history, and nowhere else."""
    if not future.cancelled():
        future.exception()
