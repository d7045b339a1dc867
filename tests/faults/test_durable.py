"""Durable events while consumers are killed and frozen, and Redis is killed, emptied or robbed of what it knew.

Each test prints what was lost, handled twice and out of order. A handler's writes are taken as a storage would that
refuses a token smaller than one it has seen for the key: what a frozen process writes when it wakes does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.conftest import QUICK, Bench
from tests.suite.durable import Keys
from tests.suite.seen import until
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import EventSystem, Receipt, TielineError

PEER = Path(__file__).parents[1] / "peers/consumer.py"
FULL = bool(os.environ.get("FAULTS_FULL"))
LEASE = {**QUICK, "lease": 1.5, "lease_refresh": 0.5}


class Counts(NamedTuple):
    """What became of numbered events."""

    lost: int
    duplicated: int
    reordered: int
    fenced: int

    def __str__(self) -> str:
        told = f"{self.lost} lost, {self.duplicated} handled again, {self.reordered} out of order"
        return f"{told}, {self.fenced} writes fenced off"


class Record:
    """The file that consumers write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[tuple[str, str, int, int]]:
        """Key, payload, token and attempt of each handling, in the order in which they were written."""
        if not self.path.exists():
            return []
        parts = (line.split() for line in self.path.read_text().splitlines())
        return [(key, payload, int(token), int(attempt)) for key, payload, token, attempt in parts]

    def counts(self, sent: dict[str, int]) -> Counts:
        """Judge what was written; of each key the numbers 0 to its count were sent, in this order."""
        tokens, reached = defaultdict[str, int](int), defaultdict[str, int](lambda: -1)
        seen: dict[str, set[int]] = {key: set() for key in sent}
        duplicated = reordered = fenced = 0
        for key, payload, token, _ in self.lines():
            number = int(payload)
            if token < tokens[key]:
                fenced += 1
                continue
            tokens[key] = token
            seen[key].add(number)
            if number <= reached[key]:
                duplicated += 1
            elif number > reached[key] + 1:
                reordered += 1
            reached[key] = max(number, reached[key])
        lost = sum(count - len(seen[key]) for key, count in sent.items())
        return Counts(lost, duplicated, reordered, fenced)


class Fleet:
    """Consumers that are killed and replaced."""

    def __init__(self, url: str, topic: str, record: Record, **options: Any) -> None:
        told = {"url": url, "topic": topic, "file": str(record.path), "settings": LEASE, **options}
        self._told = json.dumps(told)
        self.peers: list[Peer] = []
        self.killed = 0

    async def grow(self, count: int) -> None:
        """Start so many more."""
        self.peers += await asyncio.gather(*(Peer.python(PEER, self._told).start() for _ in range(count)))

    async def lose_one(self) -> None:
        """Kill one of them, as a crash would, and start another one."""
        peer = self.peers.pop(random.randrange(len(self.peers)))
        peer.kill()
        self.killed += 1
        await peer.close()
        await self.grow(1)

    async def close(self) -> None:
        """End all."""
        for peer in self.peers:
            await peer.close()


@contextlib.asynccontextmanager
async def fleet(url: str, topic: str, record: Record, count: int, **options: Any) -> AsyncIterator[Fleet]:
    """So many consumers."""
    made = Fleet(url, topic, record, **options)
    try:
        await made.grow(count)
        yield made
    finally:
        await made.close()


async def publish(system: EventSystem, topic: str, events: int, keys: int) -> dict[str, int]:
    """Publish so many events over so many keys; returns how many were sent for each."""
    sent = defaultdict[str, int](int)
    for start in range(0, events, keys):
        for key in range(min(keys, events - start)):
            sent[f"k{key}"] += 1
        number = start // keys
        await asyncio.gather(
            *(system.publish(topic, number, key=f"k{key}") for key in range(min(keys, events - start)))
        )
    return dict(sent)


async def handled(system: EventSystem, topic: str, seconds: float = 120.0) -> None:
    """Wait until nothing waits any more."""
    groups = await system.groups.list(topic)
    until = time.monotonic() + seconds
    while any(group.waiting for group in groups):
        assert time.monotonic() < until, [*groups, await system.parked.list(topic, groups[0].name)]
        await asyncio.sleep(0.1)
        groups = await system.groups.list(topic)


async def test_consumers_that_are_killed_lose_nothing_and_keep_the_order(bench: Bench, tmp_path: Path) -> None:
    events, keys, pause = (100_000, 1_000, 0.3) if FULL else (12_000, 300, 0.4)
    record, publisher = Record(tmp_path / "record"), await bench.system("publisher")
    async with fleet(bench.server.url, "killed", record, 3) as consumers:
        sending = asyncio.create_task(publish(publisher, "killed", events, keys))
        while not sending.done() or consumers.killed < 6:
            await asyncio.sleep(random.uniform(0, pause))
            await consumers.lose_one()
        sent = await sending
        await handled(publisher, "killed")
    counts = record.counts(sent)
    print(f"\n{events} events of {keys} keys, {consumers.killed} consumers killed: {counts}")
    assert (counts.lost, counts.reordered) == (0, 0)
    assert counts.duplicated <= consumers.killed * 2_000, "only what was claimed and not acknowledged"


