"""What functions can handle events, and how their annotations validate."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import threading
from typing import Any, Literal, TypedDict

import msgspec
import pytest

from tests.suite.seen import Seen, until
from tests.suite.world import World
from tieline import Event, HandlerError, InvalidPayloadError, NoRespondersError, Outcome, current_event


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 0


class Card(TypedDict):
    """A TypedDict."""

    id: int
    tags: list[str]


class Order(msgspec.Struct):
    """A msgspec Struct."""

    item: str
    count: int = 1


class Model:
    """What pydantic's models are to us."""

    model_fields = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        if not isinstance(value, dict) or set(value) != {"name"}:
            raise ValueError("a model has a name")
        return cls(value["name"])

    def model_dump(self, *, by_alias: bool) -> dict[str, str]:
        return {"name": self.name}


def _sum(numbers: list[int]) -> int:
    return sum(numbers)


def _point(point: Point) -> Point:
    return Point(point.y, point.x)


def _card(card: Card) -> int:
    return card["id"]


def _order(order: Order) -> Order:
    return Order(order.item.upper(), order.count)


def _model(model: Model) -> Model:
    return Model(model.name * 2)


def _optional(number: int | None) -> int:
    return number or 0


def _literal(word: Literal["yes", "no"]) -> str:
    return word


def _bytes(data: bytes) -> bytes:
    return data


ANNOTATED = [
    (_sum, [1, 2], 3, [1, "2"]),
    (_point, {"x": 1, "y": 2}, {"x": 2, "y": 1}, {"y": 1}),
    (_card, {"id": 5, "tags": []}, 5, {"id": 5, "tags": [1]}),
    (_order, {"item": "bolt"}, {"item": "BOLT", "count": 1}, {"item": 4}),
    (_model, {"name": "a"}, {"name": "aa"}, {"nome": "a"}),
    (_optional, None, 0, "x"),
    (_literal, "yes", "yes", "maybe"),
    (_bytes, b"\xff", b"\xff", 5),
]
places = pytest.mark.parametrize("here", [False, True], ids=["elsewhere", "here"])


@places
@pytest.mark.parametrize(
    ("handler", "good", "answer", "bad"), ANNOTATED, ids=[row[0].__name__[1:] for row in ANNOTATED]
)
async def test_the_annotation_validates(
    world: World, topic: str, here: bool, handler: Any, good: Any, answer: Any, bad: Any
) -> None:
    system = await world.system()
    await system.subscribe(topic, handler).ready()
    caller = system if here else await world.system()
    assert await caller.publish_and_wait(topic, good) == answer
    with pytest.raises(InvalidPayloadError, match="does not fit the handler") as caught:
        await caller.publish_and_wait(topic, bad)
    assert caught.value.outcome is Outcome.NOT_DELIVERED


