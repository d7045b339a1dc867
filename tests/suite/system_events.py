"""What instances publish about themselves, and that it feeds nothing."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tests.suite.seen import Seen, Watch, until
from tests.suite.world import Feature, World, needs
from tests.support.system_events import assert_as_agreed
from tieline import Event, EventSystem, RetryPolicy, Settings

AT_ONCE = RetryPolicy(max_attempts=2, backoff=0.001, jitter=False)
_services = (f"told{n}" for n in itertools.count())


class Told(list[dict[str, Any]]):
    """System events of one service, as somebody else gets them; each is checked against the contract."""

    def __init__(self, service: str) -> None:
        self.service = service

    async def take(self, data: dict[str, Any], event: Event) -> None:
        if data["service"] == self.service:
            assert_as_agreed(event.topic, data)
            assert event.source == f"{data['service']}/{data['instance']}"
            self.append({"of": event.topic.removeprefix("system."), **data})

    async def one(self, of: str, kind: str | None = None, **fields: Any) -> dict[str, Any]:
        """Wait for the first one like this, and return it."""
        wanted = {"of": of, **({} if kind is None else {"kind": kind}), **fields}
        await until(lambda: any(wanted.items() <= each.items() for each in self), 30, lambda: f"{wanted} in {self}")
        return next(each for each in self if wanted.items() <= each.items())

    def count(self, of: str) -> int:
        """How many came."""
        return sum(each["of"] == of for each in self)


async def _heard(world: World, **settings: Any) -> tuple[Told, EventSystem]:
    """Who hears, and a system that has not started, of which is heard."""
    told = Told(next(_services))
    watcher = await world.system(service="watcher", settings=Settings(system_events=False))
    await watcher.subscribe("system.>", told.take).ready()
    return told, world.make(service=told.service, settings=Settings(**settings))


async def raising(data: Any) -> None:
    raise LookupError(f"no {data}")


async def test_an_instance_says_that_it_starts_and_closes(world: World, topic: str) -> None:
    told, system = await _heard(world)
    await system.start()
    instance = system.instance
    startup = await told.one("startup")
    assert startup["instance"] == instance
    assert startup["client"].startswith("python/")
    await system.aclose()
    shutdown = await told.one("shutdown")
    assert (shutdown["instance"], shutdown["reason"], shutdown["under_way"]) == (instance, "closed", 0)
    assert [each["of"] for each in told] == ["startup", "shutdown"]


async def test_its_own_subscriptions_hear_it_too(world: World, topic: str) -> None:
    system, own = world.make(service=next(_services)), Seen()
    own_topics = Told(system.service)
    system.subscribe("system.*", own_topics.take)
    await system.start()
    await own_topics.one("startup")
    await system.aclose()
    assert [each["of"] for each in own_topics] == ["startup", "shutdown"]
    assert own == []


async def test_wildcards_at_the_front_hear_nothing_of_it(world: World, topic: str) -> None:
    told, system = await _heard(world)
    listener, seen = await world.system(), Seen()

    async def note(data: Any, event: Event) -> None:
        if event.source.startswith(f"{told.service}/"):
            seen.append(event.topic)

    for pattern in (">", "*.startup", "*.*"):
        await listener.subscribe(pattern, note).ready()
        await listener.subscribe(pattern, note, observe=True).ready()
    await listener.subscribe(">", note, group=topic).ready()
    system.subscribe(">", note)
    await system.start()
    await told.one("startup")
    await system.publish(f"{topic}.own")
    await seen.stay(6)  # ">" and "*.*" and its own, the two observers, and the group
    assert set(seen) == {f"{topic}.own"}


async def test_a_live_handler_that_raises_is_told_of_once_a_second(world: World, topic: str) -> None:
    told, system = await _heard(world)
    await system.subscribe(topic, raising, name="shaky").ready()
    watch = Watch()
    first = await system.publish(topic, 0)
    for number in range(1, 5):
        await system.publish(topic, number, wait_local=True)
    error = await told.one("error", "handler", left_out=0)
    assert (error["topic"], error["id"], error["subscription"]) == (topic, first.id, "shaky")
    assert (error["code"], error["type"], error["message"]) == ("HANDLER_ERROR", "LookupError", "no 0")
    await told.one("error", "handler", message="no 4")
    errors = [each for each in told if each["of"] == "error"]
    assert sum(1 + each["left_out"] for each in errors) == 5
    assert len(errors) <= 2 + watch.seconds


async def test_an_event_that_does_not_fit_is_an_error_and_one_that_is_filtered_is_none(
    world: World, topic: str
) -> None:
    told, system = await _heard(world)

    async def typed(data: int) -> None:
        raise AssertionError(data)

    def refused(data: Any) -> bool:
        return False

    await system.subscribe(topic, typed, name="typed").ready()
    await system.subscribe(f"{topic}.picky", typed, filter=refused, name="picky").ready()
    await system.publish(f"{topic}.picky", "text", wait_local=True)
    await system.publish(topic, "text")
    error = await told.one("error", "handler")
    assert (error["subscription"], error["code"]) == ("typed", "INVALID_PAYLOAD")
    assert told.count("error") == 1


async def test_the_handler_of_an_error_may_raise(world: World, topic: str) -> None:
    told, system = await _heard(world)
    runs = Seen()

    async def worse(data: dict[str, Any]) -> None:
        if data["service"] == told.service:
            runs.append(data)
            raise RuntimeError("worse")

    await system.subscribe("system.error", worse).ready()
    await system.subscribe(topic, raising).ready()
    await system.publish(topic, 1)
    await told.one("error", "handler", topic=topic)
    await runs.reach(1)
    await asyncio.sleep(1.3)  # longer than the pause between two of them
    assert told.count("error") == 1
    assert len(runs) == 1


async def test_a_handler_of_errors_cannot_cause_them_for_ever(world: World, topic: str) -> None:
    told, system = await _heard(world)
    depths = Seen()

    async def escalate(data: dict[str, Any], event: Event) -> None:
        if data["service"] == told.service:
            depths.append(event.hops)
            await system.publish(f"{topic}.{event.hops}", "again")

    async def note(data: Any, event: Event) -> None:
        raise LookupError("again")

    await system.subscribe("system.error", escalate).ready()
    await system.subscribe(f"{topic}.*", note).ready()
    await system.publish(f"{topic}.first", "once")
    await until(lambda: depths and depths[-1] == 15, say=lambda: str(depths))
    await asyncio.sleep(0.1)
    assert depths == [1, 3, 5, 7, 9, 11, 13, 15]


@needs(Feature.DURABLE)
@pytest.mark.parametrize(
    ("on_poison", "kind"), [("park", "parked"), ("dead_letter", "dead_letter"), ("skip", "skipped")]
)
async def test_a_durable_event_that_fails_is_told_of(world: World, topic: str, on_poison: Any, kind: str) -> None:
    told, system = await _heard(world)
    await system.subscribe(
        topic, raising, durable=True, group="g", retry=AT_ONCE, on_poison=on_poison, name="shaky"
    ).ready()
    receipt = await system.publish(topic, 7, key="k")
    first = await told.one("error", "handler")
    last = await told.one("error", kind)
    for error, attempt in ((first, 1), (last, 2)):
        assert (error["topic"], error["id"], error["subscription"]) == (topic, receipt.id, "shaky")
        assert (error["group"], error["key"], error["attempt"]) == ("g", "k", attempt)
        assert (error["code"], error["type"], error["message"]) == ("HANDLER_ERROR", "LookupError", "no 7")
    assert last.get("reason") == ("failed" if kind == "dead_letter" else None)


@needs(Feature.DURABLE)
async def test_a_handler_that_only_wants_an_event_later_has_not_failed(world: World, topic: str) -> None:
    told, system = await _heard(world)
    runs = Seen()

    async def later(data: Any, event: Event) -> None:
        runs.append(data)
        if len(runs) == 1 and event.delivery is not None:
            event.delivery.nack(delay=0.001)

    await system.subscribe(topic, later, durable=True).ready()
    await system.publish(topic, 1, durable=True)
    await runs.stay(2)
    assert told.count("error") == 0


async def test_a_refused_request_is_told_of(world: World, topic: str) -> None:
    told, system = await _heard(world)
    caller, gate = await world.system(), asyncio.Event()

    async def wait(data: Any) -> None:
        await gate.wait()

    await system.subscribe(topic, wait, concurrency=1, queue=0).ready()
    calls = [asyncio.ensure_future(caller.publish_and_wait(topic, n)) for n in range(2)]
    warning = await told.one("warning", "overload")
    assert warning["topic"] == topic
    gate.set()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_switch_turns_it_off(world: World, topic: str) -> None:
    told, system = await _heard(world, system_events=False)
    await system.start()
    await system.subscribe(topic, raising).ready()
    await system.publish(topic, 1, wait_local=True)
    await system.aclose()
    other = world.make(service=told.service)
    await other.start()
    await told.one("startup")
    assert len(told) == 1
