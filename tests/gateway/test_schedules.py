"""Planned events through a gateway: what a plain Link may ask, and the calls for programs with plain stubs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import msgpack
import pytest

from tests.gateway.raw_link import RawLink, event, request
from tests.gateway.test_link_rules import NewLink, code
from tests.gateway.test_simple_calls import failure
from tests.gateway.up import Client
from tests.suite.seen import Seen
from tieline import Event, EventSystem
from tieline._contract import agenda_pb2 as agenda
from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope

HOUR_MS = 3_600_000
PENDING, DELIVERED, FAILED = (
    agenda.SCHEDULE_STATUS_PENDING,
    agenda.SCHEDULE_STATUS_DELIVERED,
    agenda.SCHEDULE_STATUS_FAILED,
)
CANCELLED = agenda.SCHEDULE_STATUS_CANCELLED


def now_ms() -> int:
    """This machine's clock, which is that of its gateway."""
    return time.time_ns() // 1_000_000


async def ask(link: RawLink, ref: int = 7, **what: Any) -> agenda.AgendaResponse:
    """Ask, and return the answer, joined if it came in parts."""
    await link.say(agenda=agenda.AgendaRequest(ref=ref, **what))
    answer, more = agenda.AgendaResponse(), True
    while more:
        part = await link.hear("agenda")
        assert part.ref == ref
        more = part.more
        answer.MergeFrom(part)
    return answer


def plan(envelope: Envelope, **more: Any) -> agenda.Plan:
    """What plans an event."""
    return agenda.Plan(envelope=envelope.SerializeToString(), **more)


# --- a Link ---------------------------------------------------------------------------------------------------------


async def test_what_a_link_plans_is_stamped(new_link: NewLink, topic: str) -> None:
    link, instance = await new_link()
    due = now_ms() + HOUR_MS
    planned = event(topic, ttl_ms=5_000, scheduled=due, source="admin/0", time=1, expires_at=2, redriven=9, key="k")
    assert not (await ask(link, plan=plan(planned, most=3))).HasField("error")
    (told,) = (await ask(link, find=agenda.FindPlanned(id=planned.id))).planned
    assert (told.status, told.due, told.durable, told.priority, told.tries) == (PENDING, due, True, 5, 0)
    kept = Envelope.FromString(told.envelope)
    assert (kept.source, kept.time, kept.expires_at) == (f"raw/{instance}", due, due + 5_000)
    assert (kept.redriven, kept.key, kept.priority, kept.scheduled) == (0, "k", 5, due)


