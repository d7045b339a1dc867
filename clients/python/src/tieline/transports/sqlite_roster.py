"""Cron tasks inside one process: in the SQLite file of durable events, or in memory (SPEC.md, section 16)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from tieline.cron.roster import Kept, Turn
from tieline.schedules.agenda import ScheduleStatus
from tieline.transports import sqlite_roster_book as desk
from tieline.transports.sqlite_mail_commit import Growing, Work
from tieline.transports.sqlite_mail_writer import MailWriter


class Agenda(Protocol):
    """Who fires the ticks."""

    def tell_if(self, work: Work, first: Callable[[Any], int | None]) -> asyncio.Future[Any]:
        """Do something; then tell of what is due earlier than all else."""
        ...


class SqliteRoster:
    """See `Roster`; used by the event loop only."""

    def __init__(self, writer: MailWriter, agenda: Agenda) -> None:
        self._writer = writer
        self._agenda = agenda

    async def put(self, name: str, version: int, task: bytes, expected: int | None, fire_at: int) -> int:
        """See `Roster.put`."""
        work = partial(desk.put, name=name, version=version, task=task, expected=expected, fire_at=fire_at)
        kept, _ = await self._agenda.tell_if(Growing(work), lambda told: fire_at if told[1] else None)
        return kept

    async def drop(self, name: str) -> Kept | None:
        """See `Roster.drop`."""
        return await self._writer.submit(lambda book: desk.drop(book, name))

    async def find(self, name: str) -> Kept | None:
        """See `Roster.find`."""
        return await self._writer.submit(lambda book: desk.find(book, name))

    async def page(self, offset: int, limit: int) -> tuple[int, list[Kept]]:
        """See `Roster.page`."""
        return await self._writer.submit(lambda book: desk.page(book, offset, limit))

    async def turn(self, name: str, turn: Turn) -> bool:
        """See `Roster.turn`."""
        turned, _ = await self._agenda.tell_if(Growing(partial(desk.turn, name=name, turn=turn)), lambda told: told[1])
        return turned

    async def end_call(self, id: str, name: str, tries: int, why: str, tick: int, run: bytes) -> ScheduleStatus | None:
        """See `Roster.end_call`."""
        work = partial(desk.end_call, id=id, name=name, tries=tries, why=why, tick=tick, run=run)
        status, _ = await self._agenda.tell_if(work, lambda told: told[1])
        return status
