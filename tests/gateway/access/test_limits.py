"""How much a principal may ask for, and that nobody else notices when it asks for more."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.access.people import Caller, Town, register, token_of
from tests.gateway.commands import command
from tests.gateway.raw_link import event, request
from tests.gateway.up import Client, Up, WebClient
from tieline import EventSystem, Settings
from tieline._contract import agenda_pb2 as agenda
from tieline._contract import durable_pb2 as durable
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import CODE_OVERLOADED, Envelope
from tieline.envelope import REPLY
from tieline.errors import OverloadedError
from tieline_gateway.access.limits import Limits, Meter
from tieline_gateway.access.roster import Roster
from tieline_gateway.access.rules import Rules

ALL = 'publish = [">"]\nsubscribe = [">"]\ncall = [">"]\nserve = [">"]\n'
PEOPLE = {
    "fast": ALL + 'admin = ["a"]',
    "slow": ALL + 'admin = ["a"]\nlimits = { rate = 5 }',
    "big": ALL + "limits = { bytes = 10000 }",
    "few": ALL + "limits = { in_flight = 2, streams = 2 }",
}
SECONDS = 30.0


@pytest.fixture
async def town(stack: AsyncExitStack, tmp_path: Path) -> Town:
    """A gateway with rules, which speaks HTTP."""
    return await Town(stack, tmp_path, PEOPLE, http=True).open()


def test_a_bucket_holds_a_second_and_fills_by_itself() -> None:
    now = 0.0
    meter = Meter(Limits(rate=4, bytes=100), lambda: now)
    for _ in range(4):
        meter.spend(10)
    with pytest.raises(OverloadedError) as refused:
        meter.spend(10)
    assert refused.value.retry_after == pytest.approx(0.25)
    now = 0.25
    meter.spend(1_000)  # larger than a second's worth: let through, and paid for
    now = 5.0
    with pytest.raises(OverloadedError, match="bytes"):
        meter.spend(1)
    now = 10.0
    meter.spend(1)
    Meter().spend(10**12)


def test_what_somebody_uses_is_known_as_long_as_they_are() -> None:
    """Names come with JSON Web Tokens, as many as their issuer likes."""
    roster = Roster({})
    held, left = roster.meter("here", Rules()), weakref.ref(roster.meter("gone", Rules()))
    gc.collect()
    assert roster.meter("here", Rules()) is held
    assert left() is None


async def test_too_many_are_refused_whichever_way_they_come(town: Town) -> None:
    stub, (link, _) = await town.stub("slow"), await town.link("slow")
    fast, (free, _) = await town.stub("fast"), await town.link("fast")
    codes = [await stub.code("Publish", wire.PublishRequest(topic="a")) for _ in range(20)]
    assert {"OK", "RESOURCE_EXHAUSTED"} == set(codes)
    sent = event("a").SerializeToString()
    for one, refused in ((link, True), (free, False)):
        for ref in range(1, 21):
            await one.say(event=wire.SendEvent(ref=ref, envelope=sent))
        told = [(await one.hear("done")).error.code for _ in range(20)]
        assert (CODE_OVERLOADED in told) is refused
    async with WebClient(town.up, headers={"authorization": f"Bearer {token_of('slow')}"}) as web:
        answers = [await web.post("/v1/events", json={"topic": "a"}) for _ in range(20)]
        refused_ones = [each for each in answers if each.status_code == 429]
        assert refused_ones
        assert refused_ones[0].json()["retry_after"] > 0
        assert int(refused_ones[0].headers["retry-after"]) >= 1
        await asyncio.sleep(1.5)
        cloud = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "a", "data": 1}
        batch = json.dumps([cloud] * 100)  # each of them counts
        kind = {"content-type": "application/cloudevents-batch+json"}
        answers = [await web.post("/v1/events", content=batch, headers=kind) for _ in range(2)]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["retry_after"] > 5
    assert [await fast.code("Publish", wire.PublishRequest(topic="a")) for _ in range(20)] == ["OK"] * 20


async def test_questions_over_a_link_count_and_what_moves_events_does_not(town: Town) -> None:
    asks: dict[str, dict[str, Any]] = {
        "agenda": {"agenda": agenda.AgendaRequest(list=agenda.ListPlanned(status=1, limit=1))},
        "mail": {"mail": durable.MailRequest(topic="a", group="g", list_letters=durable.ListLetters(limit=1))},
        "responders": {"find_responders": wire.FindResponders(topic="a")},
    }
    for name in ("slow", "fast"):
        for kind, ask in asks.items():
            link, _ = await town.link(name)
            for _ in range(20):
                await link.say(**ask)
            codes = [(await link.hear(kind)).error.code for _ in range(20)]
            assert (CODE_OVERLOADED in codes) is (name == "slow"), (name, kind)
            if name == "slow":
                await asyncio.sleep(1.5)
    link, _ = await town.link("slow")
    claim = durable.Claim(slots=1, entries=1, lease_ms=1_000)
    for _ in range(20):
        await link.say(mail=durable.MailRequest(topic="a", group="g", claim=claim))
    assert not any([(await link.hear("mail")).HasField("error") for _ in range(20)])


async def test_many_at_once_leave_room_for_others_and_keep_their_order(town: Town) -> None:
    """10,000 events are read some at a time; what the same client sends next is stored after them."""
    link, _ = await town.link("fast")
    place = {"topic": "a", "group": "g"}
    await link.say(mail=durable.MailRequest(ref=1, **place, enroll=durable.Enroll()))
    assert not (await link.hear("mail")).HasField("error")
    many = [event("a", b"\x01", key="k") for _ in range(10_000)]
    for ref, some in ((2, many), (3, [event("a", b"\x02", key="k")])):
        drafts = [durable.Draft(envelope=each.SerializeToString()) for each in some]
        await link.say(mail=durable.MailRequest(ref=ref, **place, append=durable.Append(drafts=drafts)))
    entries: list[str] = []
    while len(entries) < 10_001:
        told = await link.hear("mail", seconds=60.0)
        assert not told.HasField("error"), told.error
        entries += [each.entry for each in told.stored]
    places = [tuple(map(int, each.split("-"))) for each in entries]
    assert places == sorted(places)


async def test_bytes_calls_and_streams_are_bounded(town: Town) -> None:
    big, few = await town.stub("big"), await town.stub("few")
    codes = [await big.code("Publish", wire.PublishRequest(topic="a", data=bytes(1))) for _ in range(3)]
    assert codes == ["OK"] * 3
    large = wire.PublishRequest(topic="a", data=b"\xc6\x00\x01\x00\x00" + bytes(65_536))
    assert [await big.code("Publish", large) for _ in range(2)] == ["OK", "RESOURCE_EXHAUSTED"]
    (link, _), (second, _) = await town.link("few"), await town.link("few")
    assert await few.code("Subscribe", wire.SubscribeRequest(topic="a")) == "RESOURCE_EXHAUSTED"
    assert not await register(second, wire.ROUTE_REQUEST, "slow")
    for _ in range(2):
        await link.say(request=wire.SendRequest(envelope=request("slow").SerializeToString()))
        assert not (await link.hear("dispatched")).HasField("error")
    given = Envelope.FromString((await second.hear("delivery")).envelope)
    await link.say(request=wire.SendRequest(envelope=request("slow").SerializeToString()))
    assert (await link.hear("dispatched")).error.code == CODE_OVERLOADED
    assert await few.code("PublishAndWait", wire.PublishAndWaitRequest(topic="slow")) == "RESOURCE_EXHAUSTED"
    reply = Envelope(kind=REPLY, call_id=given.call_id, data=b"\xc0")
    await second.say(answer=wire.SendAnswer(to=given.reply_to, envelope=reply.SerializeToString()))
    await link.hear("delivery")
    await link.say(request=wire.SendRequest(envelope=request("slow").SerializeToString()))
    assert not (await link.hear("dispatched")).HasField("error")  # there is room again
    link.call.cancel()
    async with asyncio.timeout(SECONDS):
        while await few.code("Subscribe", wire.SubscribeRequest(topic="a")) != "OK":
            await asyncio.sleep(0.1)


async def test_wrong_tokens_do_not_slow_others(town: Town) -> None:
    """They are sent as fast as they go, by several at once; somebody else's calls are answered meanwhile."""
    stopped = asyncio.Event()
    refused = 0

    async def flood(number: int) -> None:
        nonlocal refused
        async with WebClient(town.up) as web:
            while not stopped.is_set():
                wrong = {"authorization": f"Bearer a.{number}.{refused}"}
                refused += (await web.post("/v1/events", json={"topic": "a"}, headers=wrong)).status_code == 401

    floods = [asyncio.create_task(flood(number)) for number in range(4)]
    known = {"authorization": f"Bearer {token_of('fast')}"}
    async with WebClient(town.up, headers=known) as web, asyncio.timeout(SECONDS):
        while refused < 200:
            assert (await web.post("/v1/events", json={"topic": "a"})).status_code == 202
    stopped.set()
    await asyncio.gather(*floods)


