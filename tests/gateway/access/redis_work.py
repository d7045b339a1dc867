"""Everything a service does with a Redis: run as a program it does it all, and raises where it may not.

`python -m tests.gateway.access.redis_work URL [NAMESPACE]`
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tieline import EventSystem, RetryPolicy
from tieline.history.host import Recording, read_retention
from tieline.history.stores import event_store

SECONDS = 30.0


async def until(true: Callable[[], Any]) -> None:
    """Wait for it."""
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.02)


async def live(ours: EventSystem, theirs: EventSystem) -> None:
    """Events, groups, wildcards, calls, streams, gather, idempotency, explain."""
    heard: list[Any] = []

    def add(numbers: list[int]) -> int:
        return sum(numbers)

    async def count(start: int) -> AsyncIterator[int]:
        for number in range(start):
            yield number

    subscriptions = [
        theirs.subscribe("acl.new", heard.append),
        theirs.subscribe("acl.*", heard.append, group="g"),
        theirs.subscribe("acl.sum", add),
        theirs.subscribe("acl.count", count),
    ]
    for each in subscriptions:
        await each.ready()
    await ours.publish("acl.new", 1)
    await until(lambda: len(heard) >= 2)
    assert await ours.publish_and_wait("acl.sum", [1, 2, 3]) == 6
    assert [item async for item in ours.publish_and_stream("acl.count", 3)] == [0, 1, 2]
    assert [each.value for each in (await ours.publish_and_gather("acl.sum", [1])).replies] == [1]
    for _ in range(2):
        assert await ours.publish_and_wait("acl.sum", [5], idempotency_key="k") == 5
    told = await ours.explain((await ours.publish("acl.new", 2)).correlation_id)
    assert told.steps
    for each in subscriptions:
        await each.unsubscribe()


async def durable(ours: EventSystem, theirs: EventSystem) -> None:
    """Keys, lanes, dead letters, parked keys, groups."""
    done: list[Any] = []

    async def handle(data: Any) -> None:
        if data == "bad":
            raise ValueError("bad")
        done.append(data)

    subscription = theirs.subscribe("acl.kept", handle, durable=True, group="g", retry=RetryPolicy(max_attempts=1))
    await subscription.ready()
    await ours.publish("acl.kept", 1, key="a")
    await ours.publish("acl.kept", 2, durable=True, dedupe="once")
    await ours.publish("acl.kept", 3, durable=True, delay=0.1)
    await until(lambda: {1, 2, 3} <= set(done))
    await ours.publish("acl.kept", "bad", key="b")
    await ours.publish("acl.kept", "bad", durable=True)
    async with asyncio.timeout(SECONDS):
        while not await ours.dead_letters.list("acl.kept") or not await ours.parked.list("acl.kept", group="g"):
            await asyncio.sleep(0.05)
    await ours.parked.skip("acl.kept", "b", group="g")
    await ours.dead_letters.redrive("acl.kept")
    assert await ours.groups.topics()
    assert await ours.groups.list("acl.kept")
    await subscription.unsubscribe()


async def planned(ours: EventSystem) -> None:
    """Schedules and cron tasks."""
    receipt = await ours.publish("acl.later", 1, delay=3_600.0)
    await ours.schedules.reschedule(receipt.id, delay=7_200.0)
    await ours.schedules.list()
    await ours.schedules.figures()
    await ours.schedules.cancel(receipt.id)
    ticks: list[Any] = []
    subscription = ours.subscribe("acl.tick", ticks.append)
    await subscription.ready()
    await ours.cron.create("acl", "@yearly", "acl.tick", 1)
    await ours.cron.run_now("acl")
    await until(lambda: ticks)
    await ours.cron.pause("acl")
    await ours.cron.list()
    await ours.cron.delete("acl")
    await subscription.unsubscribe()


async def recorded(ours: EventSystem, folder: Path) -> None:
    """A recorder: history and replay."""
    store = event_store(f"sqlite://{folder / 'history'}")
    recording = Recording(ours._instance, store, (), read_retention(None, 0, 0))
    await recording.start()
    await ours.publish("acl.new", 7)
    await ours.publish("acl.kept", 8, durable=True)
    async with asyncio.timeout(SECONDS):
        while len((await ours.history.list("acl.*")).events) < 2:
            await asyncio.sleep(0.05)
    await ours.history.replay_to_the_end("acl.new", to_topic="acl.again")


async def main(url: str, namespace: str = "") -> None:
    """Do all of it."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            EventSystem(url, service="ours", namespace=namespace) as ours,
            EventSystem(url, service="theirs", namespace=namespace) as theirs,
        ):
            await live(ours, theirs)
            await durable(ours, theirs)
            await planned(ours)
            await recorded(ours, Path(folder))
            await ours.prometheus(groups=True, schedules=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
