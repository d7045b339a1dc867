"""Durable subscriptions that end, begin or meet nonsense at a bad moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.suite.seen import Seen, until
from tests.support.proxy import FaultProxy
from tests.support.servers import RedisServer
from tieline import EventSystem, Settings

QUICK = Settings(reconnect_min=0.01, reconnect_max=0.05, ping_interval=0.3, pong_timeout=0.5, connect_timeout=1.0)


@pytest.fixture
async def proxy(redis_server: RedisServer, redis_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", redis_server.port) as made:
        yield made


def _system(port: int) -> EventSystem:
    return EventSystem(f"redis://127.0.0.1:{port}", service="ends", settings=QUICK)


async def _nothing(data: Any) -> None:
    """Handle."""


async def test_what_a_claim_on_its_way_gets_is_given_back_at_the_end(
    proxy: FaultProxy, redis_server: RedisServer
) -> None:
    held = ("HGET", "tl:he:{ends.claim}:default", "a")
    first, second = _system(proxy.port), _system(redis_server.port)
    subscription = first.subscribe("ends.claim", _nothing, durable=True)
    await subscription.ready()
    await second.start()
    proxy.delay(300)
    await second.publish("ends.claim", 1, key="a")
    await until(lambda: redis_server.command(*held) != "$-1")
    async with asyncio.timeout(10):
        await subscription.drain()
    assert redis_server.command(*held) == "$-1"
    await first.aclose(0)
    await second.aclose(0)


async def test_a_system_that_is_closed_while_the_broker_is_away_leaves_nothing_running(proxy: FaultProxy) -> None:
    before = asyncio.all_tasks()
    system, seen, go = _system(proxy.port), Seen(), asyncio.Event()

    async def take(data: Any) -> None:
        seen.append(data)
        await go.wait()

    await system.subscribe("ends.away", take, durable=True).ready()
    await system.publish("ends.away", 1, key="a")
    await seen.reach(1)
    proxy.refuse()
    proxy.reset()
    go.set()
    await system.aclose(0.3)
    mine = [task for task in asyncio.all_tasks() - before if "FaultProxy" not in repr(task)]
    await until(lambda: all(task.done() for task in mine))


async def test_a_durable_subscription_made_while_the_broker_is_away_begins_when_it_is_back(proxy: FaultProxy) -> None:
    system, seen = _system(proxy.port), Seen()
    await system.start()
    await system.subscribe("ends.other", _nothing, durable=True).ready()
    proxy.refuse()
    proxy.reset()
    late = system.subscribe("ends.late", seen.append, durable=True)
    await asyncio.sleep(0.1)
    await proxy.restore()
    await late.ready()
    await system.publish("ends.late", 1, key="a", wait_for_connection=5)
    await seen.reach(1)
    await system.aclose(0)


@pytest.mark.parametrize("fields", [("tl", "\\x08\\x08\\x08"), ("tl", "x", "group", "y", "more", "z")])
@pytest.mark.parametrize("batch", [None, (5, 0.05)])
async def test_an_entry_that_is_no_event_stops_its_key_only(
    redis_server: RedisServer, redis_url: str, fields: tuple[str, ...], batch: Any
) -> None:
    system, seen = EventSystem(redis_url, service="ends", settings=QUICK), Seen()

    async def take(data: Any) -> None:
        seen.extend(data if batch else [data])

    options: dict[str, Any] = {} if batch is None else {"batch": batch}
    await system.subscribe("ends.bad", take, durable=True, **options).ready()
    redis_server.command("XADD", "event_stream:ends.bad:bad", "*", *fields)
    redis_server.command("PUBLISH", "group_change", "register:ends.bad:bad")
    await system.publish("ends.bad", 1, key="good")
    if len(fields) > 2:
        await until(lambda: len(seen) == 2)
    else:
        await until(lambda: ":1" in redis_server.command("HLEN", "tl:pk:{ends.bad}:default"))
        await until(lambda: seen == [1])
        (stopped,) = await system.parked.list("ends.bad")
        await system.parked.skip("ends.bad", stopped.event.key)
    await system.aclose(0)


async def test_while_the_broker_is_away_little_is_said_and_what_lasts_is_a_warning(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tieline")
    system, go = _system(proxy.port), asyncio.Event()
    begun = Seen()

    async def take(data: Any) -> None:
        begun.append(data)
        await go.wait()

    def told(verb: str) -> list[str]:
        return [record.levelname for record in caplog.records if record.message.startswith(f"{verb} events of 'ends.")]

    await system.subscribe("ends.quiet", take, durable=True).ready()
    await system.publish("ends.quiet", 1, key="a")
    await begun.reach(1)
    proxy.refuse()
    proxy.reset()
    go.set()
    await until(lambda: told("settling") == ["INFO", "WARNING"])
    await asyncio.sleep(1.2)
    assert told("settling") == ["INFO", "WARNING"]
    assert len(told("claiming")) <= 2
    await proxy.restore()
    await until(lambda: system.connected)
    await system.aclose(5)
