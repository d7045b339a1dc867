"""A gateway in front of Redis has a scheduler of its own: it fires the tasks of all, and keeps those of its Links."""

from __future__ import annotations

from tests.suite.gateways import GatewayProcess
from tests.suite.seen import Seen, until
from tieline import EventSystem


async def test_a_gateway_fires_ticks_and_makes_calls(redis_url: str) -> None:
    with GatewayProcess("--redis-url", redis_url) as gateway:
        async with (
            EventSystem(redis_url, service="maker") as maker,
            EventSystem(gateway.url, service="linked") as linked,
        ):
            scheduler = maker._instance.scheduler
            assert scheduler is not None
            await scheduler.stop()  # only the gateway is left to fire
            seen, told = Seen(), Seen()
            await linked.subscribe("tick", seen.take).ready()
            await linked.subscribe("add", sum).ready()
            await maker.subscribe("cron.task.completed", told.take).ready()
            await maker.cron.create("beat", "every 1s", "tick", 7)
            await maker.cron.create("sum", "@yearly", "add", [1, 2], call=True)
            await maker.cron.run_now("sum")
            await seen.reach(2)
            await until(lambda: any(each["task"] == "sum" for each in told))
            last = (await maker.cron.get("sum")).last
            assert last is not None
            assert (last.status, last.reply) == ("completed", 3)
            await maker.cron.delete("beat")