# --- our own clients ------------------------------------------------------------------------------------------------


async def test_a_client_comes_back_with_another_token(stack: AsyncExitStack, tmp_path: Path) -> None:
    """The old token is revoked while it is linked; it takes the new one from its file, and goes on."""
    tokens, file = str(tmp_path / "tokens.json"), tmp_path / "token"
    rules = ("--publish", ">", "--subscribe", ">", "--call", ">", "--serve", ">")
    made = await command("token", "create", "shop", "--tokens", tokens, *rules)
    file.write_text(made.out)
    up = await stack.enter_async_context(Up("--tokens", tokens))
    url = f"{up.url}?token_file={file}"
    settings = Settings(drain=0.1, reconnect_max=0.2)
    events = await stack.enter_async_context(EventSystem(url, service="shop", settings=settings))
    heard: list[Any] = []
    await events.subscribe("a", heard.append).ready()
    second = await command("token", "create", "shop", "--tokens", tokens)
    (first,) = [row for row in made.err.split() if len(row) == 9 and row.endswith(",")]
    file.write_text(second.out)
    assert (await command("token", "revoke", first.rstrip(","), "--tokens", tokens)).code == 0
    async with asyncio.timeout(SECONDS):
        while events.connected:
            await asyncio.sleep(0.01)
        while not events.connected:
            await asyncio.sleep(0.05)
    stub = Caller((await stack.enter_async_context(Client(up.address))).stub, second.out.strip())
    async with asyncio.timeout(SECONDS):
        while not heard:
            await stub("Publish", wire.PublishRequest(topic="a", data=b"\x01"))
            await asyncio.sleep(0.1)
