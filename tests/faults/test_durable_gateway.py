"""Durable events while a gateway is killed and started again; they are on Redis behind it, or in its own file."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from tests.faults.conftest import QUICK
from tests.faults.test_durable import FULL, Record, fleet, handled
from tests.gateway.up import Up, system
from tests.suite.seen import until
from tests.support.servers import RedisServer
from tieline import EventSystem, Receipt, Settings, TielineError

KEYS, EACH = 20, 60
LEASE = {**QUICK, "lease": 6.0, "lease_refresh": 1.0}
"""Longer than a busy machine takes to start a gateway, or what is handled loses its lease too often and is parked."""
MOST = 100 if FULL else 12


async def send(publisher: EventSystem, topic: str, key: str) -> int:
    """Publish in order; whoever does not know whether it was stored says so by an id. Returns how often it was so."""
    again = 0
    for number in range(EACH):
        receipt: Receipt | None = None
        await asyncio.sleep(random.uniform(0, 0.1))
        while receipt is None:
            try:
                receipt = await publisher.publish(
                    topic, number, key=key, dedupe=f"{key}-{number}", wait_for_connection=20.0
                )
            except TielineError:
                again += 1
    return again


@pytest.mark.parametrize("where", ["redis", "file"])
async def test_a_gateway_that_is_killed_loses_nothing_and_keeps_the_order(
    server: RedisServer, tmp_path: Path, where: str
) -> None:
    record, killed = Record(tmp_path / "record"), 0
    options = ("--redis-url", server.url) if where == "redis" else ("--store", str(tmp_path / "events.db"))
    async with contextlib.AsyncExitStack() as stack:
        up = await stack.enter_async_context(Up(*options))
        publisher = await stack.enter_async_context(system(up, settings=Settings(**QUICK)))
        await stack.enter_async_context(fleet(up.url, "gateway", record, 2, pause=0.01, settings=LEASE))
        sending = asyncio.gather(*(send(publisher, "gateway", f"k{key}") for key in range(KEYS)))
        while killed < 5 or (killed < MOST and not sending.done()):  # it must end on a machine that is slow to start it
            await asyncio.sleep(random.uniform(0, 0.5))
            up.kill()
            await up.wait()
            await up.start()
            killed += 1
        again = sum(await sending)
        await until(lambda: publisher.connected)
        await handled(publisher, "gateway")
    counts = record.counts({f"k{key}": EACH for key in range(KEYS)})
    print(f"\n{KEYS * EACH} events of {KEYS} keys, a gateway killed {killed} times, {again} published again: {counts}")
    assert (counts.lost, counts.reordered) == (0, 0)
