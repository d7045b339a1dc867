"""What principals with rules may do, with plain stubs and over Links. Each refusal has its twin that is allowed."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.access.people import Caller, Town, register, token_of
from tests.gateway.raw_link import RawLink, event, request
from tests.gateway.up import WebClient
from tieline import codec
from tieline._contract import agenda_pb2 as agenda
from tieline._contract import durable_pb2 as durable
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import CODE_INVALID_ARGUMENT, CODE_PERMISSION_DENIED, Envelope
from tieline.cron.task import CronEvent, CronTask, encode_task

PEOPLE = {
    "shop": """
services = ["shop"]
publish = ["order.>"]
subscribe = ["order.>", "stock.*"]
call = ["stock.>", "order.sum"]
serve = ["order.sum"]
deny_publish = ["order.secret.>"]
deny_subscribe = ["order.secret.>"]
""",
    "boss": "everything = true",
    "keeper": 'admin = [">"]',
    "nobody": "",
}
DENIED = CODE_PERMISSION_DENIED


@pytest.fixture
async def town(stack: AsyncExitStack, tmp_path: Path) -> Town:
    """A gateway with rules."""
    return await Town(stack, tmp_path, PEOPLE).open()


@pytest.fixture
async def shop(town: Town) -> Caller:
    """Plain stubs of the shop."""
    return await town.stub("shop")


# --- plain stubs ----------------------------------------------------------------------------------------------------


CALLS = [
    ("Publish", wire.PublishRequest(topic="order.new"), "OK"),
    ("Publish", wire.PublishRequest(topic="order.new", durable=True), "OK"),
    ("Publish", wire.PublishRequest(topic="order.new", delay_ms=60_000), "OK"),
    ("Publish", wire.PublishRequest(topic="order"), "PERMISSION_DENIED"),
    ("Publish", wire.PublishRequest(topic="order.secret.x"), "PERMISSION_DENIED"),
    ("Publish", wire.PublishRequest(topic="order.secret.x", durable=True), "PERMISSION_DENIED"),
    ("Publish", wire.PublishRequest(topic="order.secret.x", delay_ms=60_000), "PERMISSION_DENIED"),
    ("Publish", wire.PublishRequest(topic="system.error"), "PERMISSION_DENIED"),
    ("PublishAndWait", wire.PublishAndWaitRequest(topic="stock.left"), "UNAVAILABLE"),
    ("PublishAndWait", wire.PublishAndWaitRequest(topic="order.new"), "PERMISSION_DENIED"),
    ("PublishAndWait", wire.PublishAndWaitRequest(topic="system.history.list"), "PERMISSION_DENIED"),
    ("PublishAndGather", wire.PublishAndGatherRequest(topic="order.new"), "PERMISSION_DENIED"),
    ("PublishAndStream", wire.PublishAndStreamRequest(topic="order.new"), "PERMISSION_DENIED"),
    ("Subscribe", wire.SubscribeRequest(topic="stock.*"), "OK"),
    ("Subscribe", wire.SubscribeRequest(topic="stock.>"), "PERMISSION_DENIED"),
    ("Subscribe", wire.SubscribeRequest(topic="order.>"), "PERMISSION_DENIED"),
    ("Subscribe", wire.SubscribeRequest(topic="order.*"), "OK"),
    ("Subscribe", wire.SubscribeRequest(topic=">", group="g"), "PERMISSION_DENIED"),
    ("Subscribe", wire.SubscribeRequest(topic="system.>"), "PERMISSION_DENIED"),
]


async def test_plain_calls_need_a_rule(shop: Caller) -> None:
    for method, asked, code in CALLS:
        assert await shop.code(method, asked) == code, (method, asked)


async def test_schedules_belong_to_their_topics(town: Town, shop: Caller) -> None:
    boss, nobody = await town.stub("boss"), await town.stub("nobody")
    ours = (await shop("Publish", wire.PublishRequest(topic="order.new", delay_ms=600_000))).id
    theirs = (await boss("Publish", wire.PublishRequest(topic="order.secret.x", delay_ms=600_000))).id
    asks = {
        "GetSchedule": lambda it: wire.GetScheduleRequest(id=it),
        "Reschedule": lambda it: wire.RescheduleRequest(id=it, delay_ms=900_000),
        "CancelSchedule": lambda it: wire.CancelScheduleRequest(id=it),
    }
    listed = await shop("ListSchedules", wire.ListSchedulesRequest())
    assert ([each.id for each in listed.schedules], listed.total) == ([ours], 0)  # how many others have is not told
    assert (await boss("ListSchedules", wire.ListSchedulesRequest())).total == 2
    for method, make in asks.items():
        assert await shop.code(method, make(theirs)) == "PERMISSION_DENIED"
        assert await nobody.code(method, make(ours)) == "PERMISSION_DENIED"
        assert await shop.code(method, make(ours)) == "OK"
    assert [each.id for each in (await boss("ListSchedules", wire.ListSchedulesRequest())).schedules] == [theirs]


# --- Links ----------------------------------------------------------------------------------------------------------


async def test_a_link_is_a_service_of_its_principal_only(town: Town) -> None:
    link = await town.stack.enter_async_context(RawLink(town.up.address, "wrong"))
    with pytest.raises(Exception, match="valid token"):
        await link.hello("shop")
    await town.link("shop", "shop")
    with pytest.raises(Exception, match="may not be the service 'bank'"):
        await town.link("shop", "bank")


INTERESTS = [
    (wire.ROUTE_REQUEST, "order.sum", True),
    (wire.ROUTE_REQUEST, "system.ask", True),
    (wire.ROUTE_REQUEST, "order.new", False),
    (wire.ROUTE_EVENT, "order.new", True),
    (wire.ROUTE_EVENT, "order.secret.x", False),
    (wire.ROUTE_EVENT, ">", False),
    (wire.ROUTE_GROUP, "bank.new", False),
    (wire.ROUTE_OBSERVER, "stock.*", True),
    (wire.ROUTE_OBSERVER, ">", False),
    (wire.ROUTE_MAIL, "order.new", True),
    (wire.ROUTE_MAIL, "bank.new", False),
]


async def test_registering_needs_a_rule(town: Town) -> None:
    for route, pattern, allowed in INTERESTS:
        link, _ = await town.link("shop")
        group = "g" if route in (wire.ROUTE_GROUP, wire.ROUTE_MAIL) else ""
        assert ("may not" in await register(link, route, pattern, group)) is not allowed, (route, pattern)


async def test_a_subscription_gets_what_is_allowed_of_it(town: Town) -> None:
    """Our clients register for the events and the requests of a topic: who may have only the one gets only the one."""
    (shop, _), (boss, _) = await town.link("shop"), await town.link("boss")
    interests = [wire.Interest(route=route, pattern="order.new") for route in (wire.ROUTE_REQUEST, wire.ROUTE_EVENT)]
    await shop.say(register=wire.Register(ref=7, interests=interests))
    assert not (await shop.hear("done")).HasField("error")
    await boss.say(event=wire.SendEvent(ref=1, envelope=event("order.new", b"\x01").SerializeToString()))
    assert Envelope.FromString((await shop.hear("delivery")).envelope).data == b"\x01"
    await boss.say(request=wire.SendRequest(envelope=request("order.new").SerializeToString()))
    assert not (await boss.hear("dispatched")).instance  # it may not answer, so nobody is there
    await shop.say(unregister=wire.Unregister(ref=8, interests=interests))
    assert not (await shop.hear("done")).HasField("error")


EVENTS = [
    (event("order.new"), "shop", True),
    (event("bank.new"), "shop", False),
    (event("system.error"), "shop", False),
    (event("cron.task.created"), "shop", False),
    (event("cron.task.created"), "keeper", True),
    (event("system.warning"), "boss", True),
    (request("stock.left"), "shop", True),
    (request("bank.left"), "shop", False),
]


async def test_events_need_a_rule(town: Town) -> None:
    for envelope, who, allowed in EVENTS:
        link, _ = await town.link(who)
        await link.say(event=wire.SendEvent(ref=3, envelope=envelope.SerializeToString()))
        assert ((await link.hear("done")).error.code == DENIED) is not allowed, (envelope.topic, who)


REQUESTS = [
    ("stock.left", None, "shop", True),
    ("bank.left", None, "shop", False),
    ("system.ask", {"trail": "x"}, "shop", False),
    ("system.ask", {"trail": "x"}, "keeper", True),
    ("system.history.list", {"types": ["order.*"]}, "shop", True),
    ("system.history.list", {"types": ["order.>"]}, "shop", False),
    ("system.history.list", {"types": ["order.*", ">"]}, "shop", False),
    ("system.history.list", {}, "shop", False),
    ("system.history.list", {}, "keeper", True),
    ("system.history.get", {"id": "x"}, "shop", False),
    ("system.history.delete", {"types": ["order.new"]}, "shop", False),
    ("system.history.delete", {"types": ["order.new"]}, "keeper", True),
    ("system.history.replay", {"types": ["order.new"], "to_topic": "order.again"}, "shop", False),
    ("system.history.figures", {}, "shop", False),
]


async def test_requests_need_a_rule(town: Town) -> None:
    for topic, question, who, allowed in REQUESTS:
        link, _ = await town.link(who)
        asked = request(topic, codec.encode(question, codec.MSGPACK))
        await link.say(request=wire.SendRequest(envelope=asked.SerializeToString()))
        assert ((await link.hear("dispatched")).error.code == DENIED) is not allowed, (topic, question, who)


async def test_a_question_of_history_that_cannot_be_meant_is_refused(town: Town) -> None:
    link, _ = await town.link("shop")
    for types in (5, True, [5], [None], {"order.new": 1}, [["order.new"]]):
        asked = request("system.history.list", codec.encode({"types": types}, codec.MSGPACK))
        await link.say(request=wire.SendRequest(envelope=asked.SerializeToString()))
        assert (await link.hear("dispatched")).error.code == CODE_INVALID_ARGUMENT, types


MAIL = [
    ("order.new", {"append": durable.Append(drafts=[durable.Draft(envelope=event("order.new").SerializeToString())])},
     "shop", True),
    ("bank.new", {"append": durable.Append(drafts=[durable.Draft(envelope=event("bank.new").SerializeToString())])},
     "shop", False),
    ("order.new", {"enroll": durable.Enroll()}, "shop", True),
    ("bank.new", {"enroll": durable.Enroll()}, "shop", False),
    ("bank.new", {"claim": durable.Claim(slots=1, entries=1, lease_ms=1000)}, "shop", False),
    ("bank.new", {"settle": durable.Settle(lease_ms=1000)}, "shop", False),
    ("bank.new", {"extend": durable.Extend(lease_ms=1000)}, "shop", False),
    ("order.new", {"list_letters": durable.ListLetters(limit=1)}, "shop", False),
    ("order.new", {"list_letters": durable.ListLetters(limit=1)}, "keeper", True),
    ("order.new", {"purge": durable.Purge(ids=["1-0"])}, "shop", False),
    ("order.new", {"redrive": durable.Redrive()}, "shop", False),
    ("order.new", {"list_groups": durable.ListGroups()}, "shop", False),
    ("order.new", {"dismiss": durable.Dismiss()}, "shop", False),
    ("order.new", {"list_parked": durable.ListParked()}, "shop", False),
    ("order.new", {"unpark": durable.Unpark(key="k")}, "shop", False),
    ("", {"list_topics": durable.ListTopics()}, "shop", False),
    ("", {"list_topics": durable.ListTopics()}, "keeper", True),
]  # fmt: skip


async def test_durable_events_need_a_rule(town: Town) -> None:
    for topic, ask, who, allowed in MAIL:
        link, _ = await town.link(who)
        await link.say(mail=durable.MailRequest(ref=1, topic=topic, group="g", **ask))
        assert ((await link.hear("mail")).error.code == DENIED) is not allowed, (topic, ask, who)


async def test_trails_and_responders_need_a_rule(town: Town) -> None:
    link, _ = await town.link("shop")
    await link.say(find_trail=wire.FindTrail(ref=1, correlation_id="x"))
    assert (await link.hear("trail_found")).error.code == DENIED
    for topic, allowed in (("stock.left", True), ("bank.left", False), ("system.ask", False)):
        await link.say(find_responders=wire.FindResponders(ref=1, topic=topic))
        assert ((await link.hear("responders")).error.code == DENIED) is not allowed
    keeper, _ = await town.link("keeper")
    await keeper.say(find_trail=wire.FindTrail(ref=1, correlation_id="x"))
    assert not (await keeper.hear("trail_found")).HasField("error")


async def ask_agenda(link: RawLink, **ask: Any) -> Any:
    """Ask something of planned events or cron tasks."""
    await link.say(agenda=agenda.AgendaRequest(ref=1, **ask))
    return await link.hear("agenda")


def plan(topic: str) -> agenda.Plan:
    """An event in an hour."""
    return agenda.Plan(envelope=event(topic, ttl_ms=0, scheduled=in_an_hour()).SerializeToString())


def in_an_hour() -> int:
    """Milliseconds since 1970."""
    return 3_600_000 + time.time_ns() // 1_000_000


async def test_planned_events_need_a_rule(town: Town) -> None:
    (shop, _), (boss, _), (keeper, _) = await town.link("shop"), await town.link("boss"), await town.link("keeper")
    assert (await ask_agenda(shop, plan=plan("bank.new"))).error.code == DENIED
    ours, theirs = plan("order.new"), plan("bank.new")
    assert not (await ask_agenda(shop, plan=ours)).HasField("error")
    assert not (await ask_agenda(boss, plan=theirs)).HasField("error")
    our_id, their_id = (Envelope.FromString(each.envelope).id for each in (ours, theirs))
    listing = agenda.ListPlanned(status=agenda.SCHEDULE_STATUS_PENDING, limit=10)
    listed = await ask_agenda(shop, list=listing)
    assert ([each.id for each in listed.planned], listed.total) == ([our_id], 0)
    listed = await ask_agenda(keeper, list=listing)
    assert ({each.id for each in listed.planned}, listed.total) == ({our_id, their_id}, 2)
    assert (await ask_agenda(shop, sums=agenda.SumPlanned())).error.code == DENIED
    for ask in (
        {"find": agenda.FindPlanned(id=their_id)},
        {"move": agenda.MovePlanned(id=their_id, due=in_an_hour(), was=agenda.SCHEDULE_STATUS_PENDING)},
        {"cancel": agenda.CancelPlanned(id=their_id)},
    ):
        assert (await ask_agenda(shop, **ask)).error.code == DENIED
    assert (await ask_agenda(boss, find=agenda.FindPlanned(id=their_id))).planned[0].status == listing.status
    assert (await ask_agenda(shop, cancel=agenda.CancelPlanned(id=our_id))).planned


async def test_cron_tasks_need_an_admin(town: Town) -> None:
    (shop, _), (keeper, _) = await town.link("shop"), await town.link("keeper")
    task = CronTask(name="nightly", expression="0 3 * * *", action=CronEvent(topic="order.new", data=b"\xc0"))
    put = agenda.PutTask(task=encode_task(task))
    assert (await ask_agenda(shop, put_task=put)).error.code == DENIED
    assert (await ask_agenda(keeper, put_task=put)).version
    for ask in (
        {"find_task": agenda.FindTask(name="nightly")},
        {"drop_task": agenda.DropTask(name="nightly")},
        {"run_task": agenda.RunTask(name="nightly", version=1, tick=1)},
    ):
        assert (await ask_agenda(shop, **ask)).error.code == DENIED
    listed = await ask_agenda(shop, list_tasks=agenda.ListTasks(limit=10))
    assert (list(listed.tasks), listed.total) == ([], 0)
    assert [each.name for each in (await ask_agenda(keeper, list_tasks=agenda.ListTasks(limit=10))).tasks] == [
        "nightly"
    ]


async def test_totals_over_http_are_of_who_may_see_all(stack: AsyncExitStack, tmp_path: Path) -> None:
    town = await Town(stack, tmp_path, PEOPLE, http=True).open()
    boss, shop, keeper = [
        await stack.enter_async_context(WebClient(town.up, headers={"authorization": f"Bearer {token_of(name)}"}))
        for name in ("boss", "shop", "keeper")
    ]
    for topic in ("order.new", "bank.new"):
        event = {"topic": topic, "data": 1, "delay_ms": 600_000}
        assert (await boss.post("/v1/events", json=event)).status_code == 202
        task = {"name": topic, "topic": topic, "expression": "@daily"}
        assert (await boss.post("/v1/cron", json=task)).is_success
    for path, seen in (("/v1/schedules", ["order.new"]), ("/v1/cron", [])):
        for web, topics, total in ((shop, seen, None), (boss, ["bank.new", "order.new"], 2)):
            told = (await web.get(path)).json()
            assert (sorted(each["topic"] for each in told["items"]), told["total"]) == (topics, total), path
        assert (await keeper.get(path)).json()["total"] == 2
