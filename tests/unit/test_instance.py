"""What an instance says in the log of its broker and of its loop."""

from __future__ import annotations

import asyncio
import logging
import re
import time

import pytest

from tieline import EventSystem, instance, testing


@pytest.mark.parametrize("concerned", [True, False])
async def test_an_outage_is_told_from_its_beginning_to_its_end(
    caplog: pytest.LogCaptureFixture, concerned: bool
) -> None:
    caplog.set_level(logging.INFO, "tieline")
    async with testing.Broker() as broker:
        shop = await broker.system("shop").start()
        if concerned:
            shop.subscribe("order.placed", lambda: None)
        await broker.faults.cut(shop)
        await broker.clock.advance(3.2)
        await broker.faults.restore(shop)
        await broker.clock.settle()
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "tieline"]
    (away, back, gap) = told
    assert away == ("WARNING", "the broker is away: the link was cut by the test")
    assert back == ("WARNING", "the broker is back after 3.2 s")
    assert gap[0] == ("WARNING" if concerned else "INFO")
    assert gap[1].startswith("live events between ")


async def test_an_outage_within_an_outage_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tieline")
    async with testing.Broker() as broker:
        shop = await broker.system("shop").start()
        await broker.faults.cut(shop)
        await broker.clock.advance(2)
        shop._instance.reception.on_disconnected("the gateway is gone too")
        await broker.clock.advance(1)
        await broker.faults.restore(shop)
    assert "the broker is back after 3.0 s" in caplog.text


async def test_a_loop_that_stood_still_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "_STANDSTILL_SECONDS", 0.05)
    async with EventSystem("memory://"):
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - that is what is told
        await asyncio.sleep(0.1)
    told = r"the event loop stood still for \d+\.\d+ s; a handler blocks it, or the process was stopped"
    assert re.search(told, caplog.text)
