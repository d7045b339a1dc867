"""Code around every publish and every handling."""

from __future__ import annotations

from typing import Any

import pytest

from tests.suite.seen import Seen
from tests.suite.world import World
from tieline import Event, HandlerError, Message, Middleware
from tieline.errors import PermissionDeniedError

places = pytest.mark.parametrize("here", [False, True], ids=["elsewhere", "here"])


class Named(Middleware):
    """Notes when it is passed, in and out."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    async def publish(self, message: Message, call_next: Any) -> Any:
        self.log.append(f"{self.name} publish {'request' if message.is_request else 'event'}")
        result = await call_next(message)
        self.log.append(f"{self.name} published")
        return result

    async def handle(self, event: Event, call_next: Any) -> Any:
        self.log.append(f"{self.name} handle")
        result = await call_next()
        self.log.append(f"{self.name} handled")
        return result


@places
async def test_the_first_is_the_outermost(world: World, topic: str, here: bool) -> None:
    log = list[str]()
    chain = [Named("outer", log), Named("inner", log)]
    system = await world.system(middleware=chain)
    caller = system if here else await world.system(middleware=chain)

    async def handler(data: Any) -> None:
        log.append("handler")

    await system.subscribe(topic, handler).ready()
    await caller.publish_and_wait(topic)
    handling = ["outer handle", "inner handle", "handler", "inner handled", "outer handled"]
    assert log == [
        "outer publish request", "inner publish request", *handling, "inner published", "outer published",
    ]  # fmt: skip


async def test_events_pass_it_too(world: World, topic: str) -> None:
    log, seen = list[str](), Seen()
    system = await world.system(middleware=[Named("it", log)])
    await system.subscribe(topic, seen.take).ready()
    receipt = await system.publish(topic, 1, wait_local=True)
    assert receipt.id
    assert log == ["it publish event", "it handle", "it handled", "it published"]


class Change(Middleware):
    """Changes payload and headers on the way out, and payload and reply on the way in."""

    async def publish(self, message: Message, call_next: Any) -> Any:
        message.data = {"wrapped": message.data}
        message.headers["by"] = "middleware"
        return await call_next(message)

    async def handle(self, event: Event, call_next: Any) -> Any:
        event.set_data(event.data["wrapped"])
        return [event.headers["by"], await call_next()]


@places
async def test_it_may_change_what_is_sent_and_what_is_handled(world: World, topic: str, here: bool) -> None:
    system = await world.system(middleware=[Change()])
    caller = system if here else await world.system(middleware=[Change()])

    async def double(data: int) -> int:
        return data * 2

    await system.subscribe(topic, double).ready()
    assert await caller.publish_and_wait(topic, 4) == ["middleware", 8]


class Guard(Middleware):
    """Lets nobody through."""

    def __init__(self, at: str) -> None:
        self.at = at

    async def publish(self, message: Message, call_next: Any) -> Any:
        if self.at == "publish":
            raise PermissionDeniedError("not you")
        return await call_next(message)

    async def handle(self, event: Event, call_next: Any) -> Any:
        raise PermissionError("not here")


async def test_what_it_raises_at_a_publish_is_raised_to_the_publisher(world: World, topic: str) -> None:
    system, seen = await world.system(middleware=[Guard("publish")]), Seen()
    await system.subscribe(topic, seen.take).ready()
    for use in (system.publish, system.publish_and_wait):
        with pytest.raises(PermissionDeniedError, match="not you"):
            await use(topic)
    assert seen == []


@places
async def test_what_it_raises_at_a_handling_is_the_handlers_failure(world: World, topic: str, here: bool) -> None:
    system, seen = await world.system(middleware=[Guard("handle")]), Seen()
    caller = system if here else await world.system()
    await system.subscribe(topic, seen.take).ready()
    with pytest.raises(HandlerError, match="not here") as caught:
        await caller.publish_and_wait(topic)
    assert caught.value.type == "PermissionError"
    assert seen == []


async def test_it_may_answer_without_the_handler(world: World, topic: str) -> None:
    class Cache(Middleware):
        async def handle(self, event: Event, call_next: Any) -> Any:
            return "cached"

    system, seen = await world.system(middleware=[Cache()]), Seen()
    await system.subscribe(topic, seen.take).ready()
    assert await system.publish_and_wait(topic) == "cached"
    assert seen == []