async def test_an_event_that_does_not_fit_is_not_handled(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()

    async def typed(data: int) -> None:
        seen.append(data)

    await there.subscribe(topic, typed).ready()
    for value in ("no number", 1, None, 2):
        await here.publish(topic, value)
    await seen.stay(2)
    assert seen == [1, 2]


async def test_a_batch_is_validated_as_a_list(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()

    async def typed(points: list[Point]) -> None:
        seen.append(points)

    await there.subscribe(topic, typed, batch=(2, 60.0)).ready()
    await here.publish(topic, {"x": 1})
    await here.publish(topic, {"x": 2})
    await seen.reach(1)
    assert seen == [[Point(1), Point(2)]]


class Scaled:
    """An object that can be called, with annotations of its own."""

    scale: int = 10

    async def __call__(self, data: int) -> int:
        return data * self.scale


class Service:
    """Methods as handlers."""

    async def double(self, data: int) -> int:
        return data * 2

    @staticmethod
    def triple(data: int) -> int:
        return data * 3

    @classmethod
    async def quadruple(cls, data: int) -> int:
        return data * 4


async def _times(factor: int, data: int) -> int:
    return data * factor


@pytest.mark.parametrize(
    ("handler", "answer"),
    [
        (Scaled(), 70),
        (Service().double, 14),
        (Service.triple, 21),
        (Service.quadruple, 28),
        (functools.partial(_times, 5), 35),
    ],
    ids=["object", "method", "static", "class", "partial"],
)
async def test_anything_that_can_be_called_can_handle_and_is_validated(
    world: World, topic: str, handler: Any, answer: int
) -> None:
    caller, system = await world.system(), await world.system()
    await system.subscribe(topic, handler, name="any").ready()
    assert await caller.publish_and_wait(topic, 7) == answer
    with pytest.raises(InvalidPayloadError):
        await caller.publish_and_wait(topic, "seven")


async def test_a_handler_takes_nothing_the_data_the_event_or_both(world: World, topic: str) -> None:
    system = await world.system()

    async def nothing() -> str:
        return "nothing"

    async def both(data: int, event: Event) -> Any:
        return [data, event.topic]

    async def only_event(event: Event) -> Any:
        return [event.data, event.is_request]

    async def swapped(event: Event, data: int) -> Any:
        return [event.topic, data]

    async def with_default(data: int, more: int = 5) -> int:
        return data + more

    async def anything(*args: Any) -> Any:
        return list(args)

    expected = [
        (nothing, "nothing"),
        (both, [1, f"{topic}.1"]),
        (only_event, [1, True]),
        (swapped, [f"{topic}.3", 1]),
        (with_default, 6),
        (anything, [1]),
    ]
    for index, (function, answer) in enumerate(expected):
        await system.subscribe(f"{topic}.{index}", function).ready()
        assert await system.publish_and_wait(f"{topic}.{index}", 1) == answer


async def test_synchronous_handlers_run_in_threads_and_know_their_event(world: World, topic: str) -> None:
    caller, system = await world.system(), await world.system()

    def blocking(data: int) -> Any:
        event = current_event()
        assert event is not None
        return [event.topic, event.is_request, threading.current_thread() is threading.main_thread()]

    await system.subscribe(topic, blocking).ready()
    for each in (caller, system):
        assert await each.publish_and_wait(topic, 1) == [topic, True, False]


async def test_a_synchronous_handler_does_not_block_the_loop(world: World, topic: str) -> None:
    system, release = await world.system(), threading.Event()
    await system.subscribe(f"{topic}.slow", lambda: release.wait(20)).ready()
    await system.subscribe(f"{topic}.quick", lambda data: data).ready()
    slow = asyncio.create_task(system.publish_and_wait(f"{topic}.slow"))
    assert await system.publish_and_wait(f"{topic}.quick", 1) == 1
    assert not slow.done()
    release.set()
    assert await slow is True


async def test_a_synchronous_function_may_return_an_awaitable(world: World, topic: str) -> None:
    system = await world.system()

    async def later(data: int) -> int:
        return data + 1

    await system.subscribe(topic, lambda data: later(data + 1)).ready()
    assert await system.publish_and_wait(topic, 1) == 3


async def test_a_failing_event_handler_disturbs_nobody(world: World, topic: str) -> None:
    here, there, seen = await world.system(), await world.system(), Seen()

    async def fails(data: Any) -> None:
        raise RuntimeError("the handler's own problem")

    for system in (here, there):
        await system.subscribe(topic, fails).ready()
        await system.subscribe(topic, seen.take).ready()
    await here.publish(topic, 1)
    await here.publish(topic, 2, wait_local=True)
    await seen.stay(4)


@places
async def test_a_filter_that_raises_is_a_failure_of_the_handler(
    world: World, topic: str, here: bool, caplog: pytest.LogCaptureFixture
) -> None:
    system, ran = await world.system(), Seen()
    await system.subscribe(topic, ran.take, filter=lambda data: data["missing"]).ready()
    caller = system if here else await world.system()
    with pytest.raises(Exception, match="KeyError") as caught:
        await caller.publish_and_wait(topic, {})
    assert getattr(caught.value, "code", "") == "HANDLER_ERROR"
    await caller.publish(topic, {})
    await until(lambda: caplog.text.count('data["missing"]') == 2)
    assert ran == []


async def test_after_all_that_nobody_answers_what_nobody_subscribed_to(world: World, topic: str) -> None:
    with pytest.raises(NoRespondersError):
        await (await world.system()).publish_and_wait(topic)


@places
async def test_an_error_is_the_same_wherever_the_handler_ran(world: World, topic: str, here: bool) -> None:
    system, about = await world.system(), {"missing": ["a"]}

    async def fail(data: Any) -> None:
        raise HandlerError("no", details={**about, "pair": (1, 2)}, retry_after=0.5)

    await system.subscribe(topic, fail).ready()
    with pytest.raises(HandlerError) as caught:
        await (system if here else await world.system()).publish_and_wait(topic)
    error = caught.value
    about["missing"].append("b")
    assert error.details == {"missing": ["a"], "pair": [1, 2]}
    assert (error.message, error.type, error.outcome, error.retry_after, error.from_wire) == (
        "no",
        "HandlerError",
        Outcome.RAN,
        0.5,
        True,
    )


class _Strange(Exception):
    """Like errors of gRPC, whose details are a method."""

    def details(self) -> str:
        return "no map"


class _Speechless(Exception):
    """It cannot even say what it is."""

    def __str__(self) -> str:
        raise ValueError("never ask")


class _Touchy(Exception):
    """Its details cannot be looked at."""

    @property
    def details(self) -> dict[str, Any]:
        raise KeyError("never look")


@places
@pytest.mark.parametrize("how", ["publish_and_wait", "publish"])
async def test_where_a_handler_raised_is_in_the_log_of_its_process(
    world: World, topic: str, here: bool, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    system = await world.system()

    async def divide(data: int) -> float:
        if data == 1:
            raise HandlerError("an answer like others")
        return data / 0

    await system.subscribe(topic, divide).ready()
    caller = system if here else await world.system()
    for data in (1, 2):
        with contextlib.suppress(HandlerError):
            await getattr(caller, how)(topic, data)

    def told() -> list[logging.LogRecord]:
        return [record for record in caplog.records if (record.name, record.levelname) == ("tieline", "ERROR")]

    await until(told)
    (record,) = told()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert topic in record.getMessage()
    assert "return data / 0" in caplog.text


async def test_who_calls_within_the_process_sees_where_the_handler_raised(world: World, topic: str) -> None:
    system = await world.system()
    system.subscribe(topic, lambda data: data / 0)
    with pytest.raises(HandlerError) as caught:
        await system.publish_and_wait(topic, 1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@places
@pytest.mark.parametrize("error", [_Strange("no"), _Speechless(), _Touchy(), ValueError("half: \ud800")])
async def test_whatever_a_handler_raises_its_caller_is_told(
    world: World, topic: str, here: bool, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="tieline")  # half a character is more than a report of tests can carry
    system = await world.system()

    async def fail(data: Any) -> None:
        raise error

    subscription = system.subscribe(topic, fail)
    await subscription.ready()
    with pytest.raises(HandlerError) as caught:
        await (system if here else await world.system()).publish_and_wait(topic, ttl=5.0)
    assert caught.value.type == type(error).__name__
    assert caught.value.outcome is Outcome.RAN
    assert not subscription.mailbox.running


@pytest.mark.parametrize("drain", [0.0, 0.05])
async def test_nothing_is_handled_after_the_system_was_closed(world: World, topic: str, drain: float) -> None:
    system, other, seen, gate = await world.system(), await world.system(), Seen(), asyncio.Event()
    began = Seen()

    async def stuck(data: Any) -> None:
        began.append(data)
        await gate.wait()

    await system.subscribe(topic, seen.take, batch=(10, 0.2)).ready()
    await system.subscribe(topic, stuck).ready()
    await other.publish(topic, 1)
    await began.reach(1)
    await system.aclose(drain)
    handled = len(seen)
    await asyncio.sleep(0.3)
    assert len(seen) == handled


async def test_closing_goes_on_although_nobody_waits_for_it_any_more(world: World, topic: str) -> None:
    system, other, began, gate = await world.system(), await world.system(), Seen(), asyncio.Event()

    async def slow(data: Any) -> str:
        began.append(data)
        await gate.wait()
        return "done"

    await system.subscribe(topic, slow).ready()
    call = asyncio.create_task(other.publish_and_wait(topic, 1, ttl=10.0))
    await began.reach(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await system.aclose(5.0)
    gate.set()
    await system.aclose()
    assert await call == "done"
    assert not system.connected
