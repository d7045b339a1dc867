"""What a scheduler does about cron tasks: turns ticks into events and calls, once. Rules: SPEC.md, section 16."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from tieline import codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.schedule_pb2 import CronRun
from tieline.clock import Clock
from tieline.cron.events import call_ended, ended, executed
from tieline.cron.roster import Kept, Tick, Turn
from tieline.cron.task import CronCall, CronTask, Due, decode_task, due
from tieline.envelope import EVENT, REQUEST, error_to_wire
from tieline.errors import TielineError, UnavailableError
from tieline.schedules.agenda import Agenda, Fired, Firing, Planned, ScheduleStatus, Way

log = logging.getLogger("tieline")

_MOST_CALLS = 1_000
_TURN_BYTES = contract.LIMIT_CLAIM_BYTES
_ROOM_EACH = 512

Tell = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Publishes an event of the system: topic, payload."""


class Call(Protocol):
    """Makes a call; see `EventSystem.publish_and_wait`."""

    def __call__(
        self, topic: str, data: Any, headers: Mapping[str, str], ttl: float, content_type: str, key: str
    ) -> Awaitable[Any]:
        """Call with an idempotency key, which is also the chain's name up to its second colon."""
        ...


class House(Protocol):
    """Where the agenda is."""

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    @property
    def agenda(self) -> Agenda:
        """What is planned."""
        ...

    @property
    def call_ttl(self) -> int:
        """How long a call waits that says nothing of it (ms)."""
        ...

    @property
    def closed(self) -> bool:
        """Whether it is closed, or closing."""
        ...

    def look(self) -> None:
        """Have the scheduler look at the agenda now."""
        ...

    def spawn(self, coroutine: Any) -> None:
        """Run something in the background."""
        ...


class CronRunner:
    """Sees to the ticks and calls that one instance's scheduler was handed."""

    def __init__(self, house: House, call: Call, tell: Tell) -> None:
        self._house = house
        self._call = call
        self._tell = tell
        self._busy: set[str] = set()

    def take(self, fired: Fired) -> None:
        """See to what a look at the agenda brought. What is under way here is passed over."""
        for name, at in fired.ticks:
            if name not in self._busy:
                self._begin(name, self._tick(name, at))
        for call in fired.calls:
            if call not in self._busy and len(self._busy) < _MOST_CALLS:
                self._begin(call, self._make_call(call))
        for firing in fired.events:
            if ":" in firing.id:
                self._house.spawn(self._say_ended(firing))

    def _begin(self, name: str, work: Awaitable[None]) -> None:
        self._busy.add(name)
        self._house.spawn(self._guard(name, work))

    async def _guard(self, name: str, work: Awaitable[None]) -> None:
        """What fails is handed out again when its lease ends, here or elsewhere."""
        try:
            await work
        except UnavailableError:
            pass
        except TielineError as error:
            log.error("cron task %s: %s", name, error)
        finally:
            self._busy.discard(name)

    # --- ticks --------------------------------------------------------------------------------------------------------

    async def _tick(self, name: str, at: int) -> None:
        kept = await self._house.agenda.roster.find(name)
        if kept is None or kept.expected is None:
            return
        task = decode_task(kept.task)
        now = max(self._house.clock.now(), at)
        found = _bounded(len(kept.task), due(task, kept.expected, now))
        if found.missed is not None:
            since = datetime.fromtimestamp(found.missed / 1000, UTC)
            log.warning("cron task %s: ticks since %s were missed: %s", name, since, task.misfire.value)
        if await self._house.agenda.roster.turn(name, turn_of(task, kept, found, now, self._house.call_ttl)):
            self._busy.discard(name)  # its next tick may be due before all is told
            self._house.look()
            for tick in found.ticks:
                await self._tell(*executed(task, tick))

    async def _say_ended(self, firing: Firing) -> None:
        """An event of a tick went out, or could not be stored."""
        name, _, tick = firing.id.rpartition(":")
        if firing.status is not ScheduleStatus.CANCELLED:
            await self._tell(*ended(name, int(tick), firing.status))

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _make_call(self, id: str) -> None:
        planned = await self._house.agenda.find(id)
        if planned is None or planned.status is not ScheduleStatus.PENDING:
            return
        request = Envelope.FromString(planned.envelope)
        run = CronRun(tick=int(id.rpartition(":")[2]), started=self._house.clock.now(), attempts=planned.tries + 1)
        error = await self._answered(planned, request, run)
        if isinstance(error, UnavailableError) and self._house.closed:
            return  # not the call failed, this instance leaves: who has it next joins the run
        run.ended, run.status = self._house.clock.now(), "failed" if error else "completed"
        if error is not None:
            run.error.CopyFrom(error_to_wire(error))
        await self._end_call(planned, run, error)

    async def _answered(self, planned: Planned, request: Envelope, run: CronRun) -> TielineError | None:
        begun_anew = f":{request.scheduled}" if request.scheduled != run.tick else ""
        key = f"{planned.id}:{planned.tries}{begun_anew}" if planned.tries or begun_anew else planned.id
        data = codec.decode(request.data, request.content_type)
        try:
            seconds = request.ttl_ms / 1000
            reply = await self._call(request.topic, data, dict(request.headers), seconds, request.content_type, key)
        except TielineError as error:
            return error
        encoded, run.content_type = codec.encode_reply(reply, request.content_type)
        run.omitted = len(encoded) > contract.LIMIT_CRON_REPLY_BYTES
        run.reply = b"" if run.omitted else encoded
        return None

    async def _end_call(self, planned: Planned, run: CronRun, error: TielineError | None) -> None:
        name, _, tick = planned.id.rpartition(":")
        why = f"{error.code}: {error.message}"[:1000] if error else ""
        serialized = run.SerializeToString()
        status = await self._house.agenda.roster.end_call(planned.id, name, planned.tries, why, int(tick), serialized)
        self._house.look()
        if status in (ScheduleStatus.DELIVERED, ScheduleStatus.FAILED):
            await self._tell(*call_ended(name, int(tick), run, error))


