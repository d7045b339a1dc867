"""The scheduler of an instance: fires what is due, and sleeps until then. Rules: SPEC.md, section 15.

Nothing polls: it looks when the next event is due, when it is told of an earlier one, and when the link is back; what
is far off it looks at again when most of the time has passed, for clocks part, and the broker's may be set. Of several
schedulers one has the role, for as long as it is heard of; the others look when its lease ends.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from typing import Protocol

from tieline._contract import contract
from tieline.clock import Clock, Timer
from tieline.errors import TielineError, UnavailableError
from tieline.schedules.agenda import Agenda, Fired

log = logging.getLogger("tieline")

_PAUSE_SECONDS = 1.0
_ROLE_SECONDS = contract.DEFAULT_ROLE_MS / 1000
_NEAR_SECONDS = 60.0
_FAREST_SECONDS = 3_600.0


class House(Protocol):
    """Where the agenda is."""

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    def fired(self, fired: Fired) -> None:
        """Events went out, or were given up; ticks and calls are to be seen to."""
        ...


class Scheduler:
    """Looks for what is due on one agenda, as one instance."""

    def __init__(self, house: House, agenda: Agenda, instance: str) -> None:
        self._house = house
        self._agenda = agenda
        self._instance = instance
        self._next = math.inf  # of the local monotonic clock
        self._heard = math.inf  # the earliest moment that was told since the last look began
        self._timer: Timer | None = None
        self._awake = asyncio.Event()
        self._troubled = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look now, and then whenever there is a reason to."""
        self._agenda.listen(self._told)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def look(self) -> None:
        """Look now: what was told meanwhile may have been missed."""
        self._awake.set()

    async def stop(self) -> None:
        """Leave it to others. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        self._set_timer(math.inf)
        with suppress(TielineError):
            await self._agenda.step_down(self._instance)

    def _told(self, due: int, holder: str) -> None:
        """Something is due earlier than all else. If another one fires it, this one looks later whether that is so."""
        moment = self._house.clock.local(due)
        if holder not in ("", self._instance):
            moment += _ROLE_SECONDS
        self._heard = min(self._heard, moment)
        if moment < self._next:
            self._set_timer(moment)

    async def _run(self) -> None:
        while True:
            self._heard = math.inf
            fired = await self._fire()
            if fired.events or fired.ticks or fired.calls:
                self._house.fired(fired)
            again = math.inf if fired.again is None else self._house.clock.monotonic() + fired.again
            self._set_timer(min(again, self._heard))
            await self._awake.wait()
            self._awake.clear()

    async def _fire(self) -> Fired:
        """One look; if it fails, the next one is when the link is back, or after a pause."""
        try:
            fired = await self._agenda.fire(self._instance)
        except UnavailableError:
            return Fired(_PAUSE_SECONDS, ())
        except Exception as error:  # as of an answer that cannot be read
            if not self._troubled:
                log.error("what is planned cannot be published now, and is tried again every second: %s", error)
            self._troubled = True
            return Fired(_PAUSE_SECONDS, ())
        if self._troubled:
            log.info("what is planned is published again")
        self._troubled = False
        return fired

    def _set_timer(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next = moment
        if moment < math.inf:
            now = self._house.clock.monotonic()
            left = moment - now
            looked = moment if left <= _NEAR_SECONDS else now + min(left * 0.9, _FAREST_SECONDS)
            self._timer = self._house.clock.call_at(looked, self._awake.set)
