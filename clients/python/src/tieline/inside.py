"""What an instance tells of itself when it is asked on `system.ask` (SPEC.md, section 13)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from tieline._contract.contract import ASK_TOPIC
from tieline.calls.caller import Caller
from tieline.clock import Clock
from tieline.errors import InvalidArgumentError
from tieline.explain.trail import Record, Trail
from tieline.figures.standing import calls, figures, in_flight
from tieline.figures.tally import Tally
from tieline.schemas import json_schema, payload_of_batch
from tieline.subscription import Subscription
from tieline.version import CLIENT


class Asked(Protocol):
    """The instance that is asked."""

    service: str
    source: str
    clock: Clock
    trail: Trail
    tally: Tally
    caller: Caller

    @property
    def router(self) -> Iterable[Subscription]:
        """Its subscriptions."""
        ...


class Inside:
    """The handler of `system.ask`."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Tell the trail of a chain, what is subscribed here, or how it stands."""
        asked = self._asked
        if "trail" in question:
            return {"trail": self.trail(str(question["trail"]))}
        if "subscriptions" in question:
            return self.subscriptions()
        if "figures" in question:
            under_way = in_flight(asked.caller.out(), asked.router)
            return self._who() | {"time": asked.clock.now()} | figures(asked.tally, asked.router, under_way)
        if "calls" in question:
            return self._who() | calls(asked.caller.out(), asked.router, question["calls"])
        raise InvalidArgumentError("what can be asked for is 'trail', 'subscriptions', 'figures' and 'calls'")

    def trail(self, correlation_id: str) -> bytes:
        """The steps of a chain that are remembered here, and what of it is under way, as a serialized Trail."""
        asked = self._asked
        now = itertools.chain(asked.caller.waiting(), self._at_work())
        return asked.trail.of(correlation_id, asked.source, asked.clock, now).SerializeToString()

    def _at_work(self) -> Iterator[Record]:
        for subscription in self._asked.router:
            for delivery, queued in subscription.at_work():
                yield self._asked.trail.at_work(delivery, queued=queued)
            if subscription.consumer is not None:
                yield from subscription.consumer.at_work()

    def subscriptions(self) -> dict[str, Any]:
        """What is subscribed here, with schemas."""
        asked = self._asked
        told = [_described(subscription) for subscription in asked.router if subscription.topic != ASK_TOPIC]
        return self._who() | {"subscriptions": told}

    def _who(self) -> dict[str, Any]:
        asked = self._asked
        return {"service": asked.service, "instance": asked.source.rpartition("/")[2], "client": CLIENT}


def _described(subscription: Subscription) -> dict[str, Any]:
    told: dict[str, Any] = {
        "topic": subscription.topic,
        "name": subscription.name,
        "group": subscription.group,
        "observe": subscription.observe,
        "batch": subscription.batches,
        "streams": subscription.handler.streams,
        "schema_version": subscription.schema_version,
    }
    schemas = {"input": _input_schema(subscription), "output": subscription.handler.output_schema}
    return told | {name: schema for name, schema in schemas.items() if schema is not None}


def _input_schema(subscription: Subscription) -> dict[str, Any] | None:
    """That of a payload, also where the handler takes a list of them."""
    handler = subscription.handler
    return json_schema(payload_of_batch(handler.takes)) if subscription.batches else handler.input_schema