async def test_what_is_planned_twice_by_one_name_is_planned_once(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    planned = event(topic, scheduled=now_ms() + HOUR_MS)
    before = (await ask(link, sums=agenda.SumPlanned())).sums["planned"]
    for _ in range(2):
        assert not (await ask(link, plan=plan(planned))).HasField("error")
    assert (await ask(link, sums=agenda.SumPlanned())).sums["planned"] == before + 1


async def test_the_gateway_fires_for_a_link_that_has_left(new_link: NewLink, events: EventSystem, topic: str) -> None:
    seen = Seen()
    await events.subscribe(topic, lambda data, event: seen.append((event.id, event.source))).ready()
    link, instance = await new_link()
    planned = event(topic, ttl_ms=0, scheduled=now_ms() + 400)
    await ask(link, plan=plan(planned))
    link.call.cancel()
    await seen.stay(1)
    assert list(seen) == [(planned.id, f"raw/{instance}")]


async def test_nobody_says_of_an_event_published_now_that_it_was_planned(
    new_link: NewLink, events: EventSystem, topic: str
) -> None:
    seen: list[Event] = Seen()
    await events.subscribe(topic, lambda data, event: seen.append(event)).ready()
    link, _ = await new_link()
    await link.say(register=wire.Register(ref=1, interests=[wire.Interest(route=wire.ROUTE_EVENT, pattern=topic)]))
    await link.hear("done")
    forged = event(topic, scheduled=now_ms())
    await link.say(event=wire.SendEvent(ref=2, envelope=forged.SerializeToString()))
    await seen.reach(1)  # type: ignore[attr-defined]
    assert seen[0].scheduled is None
    assert not [item for item in await link.rest(0.3) if item.WhichOneof("item") == "delivery"]


SOON = {"scheduled": now_ms() // HOUR_MS * HOUR_MS + 24 * HOUR_MS}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (plan(event("t")), "INVALID_ARGUMENT"),
        (plan(event("t", scheduled=-1)), "INVALID_ARGUMENT"),
        (plan(event("t", scheduled=2**42)), "INVALID_ARGUMENT"),
        (plan(event("t", id="", **SOON)), "INVALID_ARGUMENT"),
        (plan(event("t", id="x" * 256, **SOON)), "INVALID_ARGUMENT"),
        (plan(event("t", id="task:1767225600000", **SOON)), "INVALID_ARGUMENT"),
        (plan(event("t", ttl_ms=-1, **SOON)), "INVALID_ARGUMENT"),
        (plan(event("t", priority=3, **SOON)), "INVALID_ARGUMENT"),
        (plan(event("t", key="a\0b", **SOON)), "INVALID_ARGUMENT"),
        (plan(event("no good", **SOON)), "INVALID_TOPIC"),
        (plan(event("system.x", **SOON)), "INVALID_TOPIC"),
        (plan(event("cron.task.x", **SOON)), "INVALID_TOPIC"),
        (plan(event("t", hops=17, **SOON)), "LOOP_DETECTED"),
        (plan(event("t", data=bytes(contract.LIMIT_PAYLOAD_BYTES + 1), **SOON)), "PAYLOAD_TOO_LARGE"),
        (plan(request("t", **SOON)), "INVALID_ARGUMENT"),
        (plan(event("t", **SOON), known_as="x", window_ms=1), "INVALID_ARGUMENT"),
        (plan(event("t", **SOON), durable=True, known_as="x"), "INVALID_ARGUMENT"),
        (plan(event("t", **SOON), most=1), "INVALID_ARGUMENT"),
        (plan(event("t", **SOON), retry=agenda.PlanRetry(attempts=1, backoff_ms=-1)), "INVALID_ARGUMENT"),
        (agenda.Plan(envelope=b"\xff"), "INVALID_ARGUMENT"),
        (agenda.FindPlanned(id=""), "INVALID_ARGUMENT"),
        (agenda.CancelPlanned(id="x" * 256), "INVALID_ARGUMENT"),
        (agenda.ListPlanned(status=PENDING), "INVALID_ARGUMENT"),
        (agenda.ListPlanned(status=PENDING, limit=1001), "INVALID_ARGUMENT"),
        (agenda.ListPlanned(limit=1), "INVALID_ARGUMENT"),
        (agenda.MovePlanned(id="x", was=PENDING), "INVALID_ARGUMENT"),
        (agenda.MovePlanned(id="x", due=2**42, was=PENDING), "INVALID_ARGUMENT"),
        (agenda.MovePlanned(id="x", due=2**41), "INVALID_ARGUMENT"),
        (None, "UNSUPPORTED"),
    ],
)  # fmt: skip
async def test_what_a_link_may_not_ask(new_link: NewLink, bad: Any, reason: str) -> None:
    link, _ = await new_link()
    names = {"Plan": "plan", "FindPlanned": "find", "CancelPlanned": "cancel", "ListPlanned": "list"}
    asked = {} if bad is None else {names.get(type(bad).__name__, "move"): bad}
    assert (await ask(link, **asked)).error.code == code(reason)
    assert (await ask(link, list=agenda.ListPlanned(status=PENDING, limit=1))).total == 0


