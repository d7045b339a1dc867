"""What the port of an instance reports: what has come, and that the broker is away, or back."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import CANCEL, CREDIT
from tieline.observe import Observer, Step, StepName
from tieline.transport import Gap, Interest, Route

if TYPE_CHECKING:
    from tieline.instance import Instance

log = logging.getLogger("tieline")


class Reception:
    """The `Receiver` of an instance's port: hands on what has come to the part it is for."""

    def __init__(self, instance: Instance, observer: Observer | None) -> None:
        self._instance = instance
        self._observer = observer
        self._away_since = 0.0

    def hand_on(self) -> None:
        """Begin anew with the instance's present parts; requests, events and news of calls go to them directly."""
        responder, caller = self._instance.responder, self._instance.caller
        self.on_request = responder.request
        self.on_event = responder.event
        self.on_dispatched = caller.dispatched
        self.on_joined = caller.joined

    def on_answer(self, envelope: Envelope) -> None:
        """See `Receiver`."""
        kind = envelope.kind
        if kind == CANCEL:
            self._instance.responder.cancel(envelope.call_id)
        elif kind == CREDIT:
            self._instance.responder.credited(envelope)
        else:
            self._instance.caller.answered(envelope)

    def under_way(self) -> set[bytes]:
        """See `Receiver`."""
        return self._instance.caller.under_way() | self._instance.responder.under_way()

    def on_left(self, calls: set[bytes]) -> None:
        """See `Receiver`."""
        self._instance.caller.link_left(calls)

    def on_mail(self, topic: str, group: str) -> None:
        """See `Receiver`."""
        for subscription in self._instance.router.takers(Interest(Route.MAIL, topic, group)):
            if subscription.consumer is not None:
                subscription.consumer.wake()

    def on_connected(self, gap: Gap | None) -> None:
        """See `Receiver`."""
        instance = self._instance
        was_away = not instance.link.is_up
        instance.link.up()
        for subscription in instance.router:
            if subscription.consumer is not None:
                subscription.consumer.wake()
        instance.look()
        if instance.port is not None:
            instance.take_place(instance.port)  # a new Link is a new instance
        if gap is not None:
            instance.tally.count("gaps")
            if was_away:
                log.warning("the broker is back after %.1f s", instance.clock.monotonic() - self._away_since)
            instance.caller.link_up()
            if instance.outbox is not None:
                instance.outbox.link_up()
            if instance.port is not None:
                self._tell_gap(gap)

    def on_disconnected(self, reason: str) -> None:
        """See `Receiver`."""
        instance = self._instance
        log.warning("the broker is away: %s", reason)
        instance.tally.count("disconnects")
        if instance.link.is_up:  # a gateway may lose its broker first and be lost then
            self._away_since = instance.clock.monotonic()
        instance.link.down()
        instance.caller.link_down()

    def _tell_gap(self, gap: Gap) -> None:
        since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in gap[:2])
        concerned = any(not subscription.internal for subscription in self._instance.router)
        level = logging.WARNING if concerned else logging.INFO
        log.log(level, "live events between %s and %s may be lost: %s", since, until, gap.reason)
        self._instance.system.gap(gap)
        if self._observer:
            self._observer(Step(StepName.GAP, gap.until, "", "", b"", {"since": gap.since, "reason": gap.reason}))
        for subscription in self._instance.router:
            if subscription.on_gap is not None:
                self._instance.spawn(_guarded(subscription.on_gap, since, until, gap.reason))


async def _guarded(function: Callable[..., Any], *arguments: Any) -> None:
    try:
        result = function(*arguments)
        if inspect.isawaitable(result):
            await result
    except Exception:
        log.exception("on_gap raised")
