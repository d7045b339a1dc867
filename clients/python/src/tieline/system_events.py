"""What an instance says of itself: `system.startup`, `shutdown`, `error`, `warning`. Rules: SPEC.md, section 13.

They are told at their best: never waited for, never a reason for anything else to fail, and nothing that concerns a
topic of the system itself is told, so that they cannot feed themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import UTC, datetime
from typing import Any, Protocol

from tieline._contract.contract import (
    DEFAULT_SYSTEM_EVENT_MS,
    SYSTEM_ERROR,
    SYSTEM_SHUTDOWN,
    SYSTEM_STARTUP,
    SYSTEM_WARNING,
    TOPICS_APART,
)
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.system_events import (
    DeadLetterErrorPayload,
    DeliveryStoppedWarningPayload,
    GapWarningPayload,
    HandlerErrorPayload,
    LoopBlockedWarningPayload,
    OverloadWarningPayload,
    ParkedErrorPayload,
    ShutdownPayload,
    SkippedErrorPayload,
    SlowConsumerWarningPayload,
    StartupPayload,
    SystemErrorPayload,
    SystemWarningPayload,
)
from tieline.clock import Clock, Timer
from tieline.context import CURRENT, Event
from tieline.errors import ExpiredError, NoRespondersError, PermissionDeniedError, TielineError
from tieline.observe import StepName
from tieline.subscription import Subscription
from tieline.transport import Gap, Port
from tieline.version import CLIENT

__all__ = [
    "SYSTEM_ERROR",
    "SYSTEM_SHUTDOWN",
    "SYSTEM_STARTUP",
    "SYSTEM_WARNING",
    "DeadLetterErrorPayload",
    "DeliveryStoppedWarningPayload",
    "GapWarningPayload",
    "HandlerErrorPayload",
    "LoopBlockedWarningPayload",
    "OverloadWarningPayload",
    "ParkedErrorPayload",
    "ShutdownPayload",
    "SkippedErrorPayload",
    "SlowConsumerWarningPayload",
    "StartupPayload",
    "SystemErrorPayload",
    "SystemEvents",
    "SystemWarningPayload",
]

log = logging.getLogger("tieline")

_PAUSE = DEFAULT_SYSTEM_EVENT_MS / 1000
_MOST_KINDS = 1_000
_MOST_TEXT = 1_000
_ENDS = {
    StepName.RETRIED: "handler",
    StepName.PARKED: "parked",
    StepName.DEAD_LETTER: "dead_letter",
    StepName.DROPPED: "skipped",
}

Publish = Callable[[str, dict[str, Any]], Awaitable[Any]]


class House(Protocol):
    """Whose events they are."""

    service: str
    port: Port | None
    clock: Clock

    def spawn(self, coroutine: Any, context: Context | None = None) -> None:
        """Run something in the background."""


class _Told:
    """A kind of event about one topic: when the next one may be told, and what waits for that."""

    __slots__ = ("latest", "left_out", "timer", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.left_out = 0
        self.latest: tuple[dict[str, Any], Envelope | None] | None = None
        self.timer: Timer | None = None


class SystemEvents:
    """Publishes the system events of one instance.

    Args:
        house: the instance.
        publish: publishes on a topic of the system; None: nothing is published, and what it would say is in the log.

    """

    def __init__(self, house: House, publish: Publish | None) -> None:
        self._house = house
        self._publish = publish
        self._told: dict[tuple[str, str], _Told] = {}
        self._in_handlers = 0
        self._handled_at = float("-inf")
        self._refused = False

    # --- life -----------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """The instance has its place."""
        self._refused = False
        self._say(SYSTEM_STARTUP, {"client": CLIENT})

    def stopping(self, reason: str, under_way: int) -> None:
        """The instance begins to close; nothing that waits to be told is told any more."""
        self.forget()
        self._say(SYSTEM_SHUTDOWN, {"reason": reason, "under_way": under_way})

    def forget(self) -> None:
        """What waits to be told is not told any more."""
        for told in self._told.values():
            if told.timer is not None:
                told.timer.cancel()
        self._told.clear()

    # --- errors ---------------------------------------------------------------------------------------------------

    def failed(self, subscription: Subscription, event: Envelope, error: TielineError) -> None:
        """The handler of a live event raised, or the event does not fit it."""
        if self._publish is not None and not isinstance(error, (NoRespondersError, ExpiredError)):
            self._limited(SYSTEM_ERROR, "handler", event.topic, _failure(subscription.name, event, error), event)

    def durable_failed(
        self,
        subscription: Subscription,
        event: Envelope,
        error: TielineError,
        attempt: int,
        end: StepName,
        detail: dict[str, Any],
    ) -> None:
        """A durable event was not handled; `end` and `detail` tell what becomes of it."""
        deliberate = end is StepName.RETRIED and error.type == "Nacked"
        if self._publish is None or deliberate:
            return
        group = subscription.durability.group if subscription.durability is not None else ""
        payload = {**_failure(subscription.name, event, error), "group": group, "attempt": attempt}
        if event.key:
            payload["key"] = event.key
        if end is StepName.DEAD_LETTER:
            payload["reason"] = detail["reason"]
        self._limited(SYSTEM_ERROR, _ENDS[end], event.topic, payload, event)

    # --- warnings -------------------------------------------------------------------------------------------------

    def slow_consumer(self, subscription: Subscription, event: Envelope) -> None:
        """An event found the queue full, and another one gave way."""
        payload = {"topic": event.topic, "subscription": subscription.name, "dropped": subscription.mailbox.dropped}
        self._limited(SYSTEM_WARNING, "slow_consumer", event.topic, payload, event)

    def overload(self, request: Envelope) -> None:
        """A request found no room here."""
        self._limited(SYSTEM_WARNING, "overload", request.topic, {"topic": request.topic}, request)

    def gap(self, gap: Gap) -> None:
        """The broker was away."""
        since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in gap[:2])
        self._limited(SYSTEM_WARNING, "gap", "", {"since": since, "until": until, "reason": _shown(gap.reason)})

    def history_lost(self, lost: int) -> None:
        """So many events more are missing in history."""
        self._limited(SYSTEM_WARNING, "history_lost", "", {"lost": lost})

    def loop_blocked(self, seconds: float) -> None:
        """The loop stood still; not told if a handler of system events may have done that."""
        if not self._in_handlers and self._house.clock.monotonic() - self._handled_at > seconds + _PAUSE:
            self._limited(SYSTEM_WARNING, "loop_blocked", "", {"seconds": seconds})

    def watch(self, subscription: Subscription) -> None:
        """Have the handler of a system event noticed when it runs."""
        if subscription.topic.startswith(TOPICS_APART):
            invoke = subscription.handler.invoke

            async def noticed(data: Any, event: Event) -> Any:
                self._in_handlers += 1
                try:
                    return await invoke(data, event)
                finally:
                    self._in_handlers -= 1
                    self._handled_at = self._house.clock.monotonic()

            subscription.handler = subscription.handler._replace(invoke=noticed)

    # --- publishing -----------------------------------------------------------------------------------------------

    def _limited(
        self, topic: str, kind: str, about: str, payload: dict[str, Any], cause: Envelope | None = None
    ) -> None:
        """Tell it now; or what came last, with how many were left out, when the pause is over."""
        if self._publish is None or about.startswith(TOPICS_APART):
            return
        now = self._house.clock.monotonic()
        told = self._told.get((kind, about)) or self._new(kind, about, now)
        if told is None:
            return
        if told.timer is None and now >= told.until:
            told.until = now + _PAUSE
            self._say(topic, {"kind": kind, **payload, "left_out": 0}, cause)
            return
        told.left_out += 1
        told.latest = ({"kind": kind, **payload}, cause)
        if told.timer is None:
            told.timer = self._house.clock.call_later(max(0.0, told.until - now), lambda: self._catch_up(topic, told))

    def _catch_up(self, topic: str, told: _Told) -> None:
        told.timer = None
        assert told.latest is not None
        payload, cause = told.latest
        told.latest, left_out, told.left_out = None, told.left_out - 1, 0
        told.until = self._house.clock.monotonic() + _PAUSE
        self._say(topic, {**payload, "left_out": left_out}, cause)

    def _new(self, kind: str, about: str, now: float) -> _Told | None:
        if len(self._told) >= _MOST_KINDS:
            kept = {name: told for name, told in self._told.items() if told.timer is not None or told.until > now}
            self._told = kept
        if len(self._told) >= _MOST_KINDS:
            return None
        told = self._told[kind, about] = _Told()
        return told

    def _say(self, topic: str, payload: dict[str, Any], cause: Envelope | None = None) -> None:
        house = self._house
        if self._publish is None or self._refused or house.port is None or not house.port.connected:
            return
        context = Context()
        if cause is not None:  # so hops end what a handler of system events may cause
            context.run(CURRENT.set, Event(cause, house.clock))
        whose = {"service": house.service, "instance": house.port.instance}
        house.spawn(self._send(self._publish, topic, {**payload, **whose}), context)

    async def _send(self, publish: Publish, topic: str, payload: dict[str, Any]) -> None:
        try:
            await publish(topic, payload)
        except PermissionDeniedError as error:
            self._refused = True
            log.info("the broker does not let this instance publish system events: %s", error)
        except TielineError as error:
            log.debug("%s was not published: %s", topic, error)


def _failure(subscription: str, event: Envelope, error: TielineError) -> dict[str, Any]:
    return {
        "topic": event.topic,
        "id": event.id,
        "subscription": subscription,
        "code": error.code,
        "type": _shown(error.type),
        "message": _shown(error.message),
    }


def _shown(text: str) -> str:
    """Its beginning, as it can travel: half of a surrogate pair cannot."""
    return text[:_MOST_TEXT].encode("utf-8", "replace").decode()
