"""Looking at a function once: what it takes, what it is given, what is refused."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import threading
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from tieline import Event, InvalidArgumentError, InvalidPayloadError, Timestamp
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.streaming import from_thread
from tieline.clock import Clock
from tieline.handler import THREADS, bind

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]

EVENT = Event(Envelope(topic="a.b"), Clock())


async def run(function: Any, data: Any = "data") -> Any:
    """Bind, convert and call."""
    handler = bind(function)
    return await handler.invoke(data if handler.convert is None else handler.convert(data), EVENT)


async def test_positional_only_and_defaulted_arguments_are_filled() -> None:
    def only(data: Any, /) -> Any:
        return data

    def optional(data: Any = None) -> Any:
        return data

    def keyword(data: Any, *, extra: int = 3) -> Any:
        return [data, extra]

    assert await run(only) == "data"
    assert await run(optional) == "data"
    assert await run(keyword) == ["data", 3]


async def test_the_event_is_given_to_whoever_asks_for_it() -> None:
    async def second(data: str, anything: Any) -> Any:
        return anything.topic

    async def first(event: Event, data: str) -> Any:
        return [event.topic, data]

    async def alone(event: Event) -> Any:
        return event.topic

    assert await run(second) == "a.b"
    assert await run(first) == ["a.b", "data"]
    assert await run(alone) == "a.b"


async def test_builtins_can_handle() -> None:
    assert await run(len, [1, 2]) == 2
    assert await run(str, 5) == "5"


@pytest.mark.parametrize("what", [5, "text", None, object()])
def test_what_cannot_be_called_is_refused(what: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="must be callable"):
        bind(what)


def test_too_many_arguments_are_refused() -> None:
    def three(a: Any, b: Any, c: Any) -> None: ...

    with pytest.raises(InvalidArgumentError, match="needs 3 arguments"):
        bind(three)


async def test_generators_of_either_colour_stream() -> None:
    def sync(data: int) -> Any:
        yield from range(data)

    async def asynchronous(data: int) -> Any:
        for number in range(data):
            yield number

    class Object:
        async def __call__(self, data: int) -> Any:
            yield data

    for function, expected in ((sync, [0, 1, 2]), (asynchronous, [0, 1, 2]), (Object(), [3])):
        handler = bind(function)
        assert handler.streams
        assert [item async for item in await handler.invoke(3, EVENT)] == expected


async def test_a_synchronous_generator_that_is_left_is_closed_when_its_step_has_ended() -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Any:
        try:
            begun.set()
            go_on.wait()
            yield 1
        finally:
            closed.set()

    items = await bind(slow).invoke(None, EVENT)
    step = asyncio.ensure_future(anext(items))
    await asyncio.to_thread(begun.wait)
    step.cancel()
    await asyncio.wait([step])
    assert not closed.is_set()
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 10.0)


class Racing(Future[Any]):
    """Ends just after it was asked whether it has ended."""

    go_on: threading.Event

    def done(self) -> bool:
        was = super().done()
        self.go_on.set()
        concurrent.futures.wait([self], 10.0)
        return was


async def test_the_end_of_a_synchronous_generator_runs_in_a_thread_even_if_its_step_ends_while_one_looks() -> None:
    begun, closed = threading.Event(), threading.Event()
    Racing.go_on, where = threading.Event(), list[str]()

    def slow() -> Any:
        try:
            begun.set()
            Racing.go_on.wait()
            yield 1
        finally:
            where.append(threading.current_thread().name)
            closed.set()

    def submit(work: Any) -> Racing:
        def run() -> None:
            future.set_running_or_notify_cancel()
            future.set_result(work())

        future = Racing()
        threading.Thread(target=run, name="handler").start()
        return future

    items = from_thread(slow, submit)
    step = asyncio.ensure_future(anext(items))
    await asyncio.to_thread(begun.wait)
    step.cancel()
    await asyncio.wait([step])
    assert await asyncio.to_thread(closed.wait, 10.0)
    assert where == ["handler"]


async def test_a_synchronous_generator_cannot_end_the_event_loop() -> None:
    def leaves() -> Any:
        try:
            yield 1
            raise SystemExit(3)
        finally:
            raise SystemExit(4)

    items = await bind(leaves).invoke(None, EVENT)
    assert await anext(items) == 1
    with pytest.raises(RuntimeError, match="SystemExit"):
        await anext(items)
    items = await bind(leaves).invoke(None, EVENT)
    assert await anext(items) == 1
    with pytest.raises(RuntimeError, match="SystemExit"):
        await items.aclose()


def test_an_annotation_that_cannot_be_resolved_is_refused() -> None:
    def handler(data: Missing) -> None: ...

    with pytest.raises(InvalidArgumentError, match="cannot be resolved"):
        bind(handler)


@dataclasses.dataclass
class Visit:
    """Everything that has a type of its own on the wire."""

    at: datetime
    photo: bytes
    stamps: list[Timestamp]
    tags: set[str] = dataclasses.field(default_factory=set)


async def test_values_that_already_have_the_type_fit() -> None:
    now = datetime(2024, 5, 6, tzinfo=UTC)

    def handler(visit: Visit) -> Visit:
        return visit

    data = {"at": now, "photo": b"\xff", "stamps": [Timestamp(1, 1)], "tags": ["x"]}
    assert await run(handler, data) == Visit(now, b"\xff", [Timestamp(1, 1)], {"x"})


@pytest.mark.parametrize(
    ("annotation", "data"),
    [(int, "5"), (int, 5.5), (int, True), (str, b"x"), (bytes, "x"), (list[int], {"a": 1}), (Visit, {}), (None, 0)],
    ids=str,
)
def test_what_does_not_fit_is_refused_and_says_why(annotation: Any, data: Any) -> None:
    def handler(data: Any) -> None: ...

    handler.__annotations__["data"] = annotation
    convert = bind(handler).convert
    assert convert is not None
    with pytest.raises(InvalidPayloadError, match="the payload does not fit the handler"):
        convert(data)


@pytest.mark.parametrize("annotation", [Any, object])
def test_any_is_not_looked_at(annotation: Any) -> None:
    def handler(data: Any) -> None: ...

    handler.__annotations__["data"] = annotation
    assert bind(handler).convert is None


async def test_limits_in_an_annotation_validate_and_are_told() -> None:
    def positive(data: Annotated[int, msgspec.Meta(gt=0)]) -> int:
        return data

    assert await run(positive, 1) == 1
    with pytest.raises(InvalidPayloadError, match="does not fit"):
        await run(positive, 0)
    assert bind(positive).input_schema == {"type": "integer", "exclusiveMinimum": 0}


async def test_a_partial_of_an_object_with_annotations_is_validated_as_its_call_is() -> None:
    class Adder:
        offset: str = "not the payload's type"

        def __call__(self, by: int, data: int) -> int:
            return by + data

    handler = bind(functools.partial(Adder(), 5))
    assert handler.convert is not None
    assert await run(functools.partial(Adder(), 5), 2) == 7
    with pytest.raises(InvalidPayloadError):
        handler.convert("2")


async def test_what_a_synchronous_handler_raises_comes_out_of_the_thread() -> None:
    def raises(error: Any) -> None:
        raise error

    with pytest.raises(KeyError):
        await run(raises, KeyError("x"))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await run(raises, StopIteration(1))
    with pytest.raises(RuntimeError, match="SystemExit"):
        await run(raises, SystemExit(1))


async def test_handlers_that_block_their_threads_do_not_keep_names_from_being_looked_up() -> None:
    gate = threading.Event()

    def block(data: Any) -> None:
        gate.wait(20.0)

    handler = bind(block)
    running = [asyncio.ensure_future(handler.invoke(None, EVENT)) for _ in range(THREADS)]
    try:
        async with asyncio.timeout(20.0):
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    finally:
        gate.set()
    await asyncio.gather(*running)
