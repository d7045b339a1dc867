"""What a Link may say, what the gateway makes of it, and that a bad Link hurts nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
import pytest

from tests.gateway.raw_link import RawLink, event, request
from tests.gateway.up import Up
from tests.suite.seen import ASK_SECONDS, BUSY_SECONDS, Seen, until
from tieline import EventSystem, codec
from tieline._contract import envelope_pb2 as envelopes
from tieline._contract import gateway_pb2 as wire
from tieline._contract.contract import ERRORS
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.fingerprint import fingerprint
from tieline.envelope import ACCEPTED, CANCEL, CREDIT, EVENT, REPLY, REQUEST, STREAM_END, STREAM_ITEM

NewLink = Callable[..., Awaitable[tuple[RawLink, str]]]
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def code(name: str) -> int:
    """Number of an error's code."""
    return ERRORS[name].number


async def works(events: EventSystem, topic: str) -> None:
    """Calls still go through for everybody else."""
    await events.subscribe(f"{topic}.ping", lambda data: data).ready()
    assert await events.publish_and_wait(f"{topic}.ping", 1, ttl=5.0) == 1


async def listen(link: RawLink, topic: str, route: int = 1, group: str = "") -> None:
    """Register and wait for the confirmation."""
    interest = wire.Interest(route=route, pattern=topic, group=group)  # type: ignore[arg-type]
    await link.say(register=wire.Register(ref=1, interests=[interest]))
    assert not (await link.hear("done")).HasField("error")


async def called(caller: RawLink, responder: RawLink, topic: str) -> bytes:
    """Have one Link call the other; returns the call's id."""
    await listen(responder, topic)
    await caller.say(request=wire.SendRequest(envelope=request(topic).SerializeToString()))
    return Envelope.FromString((await responder.hear("delivery")).envelope).call_id


# --- what cannot be read ends this Link and no other ----------------------------------------------------------------

UNREADABLE = {
    "no frame": b"\xff\xff\xff",
    "an unknown item": wire.LinkRequest(items=[wire.ClientItem()]).SerializeToString(),
    "a second hello": wire.LinkRequest(items=[wire.ClientItem(hello=wire.Hello(service="x"))]).SerializeToString(),
    "no envelope": wire.LinkRequest(
        items=[wire.ClientItem(event=wire.SendEvent(envelope=b"\xff"))]
    ).SerializeToString(),
    "no request": wire.LinkRequest(
        items=[wire.ClientItem(request=wire.SendRequest(envelope=b"\xff"))]
    ).SerializeToString(),
    "an unknown kind": wire.LinkRequest(
        items=[wire.ClientItem(answer=wire.SendAnswer(to="0" * 16, envelope=b"\x10\x63"))]
    ).SerializeToString(),
}


