"""What was published and requested, in order, and assertions about it.

A recorder is the innermost middleware of the systems it listens to: so it is told everything before the first handler
has it, whether it is handled in the process, elsewhere or nowhere, and the order is that of the program. An observer's
subscription would be told of an event after the handlers of the same process, and of what it causes before the cause;
a wrapper round the transport would not be told of what never leaves the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Literal, NamedTuple, Self
from unittest.mock import ANY

from tieline import codec, topics
from tieline.calls.stream import Stream
from tieline.errors import (
    CallCancelledError,
    InvalidArgumentError,
    InvalidPayloadError,
    InvalidTopicError,
    LoopDetectedError,
    Outcome,
    PayloadTooLargeError,
    TielineError,
    UnavailableError,
)
from tieline.middleware import Message, Middleware, PublishNext
from tieline.testing import report

_REFUSED = (InvalidArgumentError, InvalidPayloadError, InvalidTopicError, LoopDetectedError, PayloadTooLargeError)
_UNSENT = (CallCancelledError, UnavailableError)


class Recorded(NamedTuple):
    """One publish or request: its topic, its payload as subscribers get it, its headers."""

    kind: Literal["event", "request"]
    topic: str
    data: Any
    headers: dict[str, str]


class Recorder(Middleware):
    """Listens to a test's systems; or to one over a real broker: `EventSystem(url, middleware=[recorder])`.

    `records` has everything, in order. What was refused at the door, or never left, is not in it. A planned event is in
    it once, from when it was planned; `events.schedules` tells what became of it.
    """

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self._changed: list[asyncio.Future[None]] = []

    async def publish(self, message: Message, call_next: PublishNext) -> Any:
        """See `Middleware.publish`."""
        record = _record(message)
        if record is None:
            return await call_next(message)
        self._add(record)
        try:
            result = await call_next(message)
        except TielineError as error:
            self._failed(record, error)
            raise
        return _Watched(result, partial(self._failed, record)) if isinstance(result, Stream) else result

    def _failed(self, record: Recorded, error: TielineError) -> None:
        if _never_left(record, error):
            self.records = [other for other in self.records if other is not record]

    def clear(self) -> None:
        """Forget what was recorded."""
        self.records = []

    # --- what was recorded ----------------------------------------------------------------------------------------

    def published(self, topic: str = ">") -> list[Recorded]:
        """The events of a topic or pattern, in order."""
        return self._found("event", topic)

    def requested(self, topic: str = ">") -> list[Recorded]:
        """The requests of a topic or pattern, in order: calls, streams and gathers."""
        return self._found("request", topic)

    async def wait_for(self, topic: str, *, times: int = 1, timeout: float = 5.0) -> list[Recorded]:  # noqa: ASYNC109
        """Return what was published or requested on a topic or pattern, as soon as there is so much of it.

        Args:
            topic: topic or pattern.
            times: so many at least.
            timeout: real seconds to wait, whatever the clock of the test says.

        Raises:
            AssertionError: it was less when the time was up; the message tells what there was.

        """
        try:
            async with asyncio.timeout(timeout):
                while len(found := self._matching(topic)) < times:
                    await self._change()
                return found
        except TimeoutError:
            raise AssertionError(report.waited(topic, times, timeout, self.records)) from None

    # --- assertions -----------------------------------------------------------------------------------------------

    def assert_published(
        self, topic: str, data: Any = ANY, *, times: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Fail unless an event was published so.

        Args:
            topic: topic or pattern.
            data: its payload: a value, as it was given or as subscribers get it, or a function that is true for it.
            times: exactly so often; at least once unless given.
            headers: headers it has, perhaps among others.

        """
        self._expect("event", topic, data, times, headers)

    def assert_requested(
        self, topic: str, data: Any = ANY, *, times: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Fail unless a request was made so; see `assert_published`."""
        self._expect("request", topic, data, times, headers)

    def assert_not_published(self, topic: str = ">", data: Any = ANY) -> None:
        """Fail if an event was published so."""
        self._expect("event", topic, data, 0, None)

    def assert_not_requested(self, topic: str = ">", data: Any = ANY) -> None:
        """Fail if a request was made so."""
        self._expect("request", topic, data, 0, None)

    def assert_order(self, *expected: str) -> None:
        """Fail unless events or requests of these topics or patterns came in this order, perhaps among others."""
        rest = iter(self.records)
        for number, topic in enumerate(expected):
            if not any(topics.matches(topic, record.topic) for record in rest):
                raise AssertionError(report.disordered(expected, number, self.records))

    def _expect(
        self,
        kind: Literal["event", "request"],
        topic: str,
        data: Any,
        times: int | None,
        headers: Mapping[str, str] | None,
    ) -> None:
        there = self._found(kind, topic)
        count = sum(_fits(record, data, headers) for record in there)
        if count != times if times is not None else not count:
            wanted = report.Wanted(kind, topic, "" if data is ANY else report.shown(data), times, headers)
            raise AssertionError(report.unmet(wanted, count, there, self.records))

    def _found(self, kind: str, topic: str) -> list[Recorded]:
        return [record for record in self._matching(topic) if record.kind == kind]

    def _matching(self, topic: str) -> list[Recorded]:
        pattern = topics.check_pattern(topic)
        return [record for record in self.records if topics.matches(pattern, record.topic)]

    def _add(self, record: Recorded) -> None:
        self.records.append(record)
        changed, self._changed = self._changed, []
        for waiter in changed:
            if not waiter.done():
                waiter.set_result(None)

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._changed.append(waiter)
        await waiter


class _Watched:
    """A stream whose failure is heard: its request is made with the first item that is asked for."""

    def __init__(self, stream: Stream, failed: Callable[[TielineError], None]) -> None:
        self._stream = stream
        self._failed = failed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._stream)
        except TielineError as error:
            self._failed(error)
            raise

    async def aclose(self) -> None:
        """See `Stream.aclose`."""
        await self._stream.aclose()


def _record(message: Message) -> Recorded | None:
    """What is about to be published; nothing if its topic will be refused."""
    try:
        topics.check_topic(message.topic)
    except TielineError:
        return None
    kind = "request" if message.is_request else "event"
    return Recorded(kind, message.topic, _as_received(message.data), dict(message.headers))


def _as_received(data: Any) -> Any:
    """What a subscriber gets; the value itself where it cannot travel as MessagePack."""
    try:
        return codec.decode(codec.encode(data), "")
    except TielineError:
        return data


def _never_left(record: Recorded, error: TielineError) -> bool:
    if error.from_wire or error.outcome is not Outcome.NOT_DELIVERED:
        return False
    return record.kind == "event" or isinstance(error, (*_REFUSED, *_UNSENT))


def _fits(record: Recorded, data: Any, headers: Mapping[str, str] | None) -> bool:
    if headers is not None and not headers.items() <= record.headers.items():
        return False
    if isinstance(data, (FunctionType, MethodType)):
        return bool(data(record.data))
    return bool(data == record.data) or bool(_as_received(data) == record.data)  # of a dataclass, its wire form
