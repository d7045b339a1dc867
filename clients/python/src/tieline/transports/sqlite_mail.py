"""Durable events inside one process: in a SQLite file that outlives it, or in memory (SPEC.md, section 14).

Each operation is committed, with all others that wait, before its caller goes on. The database belongs to one process.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path

from tieline.clock import Clock
from tieline.durable.mail import (
    Appended,
    Claimed,
    Draft,
    Enrolled,
    GroupFigures,
    Letter,
    Redriven,
    Settlement,
    Verdict,
    no_replicas,
)
from tieline.transports import sqlite_mail_claim, sqlite_mail_desk, sqlite_mail_settle
from tieline.transports.sqlite_mail_book import Append, MailBook
from tieline.transports.sqlite_mail_writer import MailWriter

_OVER = (Verdict.DONE, Verdict.FREE, Verdict.RETRY, Verdict.PARK)


class SqliteMail:
    """See `Mail`; used by the event loop only.

    Args:
        path: the file, which is made and locked when it is first needed; without one, events are kept in memory.
        clock: the broker's.
        wake: told on the loop, with topic and name, of each subscription group that has something to claim.
        served: other processes reach it through this one, so that their leases outlive this one.

    """

    def __init__(
        self, path: Path | None, clock: Clock, wake: Callable[[str, str], None], *, served: bool = False
    ) -> None:
        self._writer = MailWriter(path, clock, wake, served=served)

    @property
    def writer(self) -> MailWriter:
        """Who works on the database."""
        return self._writer

    def open(self) -> None:
        """Open the file now.

        Raises:
            UnavailableError: it cannot be opened, or another process has it; the message says what to do.
            UnsupportedError: a newer version has written it.

        """
        self._writer.open()

    async def aclose(self) -> None:
        """Finish what is under way, and close the file. Idempotent."""
        await self._writer.aclose()

    def abandon(self) -> None:
        """As `aclose`, where there is no loop to wait in. Idempotent."""
        self._writer.abandon()

    # --- store, claim, settle -------------------------------------------------------------------------------------

    def append(
        self, topic: str, drafts: Sequence[Draft], *, together: bool = False, most: int = 0
    ) -> Future[list[Appended]]:
        """See `Mail.append`."""
        return self._writer.submit(Append(topic, drafts, together, most))

    async def append_to_replicas(
        self, topic: str, drafts: Sequence[Draft], replicas: int, *, most: int = 0
    ) -> list[Appended]:
        """See `Mail.append_to_replicas`."""
        raise no_replicas()

    async def enroll(self, topic: str, group: str, *, latest: bool, again: bool = False, service: str = "") -> Enrolled:
        """See `Mail.enroll`."""

        def work(book: MailBook) -> Enrolled:
            new = book.enroll(topic, group, latest=latest, again=again)
            return Enrolled(new, book.subscribed(topic, group, service, again=again))

        return await self._writer.submit(work)

    async def claim(
        self, topic: str, group: str, slots: int, entries: int, lease: float, *, holder: str = ""
    ) -> Claimed:
        """See `Mail.claim`."""

        def work(book: MailBook) -> Claimed:
            return sqlite_mail_claim.claim(book, topic, group, slots, entries, int(lease * 1000), holder)

        return await self._writer.submit(work)

    async def settle(
        self, topic: str, group: str, settlements: Sequence[Settlement], lease: float, *, claims: bool, holder: str = ""
    ) -> list[bool]:
        """See `Mail.settle`."""

        def work(book: MailBook) -> list[bool]:
            ours = [book.is_held_by(holder, topic, group, each.member, each.token) for each in settlements]
            asked = [each for each, yes in zip(settlements, ours, strict=True) if yes]
            kept = iter(sqlite_mail_settle.settle(book, topic, group, asked, int(lease * 1000), claims=claims))
            told = [yes and next(kept) for yes in ours]
            for each in (each for each, yes in zip(settlements, told, strict=True) if yes and each.verdict in _OVER):
                book.hold("", topic, group, each.member, b"")
            return told

        return await self._writer.submit(work)

    async def extend(
        self, topic: str, group: str, leases: Sequence[tuple[bytes, bytes]], lease: float, *, holder: str = ""
    ) -> list[bool]:
        """See `Mail.extend`."""

        def work(book: MailBook) -> list[bool]:
            ours = [book.is_held_by(holder, topic, group, *each) for each in leases]
            asked = [each for each, yes in zip(leases, ours, strict=True) if yes]
            kept = iter(sqlite_mail_settle.extend(book, topic, group, asked, int(lease * 1000)))
            return [yes and next(kept) for yes in ours]

        return await self._writer.submit(work)

    # --- look inside and sort out ---------------------------------------------------------------------------------

    async def topics(self) -> list[str]:
        """See `Mail.topics`."""
        return await self._writer.submit(sqlite_mail_desk.topics)

    async def groups(self, topic: str) -> list[GroupFigures]:
        """See `Mail.groups`."""
        return await self._writer.submit(lambda book: sqlite_mail_desk.groups(book, topic))

    async def dismiss(self, topic: str, group: str) -> bool:
        """See `Mail.dismiss`."""
        return await self._writer.submit(lambda book: sqlite_mail_desk.dismiss(book, topic, group))

    async def letters(self, topic: str, after: str, limit: int) -> list[Letter]:
        """See `Mail.letters`."""
        return await self._writer.submit(lambda book: sqlite_mail_desk.letters(book, topic, after, limit))

    async def redrive(self, topic: str, letters: Sequence[Redriven]) -> list[str]:
        """See `Mail.redrive`."""
        return await self._writer.submit(lambda book: sqlite_mail_desk.redrive(book, topic, letters))

    async def purge(self, topic: str, ids: Sequence[str]) -> int:
        """See `Mail.purge`."""
        return await self._writer.submit(lambda book: sqlite_mail_desk.purge(book, topic, ids))

    async def parked(self, topic: str, group: str) -> list[Letter]:
        """See `Mail.parked`."""
        return await self._writer.submit(lambda book: sqlite_mail_desk.parked(book, topic, group))

    async def unpark(self, topic: str, group: str, key: str, *, skip: bool) -> bool:
        """See `Mail.unpark`."""
        return await self._writer.submit(lambda book: sqlite_mail_settle.unpark(book, topic, group, key, skip=skip))