async def test_a_consumer_that_freezes_past_its_lease_is_replaced_and_fenced_off(bench: Bench, tmp_path: Path) -> None:
    record, publisher = Record(tmp_path / "record"), await bench.system("publisher")
    async with fleet(bench.server.url, "frozen", record, 2, pause=0.002) as consumers:
        sending = asyncio.create_task(publish(publisher, "frozen", 4_000, 100))
        for _ in range(3):
            frozen = random.choice(consumers.peers)
            await until(lambda: len(record.lines()) > 100)
            frozen.stop()
            await asyncio.sleep(LEASE["lease"] + 1.0)
            frozen.cont()
            await asyncio.sleep(0.3)
        sent = await sending
        await handled(publisher, "frozen")
    counts = record.counts(sent)
    print(f"\n4000 events of 100 keys, a consumer frozen three times: {counts}")
    assert (counts.lost, counts.reordered) == (0, 0)


async def test_a_redis_that_is_killed_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    record = Record(tmp_path / "record")
    with RedisServer(persist=True) as server:
        bench = Bench(server)
        publisher = await bench.system("publisher")
        stored = defaultdict[str, list[int]](list)

        async def send(key: int) -> None:
            for number in range(120):
                receipt: Receipt | None = None
                while receipt is None:
                    with contextlib.suppress(TielineError):
                        known = f"{key}-{number}"  # whoever does not know whether it was stored says so by an id
                        receipt = await publisher.publish("restarted", number, key=f"k{key}", dedupe=known)
                stored[f"k{key}"].append(number)

        async with fleet(server.url, "restarted", record, 2):
            sending = asyncio.gather(*(send(key) for key in range(30)))
            for _ in range(3):
                await asyncio.sleep(0.6)
                server.kill()
                server.start()
            await asyncio.wait_for(sending, 60)
            await handled(publisher, "restarted")
        await bench.close()
    counts = record.counts({key: len(numbers) for key, numbers in stored.items()})
    print(f"\n3600 events of 30 keys, Redis killed three times, every write on disk: {counts}")
    assert (counts.lost, counts.reordered) == (0, 0)


@pytest.mark.parametrize("blow", [("SCRIPT", "FLUSH"), ("XGROUP", "DESTROY"), ("FLUSHALL",)])
async def test_a_redis_that_forgets_is_in_use_again_soon(bench: Bench, blow: tuple[str, ...]) -> None:
    publisher, keys = await bench.system("publisher"), Keys(0.001)
    for _ in range(2):
        await (await bench.system("consumer")).subscribe("forgets", keys.take, durable=True).ready()
    sending = asyncio.create_task(publish(publisher, "forgets", 3_000, 50))
    for _ in range(5):
        await asyncio.sleep(0.1)
        if blow[0] == "XGROUP":
            for stream in await bench.ask("KEYS", "event_stream:*"):
                with contextlib.suppress(Exception):  # it was empty meanwhile, and is gone
                    name = stream.decode().removeprefix("event_stream:")
                    await bench.ask("XGROUP", "DESTROY", stream, name)
        else:
            await bench.ask(*blow)
    sent = await sending
    before = keys.count
    for number in range(20):
        await publisher.publish("forgets", sent["k0"] + number, key="k0")
    await until(lambda: keys.seen["k0"] and keys.seen["k0"][-1] == sent["k0"] + 19, 5.0 + 25.0)
    await handled(publisher, "forgets")
    jumps = sum(other > one + 1 for numbers in keys.seen.values() for one, other in itertools.pairwise(numbers))
    lost = sum(sent.values()) + 20 - sum(len(set(numbers)) for numbers in keys.seen.values())
    print(f"\n{' '.join(blow)} five times amid 3000 events: {lost} lost, {jumps} jumps, {before} before the end")
    assert not keys.overlapped
    if blow[0] != "FLUSHALL":  # which deletes events
        assert (lost, jumps) == (0, 0)


async def test_an_event_that_ends_its_handlers_process_parks_its_key(bench: Bench, tmp_path: Path) -> None:
    record, publisher = Record(tmp_path / "record"), await bench.system("publisher")
    async with fleet(bench.server.url, "poison", record, 0) as consumers:
        await publisher.publish("poison", "poison", key="bad")
        await publisher.publish("poison", 1, key="bad")

        async def keep_one_alive() -> None:
            while True:
                await consumers.grow(1)
                await consumers.peers[-1].wait(seconds=120)

        keeping = asyncio.create_task(keep_one_alive())
        sent = await publish(publisher, "poison", 200, 20)
        async with asyncio.timeout(90):
            while not await publisher.parked.list("poison"):
                await asyncio.sleep(0.1)
            while (await publisher.groups.list("poison"))[0].waiting > 2:
                await asyncio.sleep(0.1)
        keeping.cancel()
    lines = record.lines()
    attempts = [attempt for _, payload, _, attempt in lines if payload == "poison"]
    print(f"\na poisonous event was handled {len(attempts)} times; {len(lines)} handlings in all")
    assert attempts == [1, 2, 3, 4, 5]
    assert "bad" not in {key for key, payload, _, _ in lines if payload != "poison"}
    assert {
        key: sum(1 for other, *_ in lines if other == key) >= count for key, count in sent.items()
    } == dict.fromkeys(sent, True)
    (parked,) = await publisher.parked.list("poison")
    assert parked.error.code == "RESPONDER_LOST"
