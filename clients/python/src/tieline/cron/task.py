"""A recurring task as a value, and which of its ticks are to be fired (SPEC.md, section 16).

There is no clock in here: all are told the time. All times and durations are milliseconds; moments count from 1970.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tieline._contract import contract, schedule_pb2
from tieline.cron.cron import Cron, parse_cron
from tieline.errors import InvalidArgumentError

_is_name = re.compile(rf"[A-Za-z0-9_\-/.]{{1,{contract.LIMIT_CRON_NAME_BYTES}}}").fullmatch
_LATEST = 253_370_764_800_000


class Misfire(StrEnum):
    """What becomes of ticks that were missed."""

    SKIP = "skip"
    FIRE_ONCE = "fire_once"
    CATCH_UP = "catch_up"


@dataclass(frozen=True, slots=True)
class CronEvent:
    """An event that is published at every tick.

    Attributes:
        topic: a concrete one.
        data: payload, encoded.
        content_type: of the payload; empty for MessagePack.
        key: ordering key of a durable event; empty for none.
        durable: it is stored.
        priority: of a durable event without key; 0 for the usual one.
        ttl: 0 for the usual one.
        headers: of the event.

    """

    topic: str
    data: bytes = b""
    content_type: str = ""
    key: str = ""
    durable: bool = False
    priority: int = 0
    ttl: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class CronCall:
    """A request that is made at every tick.

    Attributes:
        topic: a concrete one.
        data: payload, encoded.
        content_type: of the payload; empty for MessagePack.
        ttl: for how long a reply is waited for; 0 for the usual time.
        headers: of the request.

    """

    topic: str
    data: bytes = b""
    content_type: str = ""
    ttl: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class CronTask:
    """What recurs, when, and what happens then.

    Attributes:
        name: names the task, and with a tick the tick's event.
        expression: five or six fields, "@hourly" and the like, or "every 90m".
        action: what a tick does.
        zone: time zone of the fields.
        jitter: a tick is late on purpose by up to this.
        start: no tick comes before; intervals are counted from here.
        end: no tick comes after; 0 for no end.
        misfire: what becomes of missed ticks.
        grace: a tick that is later than this, and the jitter, was missed.
        paused: no tick comes.
        retries: further tries of a call that failed.
        retry_delay: between tries.
        created: when the task was made.
        updated: when it was changed last.
        source: "service/instance" that made it.

    """

    name: str
    expression: str
    action: CronEvent | CronCall
    zone: str = "UTC"
    jitter: int = 0
    start: int = 0
    end: int = 0
    misfire: Misfire = Misfire.FIRE_ONCE
    grace: int = contract.DEFAULT_CRON_GRACE_MS
    paused: bool = False
    retries: int = contract.DEFAULT_CRON_RETRIES
    retry_delay: int = contract.DEFAULT_CRON_RETRY_MS
    created: int = 0
    updated: int = 0
    source: str = ""

    @property
    def cron(self) -> Cron:
        """When it recurs. Raises InvalidArgumentError if that makes no sense."""
        return parse_cron(self.expression, self.zone)

    def tick_after(self, after: int) -> int | None:
        """Its first tick after a moment; None if there is none, or it is paused."""
        return None if self.paused else _next(self, self.cron, after)

    def tick_id(self, tick: int) -> str:
        """Id of the event of a tick; the idempotency key of its call."""
        return f"{self.name}:{tick}"

    def fire_time(self, tick: int) -> int:
        """When a tick is fired: the same moment whoever asks, up to `jitter` after it."""
        if self.jitter == 0:
            return tick
        digest = hashlib.sha256(self.tick_id(tick).encode()).digest()
        return tick + int.from_bytes(digest[:6]) % (self.jitter + 1)


class Due(NamedTuple):
    """What is to be done about a task now.

    Attributes:
        ticks: to be fired, in this order.
        next: the tick to be looked at next; it may be due already, if there are many. None: the task is over.
        missed: the first tick that is not fired because it was missed; None if none was.

    """

    ticks: Sequence[int]
    next: int | None
    missed: int | None = None


def due(task: CronTask, expected: int, now: int) -> Due:
    """Which ticks of a task are to be fired now, given the one that comes next.

    As long as none is late by more than the grace, all are fired. If some are, `skip` fires the others; `fire_once`
    fires the last tick that is due, for all of them; `catch_up` fires all. At most 1,000 are fired at a time.

    Raises:
        InvalidArgumentError: the task's expression or zone makes no sense here.

    """
    if task.paused:
        return Due([], None)
    cron = task.cron
    missed_before = now - task.jitter - task.grace
    if expected >= missed_before or task.misfire is Misfire.CATCH_UP:
        return _all(task, cron, expected, now)
    if task.misfire is Misfire.SKIP:
        ticks, following, _ = _all(task, cron, _next(task, cron, missed_before - 1), now)
        return Due(ticks, following, expected)
    last = _last(task, cron, expected, now)
    return Due([last], _next(task, cron, last), None if last == expected else expected)


def check_task(task: CronTask) -> None:
    """Refuse what makes no sense of name, times and bounds; the action is not looked at.

    Raises:
        InvalidArgumentError: says which field, also as `details["field"]`.

    """
    if not isinstance(task.name, str) or not _is_name(task.name):  # pyright: ignore[reportUnnecessaryIsInstance]
        rule = f"has 1 to {contract.LIMIT_CRON_NAME_BYTES} of the characters A-Z a-z 0-9 _ - / ."
        raise _wrong("name", f"{rule}, not {task.name!r:.80}")
    _within("jitter", task.jitter, contract.LIMIT_CRON_JITTER_MS)
    _within("grace", task.grace, contract.LIMIT_CRON_INTERVAL_MS)
    _within("start", task.start, _LATEST)
    _within("end", task.end, _LATEST)
    _within("retries", task.retries, contract.LIMIT_CRON_CATCH_UP)
    _within("retry_delay", task.retry_delay, contract.LIMIT_CRON_INTERVAL_MS)
    if not isinstance(task.misfire, Misfire):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _wrong("misfire", f"is one of {', '.join(Misfire)}, not {task.misfire!r:.80}")
    if _next(task, task.cron, 0) is None:
        raise _wrong("end", f"comes before the first tick of {task.expression!r}")


def encode_task(task: CronTask) -> bytes:
    """The task as bytes, the same in every language."""
    message = schedule_pb2.CronTask(
        name=task.name,
        expression=task.expression,
        zone=task.zone,
        jitter_ms=task.jitter,
        start=task.start,
        end=task.end,
        misfire=f"MISFIRE_{task.misfire.upper()}",  # pyright: ignore[reportArgumentType]
        grace_ms=task.grace,
        paused=task.paused,
        retries=task.retries,
        retry_ms=task.retry_delay,
        created=task.created,
        updated=task.updated,
        source=task.source,
    )
    action = task.action
    if isinstance(action, CronEvent):
        message.event.topic, message.event.data, message.event.content_type = _basics(action)
        message.event.key, message.event.durable = action.key, action.durable
        message.event.priority, message.event.ttl_ms = action.priority, action.ttl
        message.event.headers.update(action.headers)
    else:
        message.call.topic, message.call.data, message.call.content_type = _basics(action)
        message.call.ttl_ms = action.ttl
        message.call.headers.update(action.headers)
    return message.SerializeToString(deterministic=True)


def decode_task(serialized: bytes) -> CronTask:
    """The task that `encode_task` made into bytes."""
    message = schedule_pb2.CronTask.FromString(serialized)
    misfire = schedule_pb2.Misfire.Name(message.misfire).removeprefix("MISFIRE_").lower()
    return CronTask(
        name=message.name,
        expression=message.expression,
        action=_action(message),
        zone=message.zone or "UTC",
        jitter=message.jitter_ms,
        start=message.start,
        end=message.end,
        misfire=Misfire.FIRE_ONCE if misfire == "unspecified" else Misfire(misfire),
        grace=message.grace_ms,
        paused=message.paused,
        retries=message.retries,
        retry_delay=message.retry_ms,
        created=message.created,
        updated=message.updated,
        source=message.source,
    )


def _basics(action: CronEvent | CronCall) -> tuple[str, bytes, str]:
    return action.topic, action.data, action.content_type


def _action(message: schedule_pb2.CronTask) -> CronEvent | CronCall:
    if message.WhichOneof("action") == "call":
        call = message.call
        return CronCall(call.topic, call.data, call.content_type, call.ttl_ms, dict(call.headers))
    event = message.event
    how = (event.key, event.durable, event.priority, event.ttl_ms)
    return CronEvent(event.topic, event.data, event.content_type, *how, dict(event.headers))


def _next(task: CronTask, cron: Cron, after: int) -> int | None:
    found = cron.next(after, task.start)
    return None if found is None or (task.end and found > task.end) else found


def _all(task: CronTask, cron: Cron, tick: int | None, now: int) -> Due:
    ticks: list[int] = []
    while tick is not None and task.fire_time(tick) <= now and len(ticks) < contract.LIMIT_CRON_CATCH_UP:
        ticks.append(tick)
        tick = _next(task, cron, tick)
    return Due(ticks, tick)


def _last(task: CronTask, cron: Cron, expected: int, now: int) -> int:
    """The last tick that is due; the expected one is."""
    before = min(now, task.end or now) + 1
    while (found := cron.last(expected, before, task.start)) > expected and task.fire_time(found) > now:
        before = found
    return found


def _within(name: str, value: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _wrong(name, f"is a whole number from 0 to {most}, not {value!r:.80}")


def _wrong(field: str, fault: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{field} of a cron task {fault}", details={"field": field})
