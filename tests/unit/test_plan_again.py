"""A plan whose answer, or which itself, is lost with the link: it is sent again, and planned once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.gateway.up import Up
from tests.suite.seen import until
from tests.support.proxy import FaultProxy
from tests.support.servers import RedisServer
from tieline import EventSystem, Settings

SETTINGS = Settings(reconnect_min=0.01, reconnect_max=0.05, drain=0.1)
HOUR = 3600.0


@pytest.fixture(params=["redis", "gateway"])
async def broker(request: pytest.FixtureRequest, redis_server: RedisServer, redis_url: str) -> AsyncIterator[str]:
    """The address of a broker."""
    if request.param == "redis":
        yield redis_url
    else:
        async with Up() as up:
            yield up.url


@pytest.fixture
async def watcher(broker: str) -> AsyncIterator[EventSystem]:
    """One that sees what is planned."""
    async with EventSystem(broker, service="watcher", settings=SETTINGS) as system:
        yield system


@pytest.fixture
async def proxy(broker: str) -> AsyncIterator[FaultProxy]:
    host, port = broker.partition("://")[2].partition("/")[0].split(":")
    async with FaultProxy(host, int(port)) as made:
        yield made


@pytest.fixture
async def planner(broker: str, proxy: FaultProxy) -> AsyncIterator[EventSystem]:
    """One whose link can break."""
    way, _, rest = broker.partition("://")
    path = rest.partition("/")[2]
    async with EventSystem(f"{way}://127.0.0.1:{proxy.port}/{path}".rstrip("/"), settings=SETTINGS) as system:
        yield system


async def test_a_plan_that_never_arrived_is_sent_again(
    planner: EventSystem, watcher: EventSystem, proxy: FaultProxy
) -> None:
    proxy.black_hole()
    planning = asyncio.create_task(planner.publish("plan.again", 1, delay=HOUR))
    await asyncio.sleep(0.2)
    assert (await watcher.schedules.list()).total == 0
    proxy.reset()  # what was on its way is lost
    await proxy.restore()
    receipt = await planning
    (listed,) = (await watcher.schedules.list()).items
    assert (listed.id, listed.due) == (receipt.id, receipt.due)
    await watcher.schedules.cancel(receipt.id)


async def test_a_plan_whose_answer_is_lost_is_planned_once(
    planner: EventSystem, watcher: EventSystem, proxy: FaultProxy
) -> None:
    for _ in range(10):
        proxy.delay(1500)
        planning = asyncio.create_task(planner.publish("plan.again", 1, delay=HOUR))
        while not (await watcher.schedules.list()).total:
            await asyncio.sleep(0)
        answered = planning.done()
        proxy.reset()
        await proxy.restore()
        await until(lambda: planner.connected)
        receipt = await planning
        assert [each.id for each in (await watcher.schedules.list()).items] == [receipt.id]
        await watcher.schedules.cancel(receipt.id)
        if not answered:  # as it is unless this process stood still for so long
            return
    pytest.fail("each time the answer was faster")
