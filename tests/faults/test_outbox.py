"""Reliable publishing: whatever is killed, each event that was published is stored once, in the order of its key."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.node_package import provide

from tests.faults.conftest import QUICK
from tests.suite.durable import Keys
from tests.suite.seen import until
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import EventSystem, Item, OverloadedError, Settings
from tieline._contract import contract

PEERS = Path(__file__).parents[1] / "peers"


@pytest.fixture(params=["python", "node"])
def language(request: pytest.FixtureRequest) -> str:
    """What the publishers with an outbox are written in."""
    if request.param == "node":
        provide(PEERS)
    return str(request.param)


def peer(language: str, server: RedisServer, path: Path, first: int = 1, count: int = 0, **options: Any) -> Peer:
    told = {"url": server.url, "path": str(path), "topic": "orders", "first": first, "count": count, **options}
    if language == "node":
        return Peer.node(PEERS / "outbox.mjs", json.dumps(told))
    return Peer.python(PEERS / "outbox.py", json.dumps(told))


@pytest.fixture
def durable_server() -> Iterator[RedisServer]:
    with RedisServer(persist=True) as running:
        yield running


QUEUED = re.compile(r"QUEUED (\d+)")  # a process that was killed may have left half a line


def queued(publisher: Peer) -> int:
    """The last number that is known to be on disk; 0 for none."""
    numbers = [int(found[1]) for line in publisher.output if (found := QUEUED.match(line))]
    return max(numbers, default=0)


def in_order(count: int) -> dict[str, list[int]]:
    return {f"k{key}": [number for number in range(1, count + 1) if number % 3 == key] for key in range(3)}


async def handled(language: str, server: RedisServer, path: Path) -> dict[str, list[int]]:
    """What a subscriber gets of all that was published; another process stores what is left in the outbox."""
    keys = Keys()
    async with EventSystem(server.url, settings=Settings(**QUICK)) as system, peer(language, server, path) as successor:
        await system.subscribe("orders", keys.take, durable=True).ready()
        await successor.line("^EMPTY", seconds=60.0)
        while any(group.waiting for group in await system.groups.list("orders")):
            await asyncio.sleep(0.02)
    return dict(keys.seen)


async def empty(system: EventSystem) -> None:
    """Wait until all of its outbox is stored."""
    assert system.outbox is not None
    async with asyncio.timeout(60.0):
        while await system.outbox.figures() != (0, 0):
            await asyncio.sleep(0.02)


async def test_what_is_queued_while_the_broker_is_away_outlives_the_process(
    language: str, server: RedisServer, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.db"
    server.stop()
    async with peer(language, server, path, count=200) as publisher:
        await publisher.line("^ALL")
        publisher.kill()
        await publisher.wait()
    server.start()
    assert await handled(language, server, path) == in_order(200)


async def test_what_was_stored_when_the_process_was_killed_is_not_stored_again(
    language: str, server: RedisServer, tmp_path: Path
) -> None:
    path, keys = tmp_path / "outbox.db", Keys()
    async with EventSystem(server.url) as system:
        await system.subscribe("orders", keys.take, durable=True).ready()
        async with peer(language, server, path, count=30, forget=True) as publisher:
            await until(lambda: keys.count >= 30)
            await publisher.line("^ALL")
            publisher.kill()
            await publisher.wait()
        async with peer(language, server, path) as successor:
            await successor.line("^EMPTY")
            assert "WAITING 30" in successor.output
        await system.publish("orders", "last", key="k0")
        await until(lambda: "last" in keys.seen["k0"])
    keys.seen["k0"].remove("last")
    assert keys.seen == in_order(30)


async def test_publishers_that_are_killed_again_and_again_lose_and_double_nothing(
    language: str, server: RedisServer, tmp_path: Path
) -> None:
    path, first = tmp_path / "outbox.db", 1
    chance, promised = random.Random(7), set[int]()
    for _ in range(5):
        async with peer(language, server, path, first=first, count=100_000) as publisher:
            await until(lambda publisher=publisher: queued(publisher), 30.0, lambda publisher=publisher: publisher.text)
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            publisher.kill()
            await publisher.wait()
            promised |= set(range(first, queued(publisher) + 1))
            first = queued(publisher) + 10  # what is on disk need not have been printed
    found = await handled(language, server, path)
    assert all(numbers == sorted(set(numbers)) for numbers in found.values())
    assert promised <= {number for numbers in found.values() for number in numbers}


async def test_the_broker_may_come_back_while_the_publisher_lives(durable_server: RedisServer, tmp_path: Path) -> None:
    server, path, keys = durable_server, tmp_path / "outbox.db", Keys()
    async with EventSystem(server.url, settings=Settings(**QUICK), outbox=path) as system:
        await system.subscribe("orders", keys.take, durable=True).ready()
        for number in range(1, 31):
            if number in (10, 20):
                server.stop()
            receipt = await system.publish("orders", number, key=f"k{number % 3}")
            assert (receipt.queued, receipt.stored) == (True, None)
            if number == 15:
                server.start()
                await until(lambda: keys.count >= 15)
        server.start()
        await until(lambda: keys.count >= 30)
        await empty(system)
        await asyncio.sleep(0.1)
    assert {key: sorted(set(numbers)) for key, numbers in keys.seen.items()} == in_order(30)


async def test_an_event_waits_until_its_key_has_room_and_others_do_not(server: RedisServer, tmp_path: Path) -> None:
    keys = Keys()
    async with EventSystem(server.url, outbox=tmp_path / "outbox.db") as system:
        for number in range(6):
            await system.publish("orders", number, key="full", max_stored=2)
        await system.publish("orders", "free", key="free", max_stored=2)
        await system.publish_many("orders", [Item("both", key="free"), Item("both", key="full")], max_stored=2)
        await system.publish("orders", "after", key="free", max_stored=2)
        other = await EventSystem(server.url).start()
        assert system.outbox is not None
        while (await system.outbox.figures()).events > 7:
            await asyncio.sleep(0.02)
        await other.subscribe("orders", keys.take, durable=True).ready()
        await until(lambda: keys.count >= 10)
        await empty(system)
        await other.aclose()
    assert keys.seen == {"full": [*range(6), "both"], "free": ["free", "both", "after"]}


async def test_an_event_without_room_waits_although_a_later_one_is_known(server: RedisServer, tmp_path: Path) -> None:
    keys = Keys()
    async with EventSystem(server.url, settings=Settings(**QUICK)) as other:
        server.stop()
        system = EventSystem(server.url, settings=Settings(**QUICK), outbox=tmp_path / "outbox.db")
        for number, dedupe in enumerate(("known", None, None, "known")):
            await system.publish("orders", number, key="k", dedupe=dedupe, max_stored=2)
        server.start()
        await system.start()
        assert system.outbox is not None
        while (await system.outbox.figures()).events > 1:
            await asyncio.sleep(0.02)
        await other.subscribe("orders", keys.take, durable=True).ready()
        await until(lambda: keys.count >= 3)
        await empty(system)
        await system.aclose()
    assert keys.seen == {"k": [0, 1, 2]}


async def test_what_a_short_program_publishes_is_stored_before_it_ends(server: RedisServer, tmp_path: Path) -> None:
    keys = Keys()
    system = EventSystem(server.url, outbox=tmp_path / "outbox.db")
    for number in range(50):
        await system.publish("orders", number, key="k")
    await system.aclose()
    async with EventSystem(server.url) as other:
        await other.subscribe("orders", keys.take, durable=True).ready()
        await until(lambda: keys.count >= 50)
    assert keys.seen == {"k": list(range(50))}


async def test_a_full_outbox_refuses(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LIMIT_OUTBOX_EVENTS", 5)
    server.stop()
    system = EventSystem(server.url, outbox=tmp_path / "outbox.db")
    await system.publish_many("orders", [Item(number, key="k") for number in range(4)])
    with pytest.raises(OverloadedError) as caught:
        await system.publish_many("orders", [Item(number, key="k") for number in range(2)])
    assert caught.value.retry_after
    await system.publish("orders", 4, key="k")
    with pytest.raises(OverloadedError):
        await system.publish("orders", 5, key="k")
    monkeypatch.setattr(contract, "LIMIT_OUTBOX_BYTES", 0)
    assert system.outbox is not None
    assert (await system.outbox.figures()).events == 5
    await system.aclose()


async def test_an_outbox_belongs_to_one_process_for_as_long_as_that_lives(
    language: str, server: RedisServer, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.db"
    async with peer(language, server, path, count=1) as publisher:
        await publisher.line("^EMPTY")
        async with peer(language, server, path) as other:
            told = await other.line("^(WAITING|UNAVAILABLE)")
            assert told.startswith(f"UNAVAILABLE NOT_DELIVERED the file {path} cannot be used: ")
            assert told.endswith("another process uses it: give each one a file of its own")
        publisher.kill()
        await publisher.wait()
    async with peer(language, server, path) as successor:
        assert await successor.line("^(WAITING|UNAVAILABLE)") == "WAITING 0"


async def test_a_frozen_process_keeps_its_outbox(language: str, server: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with peer(language, server, path, count=1) as publisher:
        await publisher.line("^EMPTY")
        publisher.stop()
        async with peer(language, server, path) as other:
            assert "another process uses it" in await other.line("^(WAITING|UNAVAILABLE)")
        publisher.cont()


@pytest.mark.parametrize(("first", "second"), [("python", "node"), ("node", "python")])
async def test_an_outbox_belongs_to_one_language(first: str, second: str, server: RedisServer, tmp_path: Path) -> None:
    provide(PEERS)
    path = tmp_path / "outbox.db"
    server.stop()
    async with peer(first, server, path, count=20) as publisher:
        await publisher.line("^ALL")
        publisher.kill()
        await publisher.wait()
    async with peer(second, server, path) as other:
        told = await other.line("^(WAITING|UNAVAILABLE)")
        assert told.startswith(f"UNAVAILABLE NOT_DELIVERED the file {path} cannot be used: ")
    server.start()
    assert await handled(first, server, path) == in_order(20)


async def test_a_folder_that_is_not_there_is_told(language: str, server: RedisServer, tmp_path: Path) -> None:
    folder = tmp_path / "no" / "such"
    async with peer(language, server, folder / "outbox.db") as publisher:
        told = await publisher.line("^(WAITING|UNAVAILABLE)")
    why = f"there is no folder {folder}; make it, or choose another path"
    assert told == f"UNAVAILABLE NOT_DELIVERED the file {folder / 'outbox.db'} cannot be used: {why}"