@pytest.mark.parametrize("frame", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read_ends_only_that_link(
    new_link: NewLink, events: EventSystem, topic: str, frame: bytes
) -> None:
    other, _ = await new_link()
    bad, _ = await new_link()
    await bad.send(frame)
    assert (await bad.end())[0] is INVALID
    await other.say(ping=wire.Ping(ref=7))
    assert (await other.hear("pong")).ref == 7
    await works(events, topic)


async def test_a_message_over_eight_mebibytes_ends_only_that_link(
    new_link: NewLink, events: EventSystem, topic: str
) -> None:
    bad, _ = await new_link()
    await bad.send(bytes(8 * 1024 * 1024 + 1))
    assert (await bad.end())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    await works(events, topic)


@pytest.mark.parametrize("item", [{"ping": wire.Ping(ref=1)}, {"register": wire.Register(ref=1)}])
async def test_hello_comes_first(stack: AsyncExitStack, up: Up, item: dict[str, object]) -> None:
    link = await stack.enter_async_context(RawLink(up.address))
    await link.say(**item)
    status, message = await link.end()
    assert status is INVALID
    assert "Hello" in message


@pytest.mark.parametrize("service", ["", "a b", "a/b", "x" * 256])
async def test_a_service_needs_a_name(stack: AsyncExitStack, up: Up, service: str) -> None:
    link = await stack.enter_async_context(RawLink(up.address))
    await link.say(hello=wire.Hello(service=service))
    assert (await link.end())[0] is INVALID


async def test_a_link_that_ends_at_once_hurts_nobody(
    stack: AsyncExitStack, up: Up, events: EventSystem, topic: str
) -> None:
    link = await stack.enter_async_context(RawLink(up.address))
    await link.call.done_writing()
    assert (await link.end())[0] is INVALID
    await works(events, topic)


# --- what breaks a rule is answered ---------------------------------------------------------------------------------

BAD_EVENTS = {
    "topic": (event("a..b"), "INVALID_TOPIC"),
    "pattern": (event("a.*"), "INVALID_TOPIC"),
    "reserved": (event("webhook.github.push"), "INVALID_TOPIC"),
    "kind": (event("a", kind=REPLY), "INVALID_ARGUMENT"),
    "hops": (event("a", hops=17), "LOOP_DETECTED"),
    "ttl": (event("a", ttl_ms=-1), "INVALID_ARGUMENT"),
    "payload": (event("a", bytes(1_048_577)), "PAYLOAD_TOO_LARGE"),
    "headers": (event("a", headers={"h": "x" * 9_000}), "PAYLOAD_TOO_LARGE"),
    "envelope": (event("a", bytes(1_040_000), schema_version="v" * 50_000), "PAYLOAD_TOO_LARGE"),
    "key": (event("a", key="k" * 256), "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize(("envelope", "reason"), BAD_EVENTS.values(), ids=BAD_EVENTS.keys())
async def test_an_event_that_breaks_a_rule_is_refused_in_done(
    new_link: NewLink, envelope: Envelope, reason: str
) -> None:
    link, _ = await new_link()
    await link.say(event=wire.SendEvent(ref=5, envelope=envelope.SerializeToString()))
    done = await link.hear("done")
    assert (done.ref, done.error.code) == (5, code(reason))
    assert done.error.outcome == envelopes.OUTCOME_NOT_DELIVERED


BAD_REQUESTS = {
    "topic": ({"topic": "a..b"}, "INVALID_TOPIC"),
    "reserved": ({"topic": "system.error"}, "INVALID_TOPIC"),
    "kind": ({"topic": "a", "kind": EVENT}, "INVALID_ARGUMENT"),
    "call_id": ({"topic": "a", "call_id": b"short"}, "INVALID_ARGUMENT"),
    "hops": ({"topic": "a", "hops": 17}, "LOOP_DETECTED"),
    "payload": ({"topic": "a", "data": bytes(1_048_577)}, "PAYLOAD_TOO_LARGE"),
}


@pytest.mark.parametrize(("fields", "reason"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
async def test_a_request_that_breaks_a_rule_is_refused_in_dispatched(
    new_link: NewLink, fields: dict[str, object], reason: str
) -> None:
    link, _ = await new_link()
    envelope = request(**fields)  # type: ignore[arg-type]
    await link.say(request=wire.SendRequest(envelope=envelope.SerializeToString()))
    dispatched = await link.hear("dispatched")
    assert (dispatched.call_id, dispatched.error.code) == (envelope.call_id, code(reason))


BAD_INTERESTS = {
    "no route": (wire.Interest(pattern="a"), "INVALID_ARGUMENT"),
    "inbox": (wire.Interest(route=wire.ROUTE_INBOX, pattern="a"), "INVALID_ARGUMENT"),
    "answers for history": (wire.Interest(route=wire.ROUTE_REQUEST, pattern="system.history.list"), "INVALID_TOPIC"),
    "pattern for requests": (wire.Interest(route=wire.ROUTE_REQUEST, pattern="a.*"), "INVALID_TOPIC"),
    "no topic": (wire.Interest(route=wire.ROUTE_EVENT), "INVALID_TOPIC"),
    "no group": (wire.Interest(route=wire.ROUTE_GROUP, pattern="a"), "INVALID_ARGUMENT"),
    "strange group": (wire.Interest(route=wire.ROUTE_GROUP, pattern="a", group="{x}"), "INVALID_ARGUMENT"),
    "group too many": (wire.Interest(route=wire.ROUTE_EVENT, pattern="a", group="g"), "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize(("interest", "reason"), BAD_INTERESTS.values(), ids=BAD_INTERESTS.keys())
async def test_what_cannot_be_registered_is_refused(new_link: NewLink, interest: wire.Interest, reason: str) -> None:
    link, _ = await new_link()
    for item in ({"register": wire.Register(ref=3, interests=[interest])},
                 {"unregister": wire.Unregister(ref=3, interests=[interest])}):  # fmt: skip
        await link.say(**item)
        done = await link.hear("done")
        assert (done.ref, done.error.code) == (3, code(reason))


async def test_a_reply_that_is_too_large_becomes_a_failed_reply(
    new_link: NewLink, events: EventSystem, topic: str
) -> None:
    link, _ = await new_link()
    await listen(link, topic)
    calling = asyncio.create_task(events.publish_and_wait(topic, ttl=5.0))
    taken = Envelope.FromString((await link.hear("delivery")).envelope)
    reply = Envelope(kind=REPLY, call_id=taken.call_id, data=bytes(1_048_577))
    await link.say(answer=wire.SendAnswer(to=taken.reply_to, envelope=reply.SerializeToString()))
    with pytest.raises(Exception, match="1048577") as caught:
        await calling
    assert getattr(caught.value, "code", "") == "HANDLER_ERROR"


# --- what the gateway sets ------------------------------------------------------------------------------------------


async def test_forged_source_reply_to_and_time_are_overwritten(new_link: NewLink, topic: str) -> None:
    forger, forgers_name = await new_link("forger")
    victim, victims_name = await new_link("victim")
    await listen(victim, topic)
    await listen(victim, topic, wire.ROUTE_EVENT)
    lies = {"source": f"victim/{victims_name}", "reply_to": victims_name, "time": 4_102_444_800_000, "hops": 3}
    for item in (
        {"event": wire.SendEvent(envelope=event(topic, **lies).SerializeToString())},
        {"request": wire.SendRequest(envelope=request(topic, **lies).SerializeToString())},
    ):
        await forger.say(**item)
        arrived = Envelope.FromString((await victim.hear("delivery")).envelope)
        assert arrived.source == f"forger/{forgers_name}"
        assert arrived.reply_to == forgers_name
        assert abs(arrived.time - time.time() * 1000) < 5_000
        assert arrived.hops == 3


async def test_replies_come_to_the_link_that_called(new_link: NewLink, topic: str) -> None:
    caller, name = await new_link()
    responder, _ = await new_link()
    await listen(responder, topic)
    await caller.say(request=wire.SendRequest(envelope=request(topic).SerializeToString()))
    assert Envelope.FromString((await responder.hear("delivery")).envelope).reply_to == name


async def test_the_expiry_follows_from_the_ttl(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    other, _ = await new_link()
    await listen(other, topic, wire.ROUTE_EVENT)
    for given in (0, 4_102_444_800_000):
        await link.say(event=wire.SendEvent(envelope=event(topic, expires_at=given, ttl_ms=5_000).SerializeToString()))
        arrived = Envelope.FromString((await other.hear("delivery")).envelope)
        assert arrived.expires_at == arrived.time + 5_000


async def test_an_expiry_that_is_sooner_is_kept(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    other, _ = await new_link()
    await listen(other, topic, wire.ROUTE_EVENT)
    soon = int(time.time() * 1000) + 1_000
    await link.say(event=wire.SendEvent(envelope=event(topic, expires_at=soon, ttl_ms=60_000).SerializeToString()))
    assert Envelope.FromString((await other.hear("delivery")).envelope).expires_at == soon


@pytest.mark.parametrize("kind", [EVENT, REQUEST])
async def test_an_answer_is_an_answer(new_link: NewLink, topic: str, kind: int) -> None:
    link, _ = await new_link()
    victim, name = await new_link()
    call_id = await called(victim, link, topic)
    forged = event(topic, kind=kind, call_id=call_id).SerializeToString()
    await link.say(answer=wire.SendAnswer(to=name, envelope=forged))
    accepted = Envelope(kind=ACCEPTED, call_id=call_id).SerializeToString()
    await link.say(answer=wire.SendAnswer(to=name, envelope=accepted))
    arrived = Envelope.FromString((await victim.hear("delivery")).envelope)
    assert arrived.kind == ACCEPTED


async def test_an_answer_to_a_strange_instance_goes_nowhere(new_link: NewLink) -> None:
    link, _ = await new_link()
    for to in ("", "x", "*" * 16, "0" * 16, "}:evil"):
        await link.say(answer=wire.SendAnswer(to=to, envelope=Envelope(kind=CANCEL).SerializeToString()))
    await link.say(ping=wire.Ping(ref=1))
    assert (await link.hear("pong")).ref == 1


async def test_ref_zero_asks_for_no_answer(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    await link.say(event=wire.SendEvent(envelope=event(topic).SerializeToString()))
    await link.say(event=wire.SendEvent(ref=2, envelope=event(topic).SerializeToString()))
    assert (await link.hear("done")).ref == 2


async def test_drain_gives_up_every_membership(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    caller, _ = await new_link()
    await listen(link, topic)
    await link.say(drain=wire.Drain(ref=9))
    assert (await link.hear("done")).ref == 9
    await caller.say(request=wire.SendRequest(envelope=request(topic).SerializeToString()))
    dispatched = await caller.hear("dispatched")
    assert (dispatched.instance, dispatched.HasField("error")) == ("", False)


async def test_probe_tells_the_living_from_the_gone(new_link: NewLink) -> None:
    link, _ = await new_link()
    other, alive = await new_link()
    gone = "0" * 16
    await link.say(probe=wire.Probe(ref=4, instances=[alive, gone, "nonsense}"]))
    probed = await link.hear("probed")
    assert (probed.ref, list(probed.silent), list(probed.expired)) == (4, [gone], [gone])
    assert other is not link


# --- bounds ---------------------------------------------------------------------------------------------------------


async def test_a_link_that_does_not_read_is_refused_requests_and_loses_events_but_no_answers(
    new_link: NewLink, events: EventSystem, topic: str
) -> None:
    link, name = await new_link()
    await listen(link, topic)
    await listen(link, f"{topic}.e", wire.ROUTE_EVENT)
    big, refused = bytes(900_000), Seen()

    async def call() -> None:
        try:
            await events.publish_and_wait(topic, big, ttl=5.0)
        except Exception as error:
            refused.append(getattr(error, "code", ""))

    calls = [asyncio.create_task(call()) for _ in range(30)]
    await until(lambda: "OVERLOADED" in refused)
    for _ in range(12):
        await events.publish(f"{topic}.e", big)
    sender, _ = await new_link()
    kept_id = await called(link, sender, f"{topic}.kept")
    answer = Envelope(kind=ACCEPTED, call_id=kept_id).SerializeToString()
    await sender.say(answer=wire.SendAnswer(to=name, envelope=answer))
    for task in calls:
        task.cancel()
    items = await link.rest()
    routes = [item.delivery.interest.route for item in items if item.HasField("delivery")]
    assert 0 < routes.count(wire.ROUTE_REQUEST) < 30
    assert 0 < routes.count(wire.ROUTE_EVENT) < 12
    kept = [item.delivery.envelope for item in items if item.delivery.interest.route == wire.ROUTE_INBOX]
    assert kept_id in [Envelope.FromString(each).call_id for each in kept]
    gaps = [item.gap for item in items if item.HasField("gap")]
    assert gaps
    for gap in gaps:
        assert 0 < gap.since < gap.until
        assert "keep up" in gap.reason


async def test_a_silent_link_is_gone_after_its_lease(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    began = time.monotonic()
    status, message = await link.end(40.0)
    assert status is grpc.StatusCode.UNAVAILABLE
    assert "silent" in message
    assert 14 < time.monotonic() - began < 17 + BUSY_SECONDS


def keyed(topic: str, key: str, value: object = 10) -> Envelope:
    """A request with an idempotency key."""
    asked = request(topic, idempotency_key=key)
    asked.data = codec.encode(value)
    asked.fingerprint = fingerprint(asked.data, "")
    return asked


async def test_a_link_cannot_write_results_it_was_not_asked_for(
    new_link: NewLink, events: EventSystem, topic: str
) -> None:
    link, own = await new_link()
    await events.subscribe(topic, lambda data: ["real", data]).ready()
    for kind in (REPLY, ACCEPTED, CANCEL, STREAM_ITEM, STREAM_END, CREDIT):
        forged = Envelope(
            kind=kind,  # type: ignore[arg-type]
            call_id=b"x" * 16,
            topic=topic,
            idempotency_key="k",
            fingerprint=keyed(topic, "k").fingerprint,
            data=codec.encode("forged"),
        )
        await link.say(answer=wire.SendAnswer(to=own, envelope=forged.SerializeToString()))
    await link.rest(0.2)
    assert await events.publish_and_wait(topic, 10, idempotency_key="k", ttl=5.0) == ["real", 10]


async def test_a_link_cannot_give_up_a_claim_that_is_not_its_own(
    new_link: NewLink, events: EventSystem, topic: str
) -> None:
    spy, _ = await new_link()
    await listen(spy, topic, route=4)
    gate = asyncio.Event()

    async def slow(data: int) -> int:
        await gate.wait()
        return data

    await events.subscribe(topic, slow).ready()
    await spy.rest(0.2)
    call = asyncio.create_task(events.publish_and_wait(topic, 1, idempotency_key="k", ttl=20.0))
    seen = Envelope.FromString((await spy.hear("delivery")).envelope)
    error = envelopes.Error(code=code("INVALID_PAYLOAD"), message="forged", outcome=1)  # type: ignore[arg-type]
    await spy.say(release=wire.Release(request=seen.SerializeToString(), error=error))
    await spy.rest(0.3)
    gate.set()
    assert await call == 1


async def test_a_call_id_that_is_under_way_is_refused(new_link: NewLink, events: EventSystem, topic: str) -> None:
    link, _ = await new_link()
    gate = asyncio.Event()
    await events.subscribe(topic, lambda data: gate.wait()).ready()
    asked = request(topic)
    for _ in range(2):
        await link.say(request=wire.SendRequest(envelope=asked.SerializeToString()))
    first, second = await link.hear("dispatched"), await link.hear("dispatched")
    assert first.instance == events.instance
    assert second.error.code == code("INVALID_ARGUMENT")
    gate.set()
    await works(events, topic)


async def test_trails_that_are_none_or_too_many_are_not_kept(
    new_link: NewLink, events: EventSystem, topic: str
) -> None:
    link, _ = await new_link()
    await link.say(send_trail=wire.SendTrail(correlation_id=topic, trail=b"\xff\xff no trail"))
    trail = envelopes.Trail(steps=[envelopes.Step(name="told", topic=topic, time=1)]).SerializeToString()
    await link.say(send_trail=wire.SendTrail(correlation_id=topic, trail=trail))
    await link.send(
        wire.LinkRequest(
            items=[
                wire.ClientItem(send_trail=wire.SendTrail(correlation_id=f"{topic}-{n}", trail=trail))
                for n in range(200)
            ]
        ).SerializeToString()
    )
    await link.rest(0.2)
    assert [step.name for step in (await events.explain(topic, ttl=ASK_SECONDS)).steps] == ["told"]
    kept = [bool((await events.explain(f"{topic}-{n}", ttl=ASK_SECONDS)).steps) for n in (0, 199)]
    assert kept[1] is False