async def test_a_long_list_comes_in_parts(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    large = bytes(900_000)
    planned = [
        event(topic, b"\xc6" + len(large).to_bytes(4) + large, scheduled=now_ms() + HOUR_MS + n) for n in range(5)
    ]
    for each in planned:
        assert not (await ask(link, plan=plan(each))).HasField("error")
    await link.say(agenda=agenda.AgendaRequest(ref=9, list=agenda.ListPlanned(status=PENDING, limit=10)))
    parts = [await link.hear("agenda")]
    while parts[-1].more:
        parts.append(await link.hear("agenda"))
    assert len(parts) > 1
    assert [each.id for part in parts for each in part.planned] == [each.id for each in planned]
    assert parts[-1].total == 5


async def test_only_what_has_the_status_is_moved(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    planned = event(topic, ttl_ms=1_000, scheduled=now_ms() + HOUR_MS)
    await ask(link, plan=plan(planned))
    due = now_ms() + 2 * HOUR_MS
    assert not (await ask(link, move=agenda.MovePlanned(id=planned.id, due=due, was=FAILED))).yes
    assert not (await ask(link, move=agenda.MovePlanned(id="nobody", due=due, was=PENDING))).yes
    assert (await ask(link, move=agenda.MovePlanned(id=planned.id, due=due, was=PENDING))).yes
    (told,) = (await ask(link, cancel=agenda.CancelPlanned(id=planned.id))).planned
    kept = Envelope.FromString(told.envelope)
    assert (told.status, told.due, kept.scheduled, kept.expires_at) == (PENDING, due, due, due + 1_000)
    assert not (await ask(link, move=agenda.MovePlanned(id=planned.id, due=due, was=PENDING))).yes


# --- plain stubs ----------------------------------------------------------------------------------------------------


async def over(client: Client, id: str) -> agenda.Schedule:
    """A schedule that is not pending any more."""
    while True:
        schedule = (await client.stub.GetSchedule(wire.GetScheduleRequest(id=id), timeout=10)).schedule
        if schedule.status != PENDING:
            return schedule
        await asyncio.sleep(0.02)


async def test_a_plain_program_plans_an_event(client: Client, events: EventSystem, topic: str) -> None:
    seen = Seen()
    await events.subscribe(topic, lambda data, event: seen.append((data, event.id))).ready()
    asked = wire.PublishRequest(topic=topic, data=msgpack.packb("later"), delay_ms=3_000, ttl_ms=60_000)
    receipt = await client.stub.Publish(asked, timeout=10)
    assert not receipt.overdue
    assert not receipt.stored.stream
    schedule = (await client.stub.GetSchedule(wire.GetScheduleRequest(id=receipt.id), timeout=10)).schedule
    assert (schedule.id, schedule.due, schedule.topic) == (receipt.id, receipt.due, topic)
    assert (schedule.event.expires_at, schedule.event.source.split("/")[0]) == (receipt.due + 60_000, "gateway")
    await seen.stay(1)
    assert list(seen) == [("later", receipt.id)]
    schedule = await over(client, receipt.id)
    assert schedule.status == DELIVERED
    assert schedule.ended >= schedule.due
    past = await client.stub.Publish(wire.PublishRequest(topic=topic, at=1_000), timeout=10)
    assert past.overdue
    await seen.stay(2)


async def test_a_plain_program_looks_after_what_is_planned(client: Client, topic: str) -> None:
    requests = [wire.PublishRequest(topic=topic, delay_ms=HOUR_MS + 1_000 * n, key="k", priority=8) for n in range(3)]
    ids = [(await client.stub.Publish(request, timeout=10)).id for request in requests]
    listed = await client.stub.ListSchedules(wire.ListSchedulesRequest(page=2, limit=2), timeout=10)
    assert (listed.total, [each.id for each in listed.schedules]) == (3, ids[2:])
    (last,) = listed.schedules
    assert (last.key, last.durable, last.priority, last.attempts, last.ended, last.error) == ("k", True, 8, 0, 0, "")
    cancelled = await client.stub.CancelSchedule(wire.CancelScheduleRequest(id=ids[0]), timeout=10)
    assert cancelled.schedule.status == CANCELLED
    asked = wire.ListSchedulesRequest(status=CANCELLED)
    assert [each.id for each in (await client.stub.ListSchedules(asked, timeout=10)).schedules] == [ids[0]]
    at = now_ms() + 2 * HOUR_MS
    moved = await client.stub.Reschedule(wire.RescheduleRequest(id=ids[1], at=at), timeout=10)
    assert (moved.schedule.status, moved.schedule.due) == (PENDING, at)
    told = await failure(client.stub.Reschedule(wire.RescheduleRequest(id=ids[2]), timeout=10))
    assert (told.reason, told.message) == ("INVALID_ARGUMENT", "say when: delay_ms of at least 1, or at")
    moved = await client.stub.Reschedule(wire.RescheduleRequest(id=ids[2], delay_ms=1), timeout=10)
    assert moved.schedule.due < at
    assert (await over(client, ids[2])).status == DELIVERED


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"delay_ms": -1}, "delay_ms is in milliseconds, from 0 to 315576000000 (ten years), not -1"),
        ({"at": -1}, "at is in milliseconds since 1970, not -1"),
        ({"at": 1_800_000_000}, "at is in milliseconds since 1970; 1800000000 looks like seconds: multiply by 1000"),
    ],
)
async def test_a_plain_program_is_told_of_its_units(client: Client, asked: dict[str, int], message: str) -> None:
    told = await failure(client.stub.Publish(wire.PublishRequest(topic="t", **asked), timeout=10))
    assert (told.reason, told.message) == ("INVALID_ARGUMENT", message)


