"""Writes what happens into history: reads the tape, writes rows, acknowledges (SPEC.md, section 17).

Any number of recorders share the tape. Nothing is acknowledged before it is written, and writing again changes nothing:
so a recorder may die at any moment. While SQL is away the tape waits, and nothing else does.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from tieline._contract import contract
from tieline.clock import Clock
from tieline.errors import InvalidPayloadError, TielineError, UnavailableError
from tieline.history.recording import rows_of
from tieline.history.store import EventStore, RecordedEvent, Retention, Waiting
from tieline.history.tape import EVERYTHING, Tape, TapeEntry

log = logging.getLogger("tieline")
T = TypeVar("T")

_WAIT_SECONDS = 1.0
_LEAST_PAUSE, _MOST_PAUSE = 0.1, 5.0
_REFRESH_SECONDS = contract.DEFAULT_RECORD_REFRESH_MS / 1000
_FOLLOW_SECONDS = contract.DEFAULT_FOLLOW_MS / 1000
_RETAIN_SECONDS = contract.DEFAULT_RETAIN_MS / 1000
_FINISH_SECONDS, _LOOK_SECONDS = 1.0, 0.02
_PAGE = 500
_MOST_PAGES = 20


class RecorderFigures(NamedTuple):
    """How a recorder is doing.

    Attributes:
        recorded: rows that it has written since its start.
        batches: in so many transactions.
        refused: events that the database refuses for what they hold; they are missing in history.
        waiting: entries of the tape that are not in history yet, of all recorders.
        lag: seconds since the first of them happened; 0 if there is none.
        lost: entries that were cut off before any recorder read them.
        trouble: why nothing can be written now; empty while all is well.

    """

    recorded: int
    batches: int
    refused: int
    waiting: int
    lag: float
    lost: int
    trouble: str


class Recorder:
    """One recorder, which runs from `start` to `aclose`.

    Args:
        name: no other recorder has it.
        find_tape: where the tape is.
        store: where history is kept.
        clock: tells the broker's clock.
        topics: patterns of what all recorders of the installation record from now on; as it is, unless given.
        retention: how much history is kept.
        lease: seconds after which what another recorder has not acknowledged is taken over.
        on_lost: told how many events more are missing in history, as too many waited.

    Attributes:
        latest: how it was doing when it last looked, every 5 s; None before the first time.


    """

    def __init__(
        self,
        name: str,
        find_tape: Callable[[], Tape],
        store: EventStore,
        clock: Callable[[], Clock],
        *,
        topics: Sequence[str] = (),
        retention: Retention = Retention(),  # noqa: B008 - it cannot be changed
        lease: float = contract.DEFAULT_LEASE_MS / 1000,
        on_lost: Callable[[int], None] = lambda lost: None,
    ) -> None:
        self.store = store
        self._name = name
        self._find_tape = find_tape
        self._clock = clock
        self._asked = tuple(topics)
        self._topics: tuple[str, ...] = EVERYTHING
        self._retention = retention
        self._lease = lease
        self._tasks: list[asyncio.Task[None]] = []
        self._recorded = self._batches = self._refused = 0
        self._trouble = ""
        self._reached = (0, "")
        self._on_lost = on_lost
        self.latest: RecorderFigures | None = None

    async def start(self) -> None:
        """Register, and begin. Idempotent.

        Raises:
            UnavailableError: the broker is away.
            UnsupportedError: nothing can be recorded here.

        """
        if not self._tasks:
            self._topics = await self._find_tape().register(self._asked)
            self.latest = await self.figures()
            jobs = (self._record, self._refresh, self._follow, self._retain)
            self._tasks = [asyncio.get_running_loop().create_task(self._for_ever(job)) for job in jobs]

    async def finish(self, seconds: float = _FINISH_SECONDS) -> None:
        """Write what is on the tape, as far as that goes without trouble, for so long at most."""
        until = self._clock().monotonic() + seconds
        while self._tasks and not self._trouble and self._clock().monotonic() < until:
            try:
                if not (await self._find_tape().figures()).waiting:
                    return
            except TielineError:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def aclose(self) -> None:
        """Stop; what was read and is not written is left to others, or to the next one. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.aclose()

    async def figures(self) -> RecorderFigures:
        """How it is doing.

        Raises:
            UnavailableError: the broker is away.

        """
        told = await self._find_tape().figures()
        lag = 0.0 if told.oldest is None else max(0.0, (self._clock().now() - told.oldest) / 1000)
        counts = (self._recorded, self._batches, self._refused)
        return RecorderFigures(*counts, told.waiting, lag, told.lost, self._trouble)

    # --- from the tape into history -----------------------------------------------------------------------------------

    async def _record(self) -> None:
        await self._insist(lambda: self.store.waiting((0, ""), 1), "written")  # told now, not with the first event
        looked = 0.0
        while True:
            now = self._clock().monotonic()
            taking_over = now - looked >= self._lease / 2
            looked = now if taking_over else looked
            idle = self._lease if taking_over else 0.0
            entries = await self._find_tape().read(self._name, wait=_WAIT_SECONDS, idle=idle)
            if entries:
                await self._write(entries)
                ids = list(dict.fromkeys(entry.id for entry in entries))
                await self._insist(lambda ids=ids: self._find_tape().acknowledge(ids), "acknowledged")

    async def _write(self, entries: Sequence[TapeEntry]) -> None:
        rows = rows_of(entries, self._topics, self._clock().now())
        if rows:
            await self._insist(lambda: self._put(rows), "written")
            self._trouble = ""

    async def _put(self, rows: Sequence[RecordedEvent]) -> None:
        """Write rows; what the database refuses is left out alone."""
        try:
            await self.store.write(rows)
        except InvalidPayloadError as error:
            if len(rows) == 1:
                self._refused += 1
                log.error("the event %s of %r is missing in history: %s", rows[0].id, rows[0].type, error)
                return
            half = len(rows) // 2
            await self._put(rows[:half])
            await self._put(rows[half:])
            return
        self._recorded += len(rows)
        self._batches += 1

    async def _insist(self, work: Callable[[], Awaitable[T]], what: str) -> T:
        """Do it until it is done; say once that it cannot be, and once that it can."""
        pause = _LEAST_PAUSE
        while True:
            try:
                done = await work()
            except TielineError as error:
                if not self._trouble:
                    log.warning("nothing can be %s, and events wait on the tape: %s", what, error)
                self._trouble = str(error)
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter is no secret
                pause = min(_MOST_PAUSE, pause * 2)
            else:
                if self._trouble:
                    log.warning("events are %s again", what)
                    self._trouble = ""
                return done

    async def _refresh(self) -> None:
        while True:
            await self._clock().sleep(_REFRESH_SECONDS)
            self._topics = await self._find_tape().register()
            await self.look()

    async def look(self) -> None:
        """See how it is doing, and tell of what is missing in history since the last look."""
        before, self.latest = self.latest, await self.figures()
        more = self.latest.lost - (before.lost if before is not None else 0)
        if more > 0:
            log.warning("%d events are missing in history: more of them waited than the broker keeps", more)
            self._on_lost(more)

    # --- what becomes of stored events --------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            await self._clock().sleep(_FOLLOW_SECONDS)
            await self.follow()

    async def follow(self) -> int:
        """Note which stored events every group has handled, up to 10,000 at a time; returns how many."""
        finished = 0
        for _ in range(_MOST_PAGES):
            waiting = await self.store.waiting(self._reached, _PAGE)
            if not waiting:
                self._reached = (0, "")
                break
            self._reached = waiting[-1][:2]
            finished += await self._finish(waiting)
        return finished

    async def _finish(self, waiting: Sequence[Waiting]) -> int:
        there = await self._find_tape().there([(each.stream, each.entry) for each in waiting])
        gone = [each for each, is_there in zip(waiting, there, strict=True) if not is_there]
        return await self.store.finish(gone) if gone else 0

    async def _retain(self) -> None:
        while any(self._retention):
            while await self.store.trim(self._retention, self._clock().now()):
                await asyncio.sleep(0)
            await self._clock().sleep(_RETAIN_SECONDS)

    async def _for_ever(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The broker or the database may be away; it goes on when they are back."""
        while True:
            try:
                await job()
            except UnavailableError as error:
                log.info("the recorder waits: %s", error)
            except TielineError as error:
                log.warning("the recorder waits: %s", error)
            except Exception:  # one bug shall not end history
                log.exception("the recorder failed, and goes on")
            else:
                return
            await asyncio.sleep(random.uniform(_LEAST_PAUSE, 1.0))  # noqa: S311 - jitter is no secret
