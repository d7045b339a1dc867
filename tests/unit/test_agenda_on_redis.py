"""Planned events on Redis: who fires, when, and what becomes of what finds no room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.gateway.up import Up
from tests.suite.seen import Seen, settle, until
from tests.support.servers import RedisServer
from tieline import (
    EventSystem,
    InvalidArgumentError,
    PayloadTooLargeError,
    Receipt,
    RetryPolicy,
    ScheduleStatus,
    UnavailableError,
)
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.codec import encode
from tieline.envelope import new_id
from tieline.schedules.agenda import Agenda, Plan, Way
from tieline.transports import redis_agenda

ROLE, AGENDA = contract.role_key("tl:"), contract.agenda_key("tl:")
HOUR = 3_600.0


@asynccontextmanager
async def _systems(url: str, *services: str) -> AsyncIterator[list[EventSystem]]:
    made = [EventSystem(url, service=service) for service in services]
    try:
        for system in made:
            await system.start()
        yield made
    finally:
        for system in made:
            await system.aclose()


def _agenda(system: EventSystem) -> Agenda:
    port = system._instance.port
    assert port is not None
    return port.agenda


def _plan(topic: str, due: int, **changes: Any) -> Plan:
    plan = Plan(new_id(), topic, Way.LANE, "", due, 5, 0, 1, 0, 0, "", 0, 0, b"")
    return plan._replace(**changes)


async def _ask(system: EventSystem, *command: str) -> Any:
    transport: Any = system._instance._transport
    return await transport.require().call(*command)


async def _scripts_run(system: EventSystem) -> int:
    lines = (await _ask(system, "INFO", "commandstats")).decode().split("\r\n")
    (told,) = (line for line in lines if line.startswith("cmdstat_evalsha:"))
    return int(told.partition("calls=")[2].partition(",")[0])


async def test_while_nothing_is_due_nothing_is_asked(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a", "b") as (first, _):
        await first.publish("later", 1, delay=HOUR)
        assert await settle(lambda: _scripts_run(first))
        assert redis_server.command("EXISTS", ROLE) == ":0"


async def test_one_of_several_fires_while_it_is_heard_of(redis_url: str, redis_server: RedisServer) -> None:
    """Whoever has the role and is not heard of any more is waited for, and then replaced."""
    async with _systems(redis_url, "a", "b") as (first, second):
        seen = Seen()
        await second.subscribe("soon", seen.take).ready()
        redis_server.command("SET", ROLE, "gone", "PX", "5000")
        await first.publish("soon", 1, delay=0.05)
        await asyncio.sleep(0.1)
        refused = await _agenda(second).fire(second.instance)
        assert refused.events == []
        assert refused.again is not None
        assert 0.0 < refused.again <= 5.0
        await seen.reach(1)


async def test_who_closes_leaves_the_role_to_others(redis_url: str, redis_server: RedisServer) -> None:
    seen = Seen()
    async with _systems(redis_url, "a", "b") as (first, second):
        await second.subscribe("soon", seen.take).ready()
        redis_server.command("SET", ROLE, first.instance, "PX", "6000")  # so it is the one
        await first.publish("soon", 1, delay=0.5)
        await first.aclose()
        await seen.reach(1)
        assert await _ask(second, "GET", ROLE) != first.instance.encode()


async def test_nothing_is_early_by_the_clock_of_the_server(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        early = list[float]()

        async def look(due: int) -> None:
            seconds, micros = await _ask(system, "TIME")
            early.append(due - (int(seconds) * 1000 + int(micros) / 1000))

        await system.subscribe("due", look).ready()
        now = system._instance.clock.now()
        for offset in range(0, 200, 5):
            due = now + 100 + offset
            plan = _plan("due", due, way=Way.LIVE, envelope=_event(due))
            await _agenda(system).plan(plan)
        await until(lambda: len(early) == 40)
        assert max(early) <= 0


def _event(due: int) -> bytes:
    event = Envelope(id=new_id(), topic="due", source="x/y", time=due, scheduled=due, data=encode(due))
    event.kind = 1  # pyright: ignore[reportAttributeAccessIssue]
    return event.SerializeToString()


async def test_what_finds_no_room_is_tried_again_and_given_up(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        await system.publish("full", 0, key="k")
        retry = RetryPolicy(max_attempts=2, backoff=0.05, cap=0.05)
        receipt = await system.publish("full", 1, key="k", delay=0.01, max_stored=1, retry=retry)
        await until(lambda: redis_server.command("ZCARD", AGENDA) == ":0")
        schedule = await system.schedules.get(receipt.id)
        assert (schedule.status, schedule.attempts) == (ScheduleStatus.FAILED, 2)
        assert "as many events as it may" in schedule.error
        redis_server.command("DEL", "event_stream:full:k")
        again = await system.schedules.retry(receipt.id)
        assert again.id == receipt.id
        await until(lambda: redis_server.command("XLEN", "event_stream:full:k") == ":1")
        assert (await system.schedules.get(receipt.id)).status is ScheduleStatus.DELIVERED
        assert (await _agenda(system).sums())["failed"] == 0


async def test_what_something_else_has_the_name_of_fails_alone(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        redis_server.command("SET", "event_stream:taken:k", "x")
        once = RetryPolicy(max_attempts=1)
        taken = await system.publish("taken", 1, key="k", delay=0.01, retry=once)
        beside = await system.publish("taken", 2, key="other", delay=0.01)
        await until(lambda: redis_server.command("ZCARD", AGENDA) == ":0")
        schedule = await system.schedules.get(taken.id)
        assert (schedule.status, "is no stream" in schedule.error) == (ScheduleStatus.FAILED, True)
        assert (await system.schedules.get(beside.id)).status is ScheduleStatus.DELIVERED


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (contract.groups_key("tl:", "blocked"), {}),
        (contract.mail_groups_key("tl:", "blocked"), {"key": "k"}),
        (contract.due_prefix_key("tl:", "blocked"), {"key": "k"}),
        (contract.lanes_key("tl:", "blocked"), {"durable": True}),
    ],
)
async def test_a_name_that_something_else_has_stops_no_other_event(
    redis_url: str, redis_server: RedisServer, name: str, options: dict[str, Any]
) -> None:
    """And what went out of the event goes out once."""
    async with _systems(redis_url, "a") as (system,):
        seen = Seen()
        await system.subscribe("beside", seen.take).ready()
        redis_server.command("SET", name, "x")
        once = RetryPolicy(max_attempts=2, backoff=0.01, cap=0.01)
        blocked = await system.publish("blocked", 1, delay=0.05, retry=once if options else None, **options)
        await system.publish("beside", 2, delay=0.06)
        await seen.reach(1)
        await until(lambda: redis_server.command("ZCARD", AGENDA) == ":0")
        assert (await system.schedules.get(blocked.id)).status is ScheduleStatus.FAILED
        assert redis_server.command("XLEN", "event_stream:blocked:k") in (":0", ":1")


@pytest.mark.parametrize("left", [("PX", "3600000"), ()])
async def test_a_role_that_nobody_can_have_for_so_long_is_taken(
    redis_url: str, redis_server: RedisServer, left: tuple[str, ...]
) -> None:
    """The clock of a server that is set back would keep the role of who is gone."""
    async with _systems(redis_url, "a") as (system,):
        seen = Seen()
        await system.subscribe("soon", seen.take).ready()
        redis_server.command("SET", ROLE, "gone", *left)
        await system.publish("soon", 1, delay=0.05)
        await seen.reach(1)


async def test_a_server_without_memory_keeps_what_is_due(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        seen = Seen()
        await system.subscribe("soon", seen.take).ready()
        await system.publish("soon", 1, delay=3.0)
        redis_server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            await asyncio.sleep(3.4)
            assert list(seen) == []
        finally:
            redis_server.command("CONFIG", "SET", "maxmemory", "0")
        await seen.reach(1)


async def test_what_is_planned_again_is_planned_once(redis_url: str, redis_server: RedisServer) -> None:
    """As after a broken link that left it in doubt."""
    async with _systems(redis_url, "a") as (system,):
        plan = _plan("once", system._instance.clock.now() + 3_600_000, envelope=b"x")
        for _ in range(2):
            await _agenda(system).plan(plan)
        assert await _agenda(system).sums() == {"planned": 1, "pending": 1}


@pytest.mark.parametrize("notice", [b"s\0", b"s\0soon\0me", b"s\0-5\0me", b"s\0" + b"9" * 400, b"s\x005\0\xff"])
async def test_a_notice_that_makes_no_sense_is_ignored(
    redis_url: str, redis_server: RedisServer, notice: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with _systems(redis_url, "a", "b") as (system, other):
        seen = Seen()
        await other.subscribe("later", seen.take).ready()
        link = system._instance._transport.require()  # type: ignore[attr-defined]
        await link.call("PUBLISH", contract.notice_channel("tl:"), notice)
        await other.publish("later", 1, delay=0.1)
        await seen.reach(1)
        assert (system.connected, other.connected) == (True, True)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    told = any("which is no moment; it is ignored" in record.getMessage() for record in caplog.records)
    assert told == (notice != b"s\x005\0\xff")


async def test_only_the_last_ones_that_ended_are_remembered(
    redis_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_agenda, "_KEEP", (b"60000", b"3"))
    async with _systems(redis_url, "a") as (system,):
        receipts = [await system.publish("many", n, delay=0.01) for n in range(8)]
        await until(lambda: redis_server.command("ZCARD", AGENDA) == ":0")
        page = await system.schedules.list("delivered")
        assert (page.total, {each.id for each in page.items}) == (3, {each.id for each in receipts[-3:]})
        assert len(await _ask(system, "KEYS", contract.planned_prefix_key("tl:") + "*")) == 3
        assert 0 < int(redis_server.command("PTTL", contract.planned_key("tl:", receipts[-1].id))[1:]) <= 60_000


async def test_a_broken_link_leaves_a_plan_planned_once(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        plans = [asyncio.create_task(system.publish("broken", n, delay=HOUR, wait_for_connection=5)) for n in range(50)]
        await asyncio.sleep(0)
        redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
        receipts = await asyncio.gather(*plans)
        assert len({receipt.id for receipt in receipts}) == 50
        assert (await _agenda(system).sums())["pending"] == 50


async def test_what_is_planned_in_one_turn_is_one_run_of_a_script(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        before = await _scripts_run(system)
        receipts = await asyncio.gather(*(system.publish("together", n, delay=HOUR + n) for n in range(60)))
        assert await _scripts_run(system) - before < 20
        page = await system.schedules.list(limit=100)
        assert [(each.id, each.due, each.event.data) for each in page.items] == [
            (receipt.id, receipt.due, n) for n, receipt in enumerate(receipts)
        ]


async def test_what_comes_through_a_link_in_one_turn_is_one_run_of_a_script(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with (
        Up("--redis-url", redis_url) as up,
        _systems(redis_url, "a") as (system,),
        EventSystem(up.url, service="linked") as linked,
    ):
        before = await _scripts_run(system)
        await asyncio.gather(*(linked.publish("together", n, delay=HOUR) for n in range(60)))
        assert await _scripts_run(system) - before < 30
        assert (await system.schedules.figures()).planned == 60


async def test_one_run_is_bounded_by_bytes(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        before = await _scripts_run(system)
        await asyncio.gather(*(system.publish("large", b"x" * 200_000, delay=HOUR) for _ in range(10)))
        assert await _scripts_run(system) - before >= 5
        assert (await _agenda(system).sums())["pending"] == 10


async def test_a_bad_plan_fails_alone(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        wrong: Any = 7
        planning = [
            system.publish("beside", 1, delay=HOUR),
            system.publish("beside", 2, key=wrong, delay=HOUR),
            system.publish("beside", b"x" * (contract.LIMIT_PAYLOAD_BYTES + 1), delay=HOUR),
            system.publish("beside", 3, at=datetime.now(UTC) - timedelta(seconds=60)),
            system.publish("beside", 4, key="k", delay=HOUR),
        ]
        first, no_key, large, late, last = await asyncio.gather(*planning, return_exceptions=True)
        assert isinstance(no_key, InvalidArgumentError)
        assert isinstance(large, PayloadTooLargeError)
        receipts = [one for one in (first, late, last) if isinstance(one, Receipt)]
        assert [receipt.overdue for receipt in receipts] == [False, True, False]
        assert (await _agenda(system).sums())["planned"] == 3


async def test_of_what_is_planned_together_only_what_is_new_is_planned(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with _systems(redis_url, "a") as (system,):
        agenda, due = _agenda(system), system._instance.clock.now() + 3_600_000
        plans = [_plan("twice", due + n) for n in range(4)]
        await agenda.plan(plans[1])
        await agenda.cancel(plans[1].id)
        await asyncio.gather(*map(agenda.plan, plans))
        assert await agenda.sums() == {"planned": 4, "pending": 3, "cancelled": 1}
        assert [each.id for each in (await agenda.page(ScheduleStatus.PENDING, 0, 10))[1]] == [
            plan.id for plan in plans if plan is not plans[1]
        ]


async def test_where_something_else_has_the_agendas_name_nothing_is_planned(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with _systems(redis_url, "a") as (system,):
        redis_server.command("SET", AGENDA, "x")
        planning = (system.publish("taken", n, delay=HOUR) for n in range(3))
        failed = await asyncio.gather(*planning, return_exceptions=True)
        assert all(isinstance(each, UnavailableError) for each in failed)
        assert await _ask(system, "KEYS", contract.planned_prefix_key("tl:") + "*") == []
        redis_server.command("DEL", AGENDA)


async def test_a_server_that_forgot_its_scripts_plans_all_the_same(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        redis_server.command("SCRIPT", "FLUSH")
        await asyncio.gather(*(system.publish("forgot", n, delay=HOUR) for n in range(100)))
        assert (await _agenda(system).sums()) == {"planned": 100, "pending": 100}
