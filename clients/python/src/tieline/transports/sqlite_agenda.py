"""Planned events inside one process: in the SQLite file of the durable ones, or in memory (SPEC.md, section 15).

What is to be stored when it is due is stored and marked in one transaction. What is live is taken, then published, then
marked: a process that dies in between publishes it again after its restart, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.errors import TielineError
from tieline.schedules.agenda import Fired, Plan, Planned, ScheduleStatus, Told
from tieline.transports import sqlite_agenda_book as desk
from tieline.transports.sqlite_mail_commit import Growing, Work
from tieline.transports.sqlite_mail_writer import MailWriter
from tieline.transports.sqlite_roster import SqliteRoster

log = logging.getLogger("tieline")

_ROLE_SECONDS = contract.DEFAULT_ROLE_MS / 1000
_NOT_OURS_SECONDS = 60.0
"""How often a file is looked at that cannot be opened: whoever has it fires what is planned there."""


class SqliteAgenda:
    """See `Agenda`; used by the event loop only.

    Args:
        writer: who works on the database.
        clock: the broker's.
        publish: gives a live event to everyone.
        here: whether an instance is there; one that is gone fires nothing.

    """

    fires = True

    def __init__(
        self, writer: MailWriter, clock: Clock, publish: Callable[[Envelope], None], here: Callable[[str], bool]
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._publish = publish
        self._here = here
        self.roster = SqliteRoster(writer, self)
        self._listeners: list[Callable[[], Told | None]] = []
        self._holder = ""
        self._held_until = 0.0  # of the local monotonic clock
        self._firing: dict[asyncio.Task[Fired], str] = {}
        self._published: list[str] = []  # and not marked yet

    def listen(self, told: Told) -> None:
        """See `Agenda.listen`; a method is told for as long as its object is there."""
        self._listeners = [each for each in self._listeners if each() is not None]
        self._listeners.append(weakref.WeakMethod(told) if isinstance(told, MethodType) else lambda: told)

    async def plan(self, plan: Plan) -> None:
        """See `Agenda.plan`."""
        await self.tell_if(Growing(partial(desk.plan, plan=plan)), lambda first: plan.due if first else None)

    # --- fire -----------------------------------------------------------------------------------------------------

    async def fire(self, instance: str) -> Fired:
        """See `Agenda.fire`. Who no longer waits for it does not stop it halfway."""
        if self._writer.empty or not self._here(instance):
            return Fired(None, ())
        now = self._clock.monotonic()
        if self._holder not in ("", instance) and self._held_until > now:
            return Fired(self._held_until - now, ())
        task = asyncio.get_running_loop().create_task(self._fire(instance))
        self._firing[task] = instance
        task.add_done_callback(self._firing.pop)
        return await asyncio.shield(task)

    async def _fire(self, instance: str) -> Fired:
        self._take_role(instance, 0.0)
        before, self._published = self._published, []
        try:
            taken: desk.Taken = await self._writer.submit(Growing(partial(desk.take, published=before)))
        except TielineError as error:
            self._published += before
            if self._writer.opened:
                raise
            return self._not_ours(error)
        for name, envelope in taken.live:
            self._send(name, envelope)
        head = await self._mark() if taken.live else taken.head
        again = None if head is None else max(0.0, self._clock.local(head) - self._clock.monotonic())
        self._take_role(instance, again)
        return Fired(again, taken.events, taken.ticks, taken.calls)

    def _not_ours(self, error: TielineError) -> Fired:
        """The file cannot be opened; who uses it is told so, and most programs that begin with it here do not."""
        log.debug("what is planned cannot be read, and is looked at every minute: %s", error)
        self._holder = ""
        return Fired(_NOT_OURS_SECONDS, ())

    def _send(self, name: str, envelope: bytes) -> None:
        self._published.append(name)
        try:
            self._publish(Envelope.FromString(envelope))
        except Exception:
            log.exception("the planned event %s could not be given to all who listen", name)

    async def _mark(self) -> int | None:
        """What was published is delivered; if that cannot be written now, it is with the next look."""
        marked, self._published = self._published, []
        try:
            return await self._writer.submit(lambda book: desk.mark(book, marked))
        except TielineError:
            self._published += marked
            raise

    def _take_role(self, instance: str, again: float | None) -> None:
        """Who fires next, and until when the others leave it alone; far from the next event nobody has the role."""
        if again is None or again > _ROLE_SECONDS:
            self._holder = ""
        else:
            self._holder, self._held_until = instance, self._clock.monotonic() + again + _ROLE_SECONDS

    async def step_down(self, instance: str) -> None:
        """See `Agenda.step_down`; what is under way is finished."""
        under_way = [task for task, whose in self._firing.items() if whose == instance]
        if under_way:
            await asyncio.wait(under_way)
        self.leave(instance)

    def leave(self, instance: str) -> None:
        """An instance is gone; if it had the role, the others look."""
        if self._holder == instance:
            self._holder = ""
            self._tell(self._clock.now())

    # --- look after what is planned ---------------------------------------------------------------------------------

    async def find(self, id: str) -> Planned | None:
        """See `Agenda.find`."""
        return await self._writer.submit(lambda book: desk.find(book, id))

    async def page(self, status: ScheduleStatus, offset: int, limit: int) -> tuple[int, list[Planned]]:
        """See `Agenda.page`."""
        return await self._writer.submit(lambda book: desk.page(book, status, offset, limit))

    async def sums(self) -> dict[str, int]:
        """See `Agenda.sums`."""
        return await self._writer.submit(desk.sums)

    async def cancel(self, id: str) -> Planned | None:
        """See `Agenda.cancel`."""
        return await self._writer.submit(lambda book: desk.cancel(book, id))

    async def move(self, id: str, due: int, expires: int, envelope: bytes, was: ScheduleStatus) -> bool:
        """See `Agenda.move`."""
        work = partial(desk.move, id=id, due=due, expires=expires, envelope=envelope, was=was)
        moved, _ = await self.tell_if(work, lambda told: due if told[1] else None)
        return moved

    # --- tell the schedulers ----------------------------------------------------------------------------------------

    def tell_if(self, work: Work, first: Callable[[Any], int | None]) -> asyncio.Future[Any]:
        """Do something; then tell of what is due earlier than all else, also if nobody waits for it any more.

        `first` says when that is (ms since 1970), or None if nothing is.
        """
        future = self._writer.submit(work)

        def done(future: asyncio.Future[Any]) -> None:
            if not future.cancelled() and future.exception() is None and (due := first(future.result())) is not None:
                self._tell(due)

        future.add_done_callback(done)
        return asyncio.shield(future)

    def _tell(self, due: int) -> None:
        holder = self._holder if self._held_until > self._clock.monotonic() else ""
        for listener in list(self._listeners):
            told = listener()
            if told is not None:
                told(due, holder)
