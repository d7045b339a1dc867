"""Handlers that do what a case says, and tell the runner of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from tests.conformance._contract.peer_pb2 import (
    HOW_CANCELLED,
    HOW_RAISED,
    HOW_RETURNED,
    STREAMING_GENERATOR,
    STREAMING_RETURNED,
    STREAMING_SYNCHRONOUS,
    Action,
    Answer,
    Delivered,
    Ended,
    Facts,
    Filter,
    Inner,
    Nack,
    Raise,
    Report,
    Subscribe,
    Upcaster,
)
from tests.conformance.peers.python.answers import failure
from tests.conformance.peers.python.values import from_native, to_native
from tieline import DurableDelivery, Event, TielineError

Tell = Callable[[Report], None]
Do = Callable[[Any], Awaitable[tuple[Any, Answer]]]
_runs = itertools.count(1)


class ShopIsClosedError(Exception):
    """An exception of the program's own."""

    def __init__(self, message: str, details: Any) -> None:
        super().__init__(message)
        if details is not None:
            self.details = details


class Handling:
    """The handler of one subscription."""

    def __init__(self, wanted: Subscribe, do: Do, tell: Tell) -> None:
        self.gate = asyncio.Semaphore(0)
        self._wanted = wanted
        self._do = do
        self._tell = tell
        self._raised = self._nacked = 0

    @property
    def function(self) -> Callable[..., Any]:
        """What to subscribe."""
        kinds: dict[int, Callable[..., Any]] = {
            STREAMING_GENERATOR: self._generate,
            STREAMING_RETURNED: self._return_stream,
            STREAMING_SYNCHRONOUS: self._generate_synchronously,
        }
        return kinds.get(self._wanted.streaming, self._handle)

    async def _handle(self, data: Any, event: Event) -> Any:
        with self._told(data, event) as ended:
            result: Any = None
            for action in self._wanted.handler:
                result = await self._one(action, ended.run, data, event, result)
            return result

    async def _generate(self, data: Any, event: Event) -> AsyncIterator[Any]:
        with self._told(data, event) as ended:
            result: Any = None
            for action in self._wanted.handler:
                for item in _items(action, result):
                    ended.items += 1
                    yield item
                result = await self._one(action, ended.run, data, event, result)

    def _return_stream(self, data: Any, event: Event) -> AsyncIterator[Any]:
        return self._generate(data, event)

    def _generate_synchronously(self, data: Any, event: Event) -> Iterator[Any]:
        with self._told(data, event) as ended:
            for action in self._wanted.handler:
                for item in _items(action, data):
                    ended.items += 1
                    yield item
                if action.WhichOneof("do") == "raise":
                    self._raise(getattr(action, "raise"))

    @contextlib.contextmanager
    def _told(self, data: Any, event: Event) -> Iterator[Ended]:
        """Say that it began, and how it ended."""
        ended = Ended(run=next(_runs), subscription=self._wanted.id, how=HOW_RETURNED)
        values = data if self._wanted.HasField("batch") else [data]
        delivered = Delivered(run=ended.run, subscription=ended.subscription, at=_now())
        delivered.values.extend(map(from_native, values))
        delivered.facts.CopyFrom(_facts(event))
        self._tell(Report(delivered=delivered))
        try:
            yield ended
        except (asyncio.CancelledError, GeneratorExit):
            ended.how = HOW_CANCELLED
            raise
        except BaseException:
            ended.how = HOW_RAISED
            raise
        finally:
            ended.at = _now()
            self._tell(Report(ended=ended))

    async def _one(self, action: Action, run: int, data: Any, event: Event, result: Any) -> Any:
        if action.HasField("when") and data != to_native(action.when):
            return result
        match action.WhichOneof("do"):
            case "ack" | "nack" | "reject" | "extend" as kind:
                await self._inner(run, (str(kind), getattr(action, str(kind)), event), self._settle)
            case "echo":
                return data
            case "reply":
                return to_native(action.reply)
            case "raise":
                self._raise(getattr(action, "raise"))
            case "hold":
                await self._hold(action.hold.stubborn)
            case "remaining":
                return event.remaining() * 1_000
            case "publish":
                await self._inner(run, action.publish)
            case "call" | "stream" as kind:
                return await self._inner(run, getattr(action, str(kind)))
        return result

    def _raise(self, wanted: Raise) -> None:
        if not wanted.runs or self._raised < wanted.runs:
            self._raised += 1
            raise _error(wanted)

    async def _settle(self, wanted: tuple[str, Any, Event]) -> tuple[None, Answer]:
        kind, how, event = wanted
        delivery = event.delivery
        assert delivery is not None, "it is no stored event"
        if kind == "nack":
            self._nack(how, delivery)
        elif kind == "reject":
            delivery.reject(how)
        else:
            getattr(delivery, kind)()
        return None, Answer(done=True)

    def _nack(self, wanted: Nack, delivery: DurableDelivery) -> None:
        if not wanted.runs or self._nacked < wanted.runs:
            self._nacked += 1
            delivery.nack(*([wanted.delay_ms / 1_000] if wanted.HasField("delay_ms") else []))

    async def _inner(self, run: int, wanted: Any, do: Do | None = None) -> Any:
        try:
            result, answer = await (do or self._do)(wanted)
        except (Exception, asyncio.CancelledError) as error:
            self._tell_inner(run, Answer(failure=failure(error)))
            raise
        self._tell_inner(run, answer)
        return result

    def _tell_inner(self, run: int, answer: Answer) -> None:
        self._tell(Report(inner=Inner(run=run, subscription=self._wanted.id, answer=answer)))

    async def _hold(self, stubborn: bool) -> None:
        while True:
            try:
                await self.gate.acquire()
            except asyncio.CancelledError:
                if not stubborn:
                    raise
            else:
                return


