"""Events that are published at a time: composed now, kept by the broker until they are due (SPEC.md, section 15)."""

from __future__ import annotations

import logging
import math
from asyncio import get_running_loop
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.durable.retry_policy import RetryPolicy
from tieline.envelope import EVENT, new_id
from tieline.errors import InvalidArgumentError
from tieline.instance import Instance
from tieline.outgoing import check_wait, compose, ttl_ms
from tieline.publisher import Durable, Receipt, check_durable
from tieline.schedules.agenda import Plan, Way

log = logging.getLogger("tieline")

_LONGEST_SECONDS = contract.LIMIT_PLAN_LONGEST_MS / 1000
DEFAULT_RETRY = RetryPolicy(
    max_attempts=contract.DEFAULT_PLAN_ATTEMPTS,
    backoff=contract.DEFAULT_PLAN_BACKOFF_MS / 1000,
    cap=contract.DEFAULT_PLAN_BACKOFF_CAP_MS / 1000,
    jitter=False,
)
"""How often a planned event that is to be stored is tried if it finds no room."""


class When(NamedTuple):
    """When an event is to be published: seconds from now, or a moment; exactly one of them."""

    delay: float | None
    at: datetime | None

    def due(self, now: int) -> int:
        """The moment (ms since 1970, broker clock), which may have passed.

        Raises:
            InvalidArgumentError: it is none, or too far ahead.

        """
        if self.delay is not None and self.at is not None:
            raise InvalidArgumentError("delay= and at= are two ways to say when: give one of them")
        if self.delay is None and self.at is None:
            raise InvalidArgumentError("say when: delay= or at=")
        if self.at is None:
            return now + math.ceil(_checked_delay(self.delay) * 1000)
        if not isinstance(self.at, datetime) or self.at.tzinfo is None:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"at is a datetime with a time zone, as datetime.now(UTC), not {self.at!r:.80}")
        due = -((datetime(1970, 1, 1, tzinfo=UTC) - self.at) // timedelta(milliseconds=1))
        if due - now > contract.LIMIT_PLAN_LONGEST_MS:
            raise InvalidArgumentError(f"{self.at.isoformat()} is more than ten years ahead")
        return due


def _checked_delay(delay: Any) -> float:
    number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
    if not (number and 0 <= delay <= _LONGEST_SECONDS):  # not so for NaN
        raise InvalidArgumentError(
            f"delay is in seconds, from 0 to {_LONGEST_SECONDS:.0f} (ten years), not {delay!r:.80}"
        )
    return delay


class Planner:
    """Plans events for one instance, without middleware."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def plan(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        when: When,
        durable: Durable,
        way: Way,
        retry: RetryPolicy | None,
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_for_connection: float = 0.0,
    ) -> Receipt:
        """See `EventSystem.publish`: with `delay` or `at`."""
        instance = self._instance
        check_durable(durable)
        policy = check_retry(retry, way)
        when.due(instance.clock.now())  # what cannot be meant is told before anything starts
        if wait_for_connection:
            check_wait(wait_for_connection, "wait_for_connection")
        if instance.port is None or get_running_loop() is not instance.loop:
            await instance.start()
        rest = (content_type, schema_version, correlation_id)
        event = compose(EVENT, topic, data, 0, instance, headers, *rest)
        event.id, event.priority = new_id(), durable.priority
        if durable.key is not None:
            event.key = durable.key
        now = instance.clock.now()
        asked = when.due(now)
        due = max(asked, now)
        put_off(event, due, 0 if ttl is None else ttl_ms(ttl, 0))
        port = instance.port
        assert port is not None
        if not port.connected:
            await instance.link.wait(event, wait_for_connection)
        began = instance.trail.monotonic()
        await port.agenda.plan(plan_of(event, way, due, durable, policy))
        if instance.trail.room:
            instance.trail.planned(event, due, began)
        instance.tally.count("schedules_planned")
        if asked < now:
            log.warning("%r was to be published %.1f s ago: it is published now", topic, (now - asked) / 1000)
        moment = datetime.fromtimestamp(due / 1000, UTC)
        return Receipt(event.id, event.correlation_id or event.id, due=moment, overdue=asked < now)


def way_of(durable: bool, planned: Durable) -> Way:
    """How a planned event is to go out.

    Raises:
        InvalidArgumentError: what is said makes no sense together.

    """
    if not isinstance(durable, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"durable is True or False, not {durable!r:.80}")
    if planned.key is not None:
        return Way.KEY
    if not durable and (planned.dedupe is not None or planned.most):
        raise InvalidArgumentError("dedupe= and max_stored= are for what is stored: add key= or durable=True")
    return Way.LANE if durable else Way.LIVE


def put_off(event: Envelope, due: int, ttl: int) -> None:
    """Have an event be one of the moment at which it is published (ms since 1970); its TTL (ms) begins then."""
    event.time = event.scheduled = due
    event.ttl_ms = ttl
    event.expires_at = due + ttl if ttl else 0


def plan_of(event: Envelope, way: Way, due: int, durable: Durable, retry: RetryPolicy) -> Plan:
    """A composed event, ready to be planned."""
    known_as = durable.dedupe or ""
    return Plan(
        id=event.id,
        topic=event.topic,
        way=way,
        key=event.key,
        due=due,
        priority=durable.priority,
        expires=event.expires_at,
        attempts=retry.max_attempts,
        backoff=int(retry.backoff * 1000),
        cap=int(retry.cap * 1000),
        known_as=known_as,
        window=contract.DEFAULT_DEDUPE_MS if known_as else 0,
        most=durable.most,
        envelope=event.SerializeToString(),
    )


def check_retry(retry: RetryPolicy | None, way: Way) -> RetryPolicy:
    """The policy that was given, or the default.

    Raises:
        InvalidArgumentError: it is none, or the event is not to be stored.

    """
    if retry is None:
        return DEFAULT_RETRY
    if not isinstance(retry, RetryPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"retry of a planned event is a RetryPolicy, not {retry!r:.80}")
    if way is Way.LIVE:
        raise InvalidArgumentError(
            "retry= is for a planned event that is to be stored, and may find no room: add key= or durable=True"
        )
    return retry