async def test_a_plain_program_retries_what_failed(client: Client, topic: str) -> None:
    full = wire.PublishRequest(topic=topic, key="k", max_stored=1)
    await client.stub.Publish(full, timeout=10)
    full.delay_ms, full.retry.attempts = 1, 1
    planned = await client.stub.Publish(full, timeout=10)
    failed = await over(client, planned.id)
    assert (failed.status, failed.attempts) == (FAILED, 1)
    assert failed.error == "its key or lane holds as many events as it may"
    again = wire.RetryScheduleRequest(id=planned.id, delay_ms=HOUR_MS)
    retried = (await client.stub.RetrySchedule(again, timeout=10)).schedule
    assert (retried.status, retried.attempts, retried.error) == (PENDING, 0, "")
    told = await failure(client.stub.RetrySchedule(again, timeout=10))
    assert (told.status, told.reason) == (grpc.StatusCode.ABORTED, "CONFLICT")


@pytest.mark.parametrize(
    ("call", "asked", "reason"),
    [
        ("Publish", wire.PublishRequest(topic="t", delay_ms=-1), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", delay_ms=2**49), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", at=2**49), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", at=2**42), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", at=-1), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", at=1, delay_ms=1), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", retry=agenda.PlanRetry(attempts=1)), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", delay_ms=1, retry=agenda.PlanRetry(attempts=1)), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", delay_ms=1, dedupe="x"), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="t", delay_ms=1, priority=3), "INVALID_ARGUMENT"),
        ("Publish", wire.PublishRequest(topic="system.x", delay_ms=1), "INVALID_TOPIC"),
        ("Publish", wire.PublishRequest(topic="t", delay_ms=1, data=b"\xc1"), "INVALID_PAYLOAD"),
        ("GetSchedule", wire.GetScheduleRequest(), "INVALID_ARGUMENT"),
        ("GetSchedule", wire.GetScheduleRequest(id="nobody"), "NOT_FOUND"),
        ("CancelSchedule", wire.CancelScheduleRequest(id="nobody"), "NOT_FOUND"),
        ("Reschedule", wire.RescheduleRequest(id="nobody", delay_ms=1), "NOT_FOUND"),
        ("RetrySchedule", wire.RetryScheduleRequest(id="nobody"), "NOT_FOUND"),
        ("ListSchedules", wire.ListSchedulesRequest(limit=1001), "INVALID_ARGUMENT"),
        ("ListSchedules", wire.ListSchedulesRequest(status=17), "INVALID_ARGUMENT"),  # pyright: ignore[reportArgumentType]
    ],
)  # fmt: skip
async def test_what_a_plain_program_may_not_ask(client: Client, call: str, asked: Any, reason: str) -> None:
    told = await failure(getattr(client.stub, call)(asked, timeout=10))
    assert told.reason == reason
    assert (await client.stub.ListSchedules(wire.ListSchedulesRequest(), timeout=10)).total == 0
