"""What may be said of a cron task, and the task that is meant. Rules: SPEC.md, section 16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.cron.task import CronCall, CronEvent, CronTask, Misfire
from tieline.envelope import EVENT
from tieline.errors import InvalidArgumentError
from tieline.outgoing import Origin, compose, ttl_ms
from tieline.publisher import Durable, check_durable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CronOptions(TypedDict, total=False):
    """What may be said of a cron task. Durations are seconds, moments a `datetime` with a time zone.

    Attributes:
        zone: time zone of the fields, as "Europe/Berlin"; UTC unless given.
        jitter: a tick is late on purpose by up to this, always by the same; 0 unless given.
        start: no tick comes before, and intervals are counted from here; None: from now on.
        end: no tick comes after; None: they go on.
        misfire: what becomes of ticks that were missed because nobody ran: "fire_once" (unless given), "skip" or
            "catch_up".
        grace: a tick that is later than this, and the jitter, was missed; 60 unless given.
        paused: no tick comes until `resume`.
        call: make a call at each tick, and record its reply.
        key: store the events, in the order of this key.
        durable: store the events.
        priority: of events that are stored without key: 1, 5 (unless given), 8 or 10.
        ttl: until an event is no longer worth handling, or for which a reply is waited for.
        headers: text by name.
        content_type: media type of the payload; MessagePack unless given.
        retries: further tries of a call that failed, or to store an event that found no room; 3 unless given.
        retry_delay: between them; 300 unless given.

    """

    zone: str
    jitter: float
    start: datetime | None
    end: datetime | None
    misfire: Misfire | str
    grace: float
    paused: bool
    call: bool
    key: str | None
    durable: bool
    priority: int
    ttl: float | None
    headers: Mapping[str, str]
    content_type: str
    retries: int
    retry_delay: float


class CronChanges(CronOptions, total=False):
    """What may be changed of a cron task: all that may be said of one, and what it is about.

    Attributes:
        expression: when it recurs.
        topic: of its events or calls.
        data: their payload.

    """

    expression: str
    topic: str
    data: Any


_ACTION = frozenset({"topic", "data", "call", "key", "durable", "priority", "ttl", "headers", "content_type"})
_KNOWN = frozenset(CronChanges.__annotations__) | frozenset(CronOptions.__annotations__)
_ONLY_EVENTS = ("key", "durable", "priority")
_LONGEST_MS = {
    "jitter": contract.LIMIT_CRON_JITTER_MS,
    "grace": contract.LIMIT_CRON_INTERVAL_MS,
    "retry_delay": contract.LIMIT_CRON_INTERVAL_MS,
}


def changed_task(task: CronTask, given: Mapping[str, Any], origin: Origin, now: int) -> CronTask:
    """The task with what was said of it.

    Raises:
        InvalidArgumentError: an option is not known, or makes no sense; the times are looked at by `check_task`.
        InvalidTopicError, InvalidPayloadError, PayloadTooLargeError: what its events or calls would be is wrong.

    """
    strange = sorted(given.keys() - _KNOWN)
    if strange:
        raise InvalidArgumentError(
            f"a cron task does not know {', '.join(strange)}; it knows {', '.join(sorted(_KNOWN))}"
        )
    values: dict[str, Any] = {name: given[name] for name in ("expression", "zone", "retries") if name in given}
    for name, most in _LONGEST_MS.items():
        if name in given:
            values[name] = _milliseconds(name, given[name], most)
    for name in ("start", "end"):
        if name in given:
            values[name] = _moment(name, given[name])
    if "paused" in given:
        values["paused"] = _flag("paused", given["paused"])
    if "misfire" in given:
        values["misfire"] = _misfire(given["misfire"])
    if given.keys() & _ACTION:
        values["action"] = _action(task.action, given, origin)
    changed = replace(task, **values, updated=now)
    if not changed.start and changed.cron.every is not None:
        changed = replace(changed, start=now)
    return changed


def _action(was: CronEvent | CronCall, given: Mapping[str, Any], origin: Origin) -> CronEvent | CronCall:
    if "content_type" in given and "data" not in given:
        raise InvalidArgumentError("content_type= is that of data=: give both")
    call = _flag("call", given.get("call", isinstance(was, CronCall)))
    content_type = given.get("content_type", "") if "data" in given else was.content_type
    headers = given.get("headers", was.headers) or {}
    topic, data = given.get("topic", was.topic), given.get("data")
    event = compose(EVENT, topic, data, 0, origin, headers, content_type if "data" in given else "")
    ttl = was.ttl if "ttl" not in given else 0 if given["ttl"] is None else ttl_ms(given["ttl"], 0)
    said = _Said(event, event.data if "data" in given else was.data, content_type, ttl)
    if call:
        return _call(said, given)
    return _event(said, was if isinstance(was, CronEvent) else CronEvent(topic), given)


class _Said:
    """What events and calls have in common."""

    def __init__(self, event: Envelope, data: bytes, content_type: str, ttl: int) -> None:
        self.topic, self.headers = event.topic, {name: event.headers[name] for name in event.headers}
        self.data, self.content_type, self.ttl = data, content_type, ttl


def _call(said: _Said, given: Mapping[str, Any]) -> CronCall:
    strange = [name for name in _ONLY_EVENTS if given.get(name)]
    if strange:
        raise InvalidArgumentError(f"{strange[0]} is for events, and call=True makes calls")
    return CronCall(said.topic, said.data, said.content_type, said.ttl, said.headers)


def _event(said: _Said, was: CronEvent, given: Mapping[str, Any]) -> CronEvent:
    key, priority = given.get("key", was.key or None), given.get("priority", was.priority)
    durable = _flag("durable", given.get("durable", was.durable))
    check_durable(Durable(key, priority or contract.PRIORITY_NORMAL, None, 0))
    if "priority" in given and not durable and key is None:
        raise InvalidArgumentError("priority is for what is stored: add durable=True")
    return CronEvent(said.topic, said.data, said.content_type, key or "", durable, priority, said.ttl, said.headers)


def _misfire(given: object) -> Misfire:
    try:
        return Misfire(given)  # pyright: ignore[reportArgumentType]
    except ValueError:
        raise InvalidArgumentError(
            f"misfire of a cron task is one of {', '.join(Misfire)}, not {given!r:.80}", details={"field": "misfire"}
        ) from None


def _flag(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise InvalidArgumentError(
            f"{name} of a cron task is True or False, not {given!r:.80}", details={"field": name}
        )
    return given


def _milliseconds(name: str, seconds: Any, most: int) -> int:
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 <= seconds * 1000 <= most:  # not so for NaN
        rule = f"is in seconds, from 0 to {most // 1000}"
        raise InvalidArgumentError(f"{name} of a cron task {rule}, not {seconds!r:.80}", details={"field": name})
    return round(seconds * 1000)


def _moment(name: str, given: Any) -> int:
    if given is None:
        return 0
    if not isinstance(given, datetime) or given.tzinfo is None or given < _EPOCH:
        rule = "is a datetime with a time zone, as datetime.now(UTC)"
        raise InvalidArgumentError(f"{name} of a cron task {rule}, not {given!r:.80}", details={"field": name})
    return (given - _EPOCH) // timedelta(milliseconds=1)
