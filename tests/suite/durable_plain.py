"""Plain producers: any Redis client adds to the stream of a key, and its events are handled as others are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from tests.suite.durable import Keys
from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World
from tieline import Event, RetryPolicy
from tieline.transports.redis import RedisTransport

NEEDS = frozenset({Feature.DURABLE, Feature.REDIS})


def _client(world: World) -> redis.Redis:
    """What anybody would use."""
    return redis.Redis.from_url(world.place.url)


def _add(client: redis.Redis, topic: str, key: str, **fields: Any) -> None:
    client.xadd(f"event_stream:{topic}:{key}", fields)  # type: ignore[arg-type]


def _tell(client: redis.Redis, notice: str) -> None:
    client.publish("group_change", notice)


async def test_what_was_added_and_announced_is_handled_as_a_map(world: World, topic: str) -> None:
    client, system, seen = _client(world), await world.system(), Seen()

    async def take(data: Any, event: Event) -> None:
        seen.append((data, event.key, event.topic, event.id))

    await system.subscribe(topic, take, durable=True).ready()
    _add(client, topic, "card:7", text="hello", by="zoë", raw=b"\xff")
    _tell(client, f"register:{topic}:card:7")
    await seen.reach(1)
    data, key, of, event_id = seen[0]
    assert (data, key, of) == ({"text": "hello", "by": "zoë", "raw": b"\xff"}, "card:7", topic)
    assert event_id


async def test_plain_and_our_events_of_a_key_keep_one_order(world: World, topic: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    for number in range(6):
        if number % 2:
            await system.publish(topic, {"n": str(number)}, key="k")
        else:
            _add(client, topic, "k", n=number)
    await system.subscribe(topic, keys.take, durable=True).ready()
    await until(lambda: keys.count == 6)
    assert [data["n"] for data in keys.seen["k"]] == ["0", "1", "2", "3", "4", "5"]


async def test_groups_have_the_names_that_were_agreed_and_pending_entries_are_shown(world: World, topic: str) -> None:
    client, system, release = _client(world), await world.system(), asyncio.Event()
    begun = Seen()

    async def wait(data: Any) -> None:
        begun.append(data)
        await release.wait()

    await system.subscribe(topic, wait, durable=True).ready()
    await system.subscribe(topic, wait, durable=True, group="other").ready()
    _add(client, topic, "k", n="1")
    _tell(client, f"register:{topic}:k")
    await begun.reach(2)
    stream = f"event_stream:{topic}:k"
    for group in (f"{topic}:k", "other"):
        assert client.xpending(stream, group)["pending"] == 1  # type: ignore[index]
    assert {info["name"] for info in client.xinfo_groups(stream)} == {f"{topic}:k".encode(), b"other"}  # type: ignore[union-attr]
    release.set()
    await until(lambda: client.exists(stream) == 0)


async def test_a_key_that_is_released_is_handled_first_and_then_gone(world: World, topic: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    await system.subscribe(topic, keys.take, durable=True).ready()
    for number in range(3):
        _add(client, topic, "k", n=number)
    _tell(client, f"unregister:{topic}:k")
    await until(lambda: keys.count == 3)
    await until(lambda: client.exists(f"event_stream:{topic}:k") == 0)


async def test_what_was_added_before_anybody_listened_is_found_at_once(world: World, topic: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    _add(client, topic, "k", n=1)
    _tell(client, f"register:{topic}:k")
    for count in (1, 2):
        subscription = system.subscribe(topic, keys.take, durable=True)
        await until(lambda count=count: keys.count == count)  # type: ignore[misc]
        await subscription.unsubscribe()
        _add(client, topic, "k", n=2)


async def test_a_stream_nobody_announced_is_found(world: World, topic: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    await system.subscribe(topic, keys.take, durable=True).ready()
    transport = system._instance._transport
    assert isinstance(transport, RedisTransport)
    assert transport.plain.looking is not None
    await transport.plain.looking
    for number in range(3):
        _add(client, topic, f"k{number}", n=number)
    assert await transport.plain.sweep([topic]) == 3
    await until(lambda: keys.count == 3)


async def test_streams_are_looked_for_after_a_gap(world: World, topic: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    await system.subscribe(topic, keys.take, durable=True).ready()
    _add(client, topic, "k", n="1")
    client.client_kill_filter(_type="pubsub")
    await until(lambda: keys.count == 1)


@pytest.mark.parametrize("notice", ["register", "register:", "register:{topic}", "register:{topic}:", "what:{topic}:k"])
async def test_a_notice_that_makes_no_sense_is_ignored(world: World, topic: str, notice: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    await system.subscribe(topic, keys.take, durable=True).ready()
    _tell(client, notice.replace("{topic}", topic))
    _add(client, topic, "k", n="1")
    _tell(client, f"register:{topic}:k")
    await until(lambda: keys.count == 1)


async def test_what_is_no_stream_harms_nobody(world: World, topic: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    await system.subscribe(topic, keys.take, durable=True).ready()
    client.set(f"event_stream:{topic}:odd", "a string")
    _tell(client, f"register:{topic}:odd")
    await system.publish(topic, 1, key="k")
    await until(lambda: keys.count == 1)
    client.delete(f"event_stream:{topic}:odd")


@pytest.mark.parametrize("batch", [None, (10, 0.05)])
async def test_an_entry_that_cannot_be_read_stops_its_key_and_no_other(world: World, topic: str, batch: Any) -> None:
    client, system, seen = _client(world), await world.system(), Seen()
    await system.subscribe(topic, seen.take, durable=True, batch=batch).ready()
    _add(client, topic, "odd", tl=b"\xff\xff\xff")
    _tell(client, f"register:{topic}:odd")
    await system.publish(topic, 1, key="k")
    await seen.reach(1)
    while not (parked := await system.parked.list(topic)):
        await asyncio.sleep(0.01)
    assert (parked[0].error.code, parked[0].event.key) == ("INVALID_PAYLOAD", "odd")


async def test_a_key_that_is_no_text_can_be_let_go(world: World, topic: str) -> None:
    client, system, seen = _client(world), await world.system(), Seen()

    async def take(data: Any) -> None:
        seen.append(data["n"])
        if data["n"] == "1":
            raise ValueError("no")

    await system.subscribe(topic, take, durable=True, retry=RetryPolicy(max_attempts=1)).ready()
    for number in (1, 2):
        client.xadd(f"event_stream:{topic}:".encode() + b"k\xff", {"n": number})
    client.publish("group_change", f"register:{topic}:".encode() + b"k\xff")
    while not (parked := await system.parked.list(topic)):
        await asyncio.sleep(0.01)
    assert parked[0].event.key == "k\N{REPLACEMENT CHARACTER}"
    await system.parked.skip(topic, parked[0].event.key)
    await seen.reach(2)
    assert await system.parked.list(topic) == []
    await until(lambda: client.exists(f"event_stream:{topic}:".encode() + b"k\xff") == 0)


async def test_quiet_keys_leave_nothing_behind(world: World, topic: str) -> None:
    client, system, keys = _client(world), await world.system(), Keys()
    await system.subscribe(topic, keys.take, durable=True).ready()
    await system.subscribe(topic, Keys().take, durable=True, group="other").ready()
    before = _kept(client, topic)
    for number in range(50):
        await system.publish(topic, number, key=f"k{number}")
    await until(lambda: keys.count == 50)
    await until(lambda: _kept(client, topic) <= before | {b"nr", b"he", b"kn"})
    assert client.hkeys(f"tl:he:{{{topic}}}:default") == [b""], "only the last token"


def _kept(client: redis.Redis, topic: str) -> set[bytes]:
    """Kinds of keys that the server has for a topic."""
    names: list[bytes] = client.keys(f"*[{{:]{topic}[}}:]*")  # type: ignore[assignment]
    return {name.removeprefix(b"tl:").partition(b":")[0] for name in names}
