"""Nobody answers for others: attacks on calls, claims and leases that somebody else was given."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.access.people import Town, register
from tests.gateway.raw_link import RawLink, event, request
from tests.gateway.up import Up, system
from tieline._contract import durable_pb2 as durable
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope, Stream
from tieline.envelope import ACCEPTED, CANCEL, CREDIT, REPLY, STREAM_END, STREAM_ITEM

WORKERS = 'publish = ["job.>"]\nsubscribe = ["job.>"]\ncall = ["job.>"]\nserve = ["job.>"]'
PEOPLE = {"anna": WORKERS, "eve": WORKERS, "boss": "everything = true"}


async def asked(caller: RawLink, responder: RawLink, topic: str, **fields: Any) -> Envelope:
    """Have one Link call the other; returns the request as it was delivered."""
    assert not await register(responder, wire.ROUTE_REQUEST, topic)
    await caller.say(request=wire.SendRequest(envelope=request(topic, **fields).SerializeToString()))
    return Envelope.FromString((await responder.hear("delivery")).envelope)


async def answer(link: RawLink, to: str, **fields: Any) -> None:
    """Send a step of a call, and be sure that the gateway has read it."""
    await link.say(answer=wire.SendAnswer(to=to, envelope=Envelope(**fields).SerializeToString()))
    await link.say(ping=wire.Ping(ref=1))
    await link.hear("pong")


async def next_answer(link: RawLink) -> Envelope:
    """What comes into the inbox next."""
    while True:
        delivery = await link.hear("delivery")
        if delivery.interest.route == wire.ROUTE_INBOX:
            return Envelope.FromString(delivery.envelope)


@pytest.mark.parametrize("kind", [ACCEPTED, REPLY, STREAM_ITEM, STREAM_END, CANCEL, CREDIT])
async def test_an_observer_cannot_answer(stack: AsyncExitStack, new_link: Any, topic: str, kind: Any) -> None:
    """It sees requests, with the ids of calls and whom they are answered to."""
    (caller, name), (responder, own), (spy, _) = await new_link(), await new_link(), await new_link()
    assert not await register(spy, wire.ROUTE_OBSERVER, topic)
    given = await asked(caller, responder, topic)
    await caller.say(event=wire.SendEvent(envelope=given.SerializeToString()))  # as clients do
    seen = Envelope.FromString((await spy.hear("delivery")).envelope)
    assert (seen.call_id, seen.reply_to) == (given.call_id, name)
    for to in (name, own):
        await answer(spy, to, kind=kind, call_id=seen.call_id, data=b"\xa6forged", stream=Stream(sequence=1))
    await answer(responder, name, kind=REPLY, call_id=given.call_id, data=b"\xa4true")
    assert (await next_answer(caller)).data == b"\xa4true"
    assert not [each for each in await responder.rest(0.3) if each.HasField("delivery")]


async def test_an_answer_goes_to_who_asked_and_to_nobody_else(new_link: Any, topic: str) -> None:
    (caller, name), (responder, _), (victim, other) = await new_link(), await new_link(), await new_link()
    given = await asked(caller, responder, topic)
    await answer(responder, other, kind=REPLY, call_id=given.call_id, data=b"\x01")
    await answer(responder, name, kind=REPLY, call_id=given.call_id, data=b"\x02")
    assert (await next_answer(caller)).data == b"\x02"
    assert not [each for each in await victim.rest(0.3) if each.HasField("delivery")]


async def test_who_answered_has_no_second_word(new_link: Any, topic: str) -> None:
    (caller, name), (responder, _) = await new_link(), await new_link()
    given = await asked(caller, responder, topic)
    for data in (b"\x01", b"\x02"):
        await answer(responder, name, kind=REPLY, call_id=given.call_id, data=data)
    assert (await next_answer(caller)).data == b"\x01"
    assert not [each for each in await caller.rest(0.3) if each.HasField("delivery")]


async def test_nobody_else_cancels_or_hurries_a_call(new_link: Any, topic: str) -> None:
    (caller, _), (responder, own), (eve, _) = await new_link(), await new_link(), await new_link()
    given = await asked(caller, responder, topic)
    for kind in (CANCEL, CREDIT):
        await answer(eve, own, kind=kind, call_id=given.call_id)
    await answer(caller, own, kind=CANCEL, call_id=given.call_id)
    assert (await next_answer(responder)).kind == CANCEL
    assert not [each for each in await responder.rest(0.3) if each.HasField("delivery")]


async def test_an_answer_over_the_next_link_of_the_same_client_counts(
    stack: AsyncExitStack, tmp_path: Path, topic: str
) -> None:
    """It is not lost when a Link breaks; but it is taken from no other principal."""
    town = await Town(stack, tmp_path, PEOPLE).open()
    (caller, name), (broken, _), (eve, _) = await town.link("boss"), await town.link("anna"), await town.link("eve")
    given = await asked(caller, broken, "job.a")
    broken.call.cancel()
    again, _ = await town.link("anna")
    await asyncio.sleep(0.5)  # the gateway notices that the first one ended
    await answer(eve, name, kind=REPLY, call_id=given.call_id, data=b"\x01")
    await answer(again, name, kind=REPLY, call_id=given.call_id, data=b"\x02")
    assert (await next_answer(caller)).data == b"\x02"


async def test_a_claim_is_released_by_who_made_it(stack: AsyncExitStack, up: Up, new_link: Any, topic: str) -> None:
    (responder, _), (eve, _) = await new_link(), await new_link()
    assert not await register(responder, wire.ROUTE_REQUEST, topic)
    assert not await register(eve, wire.ROUTE_OBSERVER, topic)
    events = await stack.enter_async_context(system(up))
    call = asyncio.create_task(events.publish_and_wait(topic, 1, idempotency_key="k", ttl=20.0))
    given = Envelope.FromString((await responder.hear("delivery")).envelope)
    seen = Envelope.FromString((await eve.hear("delivery")).envelope)
    claim = Envelope(topic=topic, id=seen.id, kind=seen.kind, idempotency_key="k")
    await eve.say(release=wire.Release(request=claim.SerializeToString()))
    await eve.say(ping=wire.Ping(ref=1))
    await eve.hear("pong")
    await answer(responder, given.reply_to, kind=REPLY, call_id=given.call_id, data=b"\x07", idempotency_key="k")
    assert await call == 7
    assert await events.publish_and_wait(topic, 1, idempotency_key="k") == 7  # what was stored; nobody is asked again


# --- leases ---------------------------------------------------------------------------------------------------------


async def mail(link: RawLink, topic: str, **ask: Any) -> Any:
    """Ask something of the durable events of a topic."""
    await link.say(mail=durable.MailRequest(ref=1, topic=topic, group="g", **ask))
    told = await link.hear("mail")
    assert not told.HasField("error"), told.error
    return told


async def leased(stack: AsyncExitStack, folder: Path, *options: str) -> tuple[Town, RawLink, Any]:
    """Anna holds the lease of one event of `job.a`."""
    town = await Town(stack, folder, PEOPLE, *options).open()
    anna, _ = await town.link("anna")
    await mail(anna, "job.a", enroll=durable.Enroll())
    draft = durable.Draft(envelope=event("job.a", b"\xa4true", ttl_ms=0, key="k").SerializeToString())
    await mail(anna, "job.a", append=durable.Append(drafts=[draft]))
    claimed = (await mail(anna, "job.a", claim=durable.Claim(slots=5, entries=5, lease_ms=20_000))).claimed
    assert len(claimed.members) == 1
    return town, anna, claimed


def settle(claimed: Any, verdict: str, argument: bytes = b"") -> durable.Settle:
    """End the lease that was claimed."""
    (member,) = claimed.members
    one = durable.Settlement(
        member=member.name, token=claimed.token, verdict=verdict, argument=argument, entries=[member.entries[0].id]
    )
    return durable.Settle(settlements=[one], lease_ms=20_000)


async def test_a_lease_is_settled_by_who_holds_it(stack: AsyncExitStack, tmp_path: Path) -> None:
    town, anna, claimed = await leased(stack, tmp_path)
    eve, _ = await town.link("eve")
    lease = durable.Lease(member=claimed.members[0].name, token=claimed.token)
    assert list((await mail(eve, "job.a", settle=settle(claimed, "done"))).kept) == [False]
    assert list((await mail(eve, "job.a", extend=durable.Extend(leases=[lease], lease_ms=1_000))).kept) == [False]
    anna.call.cancel()
    again, _ = await town.link("anna")
    assert list((await mail(again, "job.a", extend=durable.Extend(leases=[lease], lease_ms=9_000))).kept) == [True]
    assert list((await mail(again, "job.a", settle=settle(claimed, "done"))).kept) == [True]
    assert list((await mail(again, "job.a", settle=settle(claimed, "done"))).kept) == [False]


async def settled(link: RawLink, claimed: Any, verdict: str, argument: bytes = b"") -> bool:
    """Whether that is taken."""
    (kept,) = (await mail(link, "job.a", settle=settle(claimed, verdict, argument))).kept
    return kept


async def extended(link: RawLink, claimed: Any) -> bool:
    """Whether the lease begins anew."""
    lease = durable.Lease(member=claimed.members[0].name, token=claimed.token)
    (kept,) = (await mail(link, "job.a", extend=durable.Extend(leases=[lease], lease_ms=20_000))).kept
    return kept


async def test_a_lease_goes_with_its_holder_to_another_gateway(
    stack: AsyncExitStack, tmp_path: Path, redis_url: str
) -> None:
    """Nobody else may settle it there either, with whatever token; and what moved is handled once."""
    first, anna, claimed = await leased(stack, tmp_path, "--url", redis_url)
    second = await Town(stack, tmp_path, PEOPLE, "--url", redis_url).open()
    for town in (first, second):
        for name in ("eve", "boss"):
            other, _ = await town.link(name)
            assert not await extended(other, claimed)
            assert not await settled(other, claimed, "done")
            for holder in (b"|anna", b"|eve", b"|anna!", b"|eve|anna", b"!"):
                lease = durable.Lease(member=claimed.members[0].name, token=claimed.token + holder)
                extend = durable.Extend(leases=[lease], lease_ms=20_000)
                await other.say(mail=durable.MailRequest(ref=1, topic="job.a", group="g", extend=extend))
                assert "is a number" in (await other.hear("mail")).error.message
    anna.call.cancel()
    again, _ = await second.link("anna")
    assert await extended(again, claimed)
    true = claimed.members[0].entries[0].envelope
    assert not await settled(again, claimed, "dead", letter(claimed, true))  # it does not know what was given out
    assert await settled(again, claimed, "keep")
    assert await settled(again, claimed, "done")
    assert not await settled(again, claimed, "done")
    more = (await mail(again, "job.a", claim=durable.Claim(slots=5, entries=5, lease_ms=20_000))).claimed
    assert not more.members


async def test_a_lease_outlives_its_gateway(stack: AsyncExitStack, tmp_path: Path, redis_url: str) -> None:
    town, _, claimed = await leased(stack, tmp_path, "--url", redis_url)
    town.up.kill()
    await town.up.wait()
    await town.up.start()
    eve, _ = await town.link("eve")
    anna, _ = await town.link("anna")
    assert not await settled(eve, claimed, "done")
    assert await settled(anna, claimed, "done")


def letter(claimed: Any, envelope: bytes) -> bytes:
    """A dead letter of that event, says its holder."""
    entry = claimed.members[0].entries[0].id.decode()
    return durable.DeadLetter(
        envelope=envelope, topic="job.a", group="g", reason="failed", attempts=1, entry=entry
    ).SerializeToString()


async def test_a_dead_letter_is_the_event_that_was_given_out(stack: AsyncExitStack, tmp_path: Path) -> None:
    """What is a dead letter can be put back: who may only subscribe could publish, and as somebody else."""
    town, anna, claimed = await leased(stack, tmp_path)
    true = claimed.members[0].entries[0].envelope
    forged = Envelope.FromString(true)
    forged.data, forged.source = b"\xa6forged", "boss/0000000000000000"
    bad = settle(claimed, "dead", letter(claimed, forged.SerializeToString()))
    assert list((await mail(anna, "job.a", settle=bad)).kept) == [False]
    good = settle(claimed, "dead", letter(claimed, true))
    assert list((await mail(anna, "job.a", settle=good)).kept) == [True]
    boss, _ = await town.link("boss")
    (kept,) = (await mail(boss, "job.a", list_letters=durable.ListLetters(limit=5))).letters
    assert durable.DeadLetter.FromString(kept.letter).envelope == true