def turn_of(task: CronTask, kept: Kept, found: Due, now: int, call_ttl: int) -> Turn:
    """The step that fires what is due of a task."""
    last = found.ticks[-1] if found.ticks else None
    return Turn(
        version=kept.version,
        expected=kept.expected,
        following=found.next,
        fire_at=0 if found.next is None else task.fire_time(found.next),
        ran=last,
        run=b"" if last is None else begun(task, last, now).SerializeToString(),
        ticks=[tick_of(task, tick, now, call_ttl) for tick in found.ticks],
    )


def begun(task: CronTask, tick: int, now: int) -> CronRun:
    """What is to be known of a run that begins: an event's is over with that."""
    if isinstance(task.action, CronCall):
        return CronRun(tick=tick, started=now, status="executed")
    return CronRun(tick=tick, started=now, ended=now, status="completed", attempts=1)


def besides(task: CronTask, kept: Kept, now: int) -> int:
    """The moment that a run besides the ticks stands for: now, or the first one that no run had and no tick has."""
    last = CronRun.FromString(kept.run).tick if kept.run else 0
    moment = max(now, last + 1)
    return moment + (task.tick_after(moment - 1) == moment)


def tick_of(task: CronTask, tick: int, now: int, call_ttl: int) -> Tick:
    """What a tick of a task does."""
    action, name = task.action, task.tick_id(tick)
    ttl = action.ttl or (call_ttl if isinstance(action, CronCall) else 0)
    envelope = Envelope(
        id=name,
        kind=REQUEST if isinstance(action, CronCall) else EVENT,  # pyright: ignore[reportArgumentType]
        topic=action.topic,
        source=task.source,
        time=now,
        ttl_ms=ttl,
        expires_at=now + ttl if ttl and not isinstance(action, CronCall) else 0,
        headers=dict(action.headers),
        content_type=action.content_type,
        data=action.data,
        scheduled=tick,
    )
    way, key, priority = Way.CALL, "", contract.PRIORITY_NORMAL
    if not isinstance(action, CronCall):
        envelope.key, key = action.key, action.key
        envelope.priority = priority = action.priority or contract.PRIORITY_NORMAL
        way = Way.KEY if key else Way.LANE if action.durable else Way.LIVE
    lease = ttl + contract.DEFAULT_ROLE_MS if way is Way.CALL else 0
    numbers = (min(tick, now), priority, envelope.expires_at, task.retries + 1, task.retry_delay, lease)
    return Tick(name, action.topic, way, key, *numbers, envelope.SerializeToString())


def _bounded(size: int, found: Due) -> Due:
    """No more ticks of a task of this size (bytes) than one message holds; the rest is due at once."""
    most = max(1, _TURN_BYTES // (size + _ROOM_EACH))
    ticks: Sequence[int] = found.ticks
    return found if len(ticks) <= most else Due(ticks[:most], ticks[most], found.missed)
