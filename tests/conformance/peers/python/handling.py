"""Handlers that do what a case says, and tell the runner of it."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.conformance._contract.peer_pb2 import (
    HOW_CANCELLED,
    HOW_RAISED,
    HOW_RETURNED,
    Action,
    Answer,
    Delivered,
    Ended,
    Facts,
    Filter,
    Inner,
    Raise,
    Report,
    Subscribe,
)
from tests.conformance.peers.python.answers import failure
from tests.conformance.peers.python.values import from_native, to_native
from tieline import Event, TielineError

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

    async def handle(self, data: Any, event: Event) -> Any:
        """Say that it began, do what is wanted, say how it ended."""
        run, name = next(_runs), self._wanted.id
        values = data if self._wanted.HasField("batch") else [data]
        delivered = Delivered(run=run, subscription=name, values=map(from_native, values), facts=_facts(event))
        self._tell(Report(delivered=delivered))
        how = HOW_RETURNED
        try:
            return await self._act(run, data, event)
        except asyncio.CancelledError:
            how = HOW_CANCELLED
            raise
        except BaseException:
            how = HOW_RAISED
            raise
        finally:
            self._tell(Report(ended=Ended(run=run, subscription=name, how=how)))

    async def _act(self, run: int, data: Any, event: Event) -> Any:
        result: Any = None
        for action in self._wanted.handler:
            result = await self._one(action, run, data, event, result)
        return result

    async def _one(self, action: Action, run: int, data: Any, event: Event, result: Any) -> Any:
        match action.WhichOneof("do"):
            case "echo":
                return data
            case "reply":
                return to_native(action.reply)
            case "raise":
                raise _error(getattr(action, "raise"))
            case "hold":
                await self._hold(action.hold.stubborn)
            case "remaining":
                return event.remaining() * 1_000
            case "publish":
                await self._inner(run, action.publish)
            case "call":
                return await self._inner(run, action.call)
        return result

    async def _inner(self, run: int, wanted: Any) -> Any:
        try:
            result, answer = await self._do(wanted)
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
    remaining = event.remaining()
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
    )
