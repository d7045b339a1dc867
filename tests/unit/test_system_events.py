"""System events: how often they are told, and where they are not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from typing import Any, cast

import pytest

from tests.suite.seen import Seen, until
from tests.support.servers import RedisServer
from tests.support.system_events import assert_as_agreed
from tieline import EventSystem, InvalidArgumentError, Settings, instance, testing
from tieline.context import Event
from tieline.system_events import SystemWarningPayload

LOUD = Settings(system_events=True)


class Heard(list[dict[str, Any]]):
    """System events, each as agreed."""

    async def take(self, data: dict[str, Any], event: Event) -> None:
        assert_as_agreed(event.topic, data)
        self.append(data)


async def raising(data: Any) -> None:
    raise LookupError("no")


async def test_of_a_kind_and_topic_one_a_second_is_told_and_the_others_are_counted() -> None:
    heard = Heard()
    async with testing.Broker() as broker:
        shop = broker.system("shop", settings=LOUD)
        shop.subscribe("system.error", heard.take)
        shop.subscribe("order.*", raising)
        for _ in range(10):
            for _ in range(20):
                await shop.publish("order.placed", 1)
            await shop.publish("order.paid", 1)
            await broker.clock.advance(0.25)
        await broker.clock.advance(2)
    placed = [each["left_out"] for each in heard if each["topic"] == "order.placed"]
    paid = [each["left_out"] for each in heard if each["topic"] == "order.paid"]
    assert sum(placed) + len(placed) == 200
    assert sum(paid) + len(paid) == 10
    assert len(placed) == len(paid) == 4


async def test_of_very_many_topics_not_all_are_told() -> None:
    heard = Heard()
    async with testing.Broker() as broker:
        shop = broker.system("shop", settings=LOUD)
        shop.subscribe("system.error", heard.take)
        shop.subscribe("order.*", raising)
        for number in range(1_100):
            await shop.publish(f"order.n{number}", 1)
        assert len(heard) == 1_000
        await broker.clock.advance(2)
        await shop.publish("order.later", 1)
        await until(lambda: heard[-1]["topic"] == "order.later")


async def test_an_outage_is_a_gap() -> None:
    heard = Heard()

    async def typed(data: SystemWarningPayload, event: Event) -> None:
        await heard.take(cast("dict[str, Any]", data), event)

    async with testing.Broker() as broker:
        shop = await broker.system("shop", settings=LOUD).start()
        shop.subscribe("system.warning", typed)
        await broker.faults.cut(shop)
        await broker.clock.advance(3.2)
        await broker.faults.restore(shop)
        await broker.clock.settle()
    (gap,) = heard
    assert (gap["kind"], gap["reason"]) == ("gap", "the link was cut by the test")
    assert (gap["until"] - gap["since"]).total_seconds() >= 3.2


async def test_a_system_for_tests_tells_nothing_unless_it_is_asked_to() -> None:
    heard = Heard()
    async with testing.Broker() as broker:
        shop = broker.system("shop")
        shop.subscribe("system.>", heard.take)
        shop.subscribe("order.placed", raising)
        await shop.publish("order.placed", 1)
        await shop.aclose()
    assert heard == []


async def test_a_handler_that_blocks_the_loop_at_each_warning_is_not_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instance, "_STANDSTILL_SECONDS", 1.0)
    heard = Heard()
    async with EventSystem("memory://") as events:

        async def slow(data: dict[str, Any], event: Event) -> None:
            await heard.take(data, event)
            time.sleep(2.5)  # noqa: ASYNC251 - that is what it does

        events.subscribe("system.warning", slow)
        await asyncio.sleep(0)
        time.sleep(2.5)  # noqa: ASYNC251 - that is what is told
        await until(lambda: heard)
        await asyncio.sleep(2.5)
    (blocked,) = heard
    assert blocked["kind"] == "loop_blocked"
    assert blocked["seconds"] > 1.0


async def test_who_closes_at_a_signal_says_so() -> None:
    heard = Heard()
    async with testing.Broker(real_time=True) as broker:
        watcher = broker.system("watcher")
        watcher.subscribe("system.shutdown", heard.take)
        shop = broker.system("shop", settings=LOUD)
        serving = asyncio.ensure_future(shop.serve())
        await until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
        await until(lambda: heard)
    assert [each["reason"] for each in heard] == ["signal"]


async def test_a_broker_that_does_not_allow_them_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tieline")
    seen = Seen()
    with RedisServer() as server:
        rights = ["&tl:rq:*", "&tl:gr:*", "&tl:in:*", "&tl:ev:order.*", "&tl:pn", "&tl:ob:*"]
        server.command("ACL", "SETUSER", "limited", "on", ">secret", "+@all", "~*", "resetchannels", *rights)
        async with EventSystem(f"redis://limited:secret@127.0.0.1:{server.port}") as events:
            await events.subscribe("order.placed", seen.take).ready()
            await events.subscribe("order.lost", raising).ready()
            await until(lambda: "does not let this instance publish system events" in caplog.text)
            await events.publish("order.lost", 1, wait_local=True)
            await events.publish("order.placed", 1)
            await seen.reach(1)
    assert caplog.text.count("does not let this instance publish system events") == 1


async def test_a_start_that_nobody_waits_for_and_a_close_at_once() -> None:
    for _ in range(20):
        events = EventSystem("memory://")
        await events.start()
        await events.aclose()


@pytest.mark.parametrize("given", [1, "yes", None])
def test_the_switch_is_a_truth(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="system_events is True or False"):
        Settings(system_events=given)