def _items(action: Action, result: Any) -> Iterator[Any]:
    """What an action hands on."""
    match action.WhichOneof("do"):
        case "item":
            yield to_native(action.item)
        case "numbers":
            yield from range(1, action.numbers + 1)
        case "pass":
            yield result


def upcaster_of(wanted: Upcaster) -> tuple[str, str, Callable[[Any], Any]]:
    """The upcaster that a case describes."""

    def lift(data: Any) -> Any:
        if wanted.raises:
            raise ShopIsClosedError("the upcaster is broken", None)
        return data | {wanted.entry.key: to_native(wanted.entry)}

    return wanted.since, wanted.to, lift


def filter_of(wanted: Filter) -> Callable[[Any], bool]:
    """The filter that a case describes."""
    equal = to_native(wanted.equals) if wanted.HasField("equals") else None

    def passes(data: Any) -> bool:
        if wanted.raises:
            raise ShopIsClosedError("the filter is broken", None)
        return bool(data == equal)

    return passes


def _error(wanted: Raise) -> Exception:
    details = to_native(wanted.details) if wanted.HasField("details") else None
    if not wanted.code:
        return ShopIsClosedError(wanted.message, details)
    ours: Sequence[type[TielineError]] = TielineError.__subclasses__()
    return next(cls for cls in ours if cls.code == wanted.code)(wanted.message, details=details)


def _facts(event: Event) -> Facts:
    remaining, delivery = event.remaining(), event.delivery
    return Facts(
        id=event.id,
        topic=event.topic,
        is_request=event.is_request,
        source=event.source,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        headers=event.headers,
        content_type=event.content_type,
        schema_version=event.schema_version,
        key=event.key,
        priority=event.priority,
        hops=event.hops,
        data=event.envelope.data.hex(),
        remaining_ms=None if math.isinf(remaining) else remaining * 1_000,
        attempt=delivery.attempt if delivery is not None else None,
        group=delivery.group if delivery is not None else None,
        replay=event.replay,
    )


def _now() -> int:
    return time.monotonic_ns() // 1_000
