"""Durable events through a gateway: what a plain Link may ask, and what becomes of its leases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest

from tests.gateway.raw_link import RawLink, event
from tests.gateway.test_link_rules import NewLink, code
from tests.suite.gateways import GatewayProcess
from tests.support.servers import RedisServer
from tieline._contract import durable_pb2 as mail
from tieline._contract import envelope_pb2 as envelopes
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import REQUEST
from tieline.transport import Route

Ask = Callable[..., Awaitable[mail.MailResponse]]
LONG_MS = 30_000
SHORT_MS = 300


@pytest.fixture(scope="module", params=["embedded", "redis"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """One gateway for all tests here, which do not stop it."""
    with ExitStack() as opened:
        redis = opened.enter_context(RedisServer()).url if request.param == "redis" else ""
        gateway = opened.enter_context(GatewayProcess(*(["--redis-url", redis] if redis else [])))
        yield gateway.url.removeprefix("grpc://")


@pytest.fixture
async def new_link(stack: AsyncExitStack, address: str) -> NewLink:
    """Makes raw Links that have said hello."""

    async def make(service: str = "raw") -> tuple[RawLink, str]:
        link = await stack.enter_async_context(RawLink(address))
        return link, (await link.hello(service)).instance

    return make


@pytest.fixture
async def link(new_link: NewLink) -> RawLink:
    """A Link."""
    return (await new_link())[0]


async def ask(link: RawLink, topic: str, group: str = "default", ref: int = 7, **what: Any) -> mail.MailResponse:
    """Ask, and return the answer, joined if it came in parts."""
    await link.say(mail=mail.MailRequest(ref=ref, topic=topic, group=group, **what))
    answer, more = mail.MailResponse(), True
    while more:
        part = await link.hear("mail")
        assert part.ref == ref
        more = part.more
        answer.MergeFrom(part)
    return answer


async def append(link: RawLink, *drafts: Envelope, **options: Any) -> list[mail.Stored]:
    """Store events of one topic."""
    named = [mail.Draft(envelope=draft.SerializeToString()) for draft in drafts]
    answer = await ask(link, drafts[0].topic, append=mail.Append(drafts=named, **options))
    assert not answer.HasField("error"), answer.error
    return list(answer.stored)


async def claim(link: RawLink, topic: str, lease_ms: int = LONG_MS, **options: int) -> mail.Claimed:
    """Lease what is ready."""
    wanted = mail.Claim(**{"slots": 10, "entries": 100, "lease_ms": lease_ms, **options})
    answer = await ask(link, topic, claim=wanted)
    assert not answer.HasField("error"), answer.error
    return answer.claimed


async def settle(
    link: RawLink,
    topic: str,
    claimed: mail.Claimed,
    verdict: str,
    *ids: bytes,
    argument: bytes = b"",
    group: str = "default",
) -> bool:
    """Say what becomes of the first member of a claim."""
    name = claimed.members[0].name
    one = mail.Settlement(member=name, token=claimed.token, verdict=verdict, argument=argument, entries=ids)
    answer = await ask(link, topic, group, settle=mail.Settle(settlements=[one], lease_ms=LONG_MS))
    assert not answer.HasField("error"), answer.error
    return answer.kept[0]


def ids(claimed: mail.Claimed) -> list[bytes]:
    """Ids of the entries of its first member."""
    return [entry.id for entry in claimed.members[0].entries]


def data(claimed: mail.Claimed) -> list[bytes]:
    """Payloads of all entries."""
    return [Envelope.FromString(entry.envelope).data for one in claimed.members for entry in one.entries]


def letter(topic: str, group: str = "default", envelope: bytes = b"") -> bytes:
    """What an event becomes that is given up."""
    told = mail.DeadLetter(envelope=envelope, topic=topic, group=group, reason="rejected", attempts=1)
    return told.SerializeToString()


async def until_claimed(link: RawLink, topic: str) -> mail.Claimed:
    """Claim again when told so, until there is something."""
    while True:
        claimed = await claim(link, topic)
        if claimed.members:
            return claimed
        assert claimed.HasField("again_ms")
        await link.rest(claimed.again_ms / 1000)


# --- store, lease, settle -------------------------------------------------------------------------------------------


async def test_events_of_a_key_are_leased_in_their_order_to_one(new_link: NewLink, topic: str) -> None:
    (first, _), (second, _) = await new_link(), await new_link()
    assert (await ask(first, topic, enroll=mail.Enroll())).yes
    assert not (await ask(second, topic, enroll=mail.Enroll())).yes
    stored = await append(first, *(event(topic, b"%c" % n, key="k", ttl_ms=0) for n in range(3)))
    stored += await append(second, event(topic, b"\x03", key="k", ttl_ms=0))
    assert len({one.entry for one in stored}) == 4
    assert {one.stream for one in stored} == {f"event_stream:{topic}:k"}
    claimed = await claim(first, topic)
    assert [member.key for member in claimed.members] == ["k"]
    assert data(claimed) == [b"\0", b"\1", b"\2", b"\3"]
    assert ids(claimed) == [one.entry.encode() for one in stored]
    assert not (await claim(second, topic)).members
    assert await settle(first, topic, claimed, "done", *ids(claimed))
    assert not (await claim(second, topic)).members


async def test_what_is_stored_is_stamped_as_what_is_published(new_link: NewLink, topic: str) -> None:
    link, instance = await new_link("shop")
    await ask(link, topic, enroll=mail.Enroll())
    forged = {"source": "forged/0", "time": 1, "expires_at": 2**60, "reply_to": "f" * 16, "redriven": 9}
    sent = event(topic, key="k", ttl_ms=5_000, hops=3, **forged)
    await append(link, sent)
    kept = Envelope.FromString((await claim(link, topic)).members[0].entries[0].envelope)
    assert (kept.id, kept.source, kept.hops, kept.key, kept.redriven) == (sent.id, f"shop/{instance}", 3, "k", 0)
    assert kept.reply_to in ("", instance)
    assert kept.expires_at == kept.time + 5_000
    assert kept.time > 1_600_000_000_000


async def test_an_event_is_tried_again_when_it_failed_and_nothing_passes_it(link: RawLink, topic: str) -> None:
    await ask(link, topic, enroll=mail.Enroll())
    await append(link, event(topic, b"\1", key="k"), event(topic, b"\2", key="k"))
    claimed = await claim(link, topic)
    assert await settle(link, topic, claimed, "retry", argument=b"0")
    again = await claim(link, topic)
    assert again.token > claimed.token
    assert (again.members[0].failures, data(again)) == (1, [b"\1"])
    assert not await settle(link, topic, claimed, "done", *ids(claimed))
    assert await settle(link, topic, again, "free", *ids(again))
    assert data(await claim(link, topic)) == [b"\2"]


async def test_a_dead_letter_is_listed_put_back_and_deleted(link: RawLink, topic: str) -> None:
    await ask(link, topic, enroll=mail.Enroll())
    await append(link, event(topic, b"\1", key="k"), event(topic, b"\2", key="k"))
    claimed = await claim(link, topic)
    bad = claimed.members[0].entries[0]
    told = letter(topic, envelope=bad.envelope)
    assert await settle(link, topic, claimed, "dead", bad.id, argument=told)
    listed = (await ask(link, topic, list_letters=mail.ListLetters(limit=10))).letters
    assert [one.letter for one in listed] == [told]
    after = mail.ListLetters(limit=10, after=listed[0].id)
    assert not (await ask(link, topic, list_letters=after)).letters
    back = mail.Redrive(letters=[mail.Redriven(id=listed[0].id, group="default", envelope=bad.envelope)] * 2)
    moved = (await ask(link, topic, redrive=back)).names
    assert (bool(moved[0]), moved[1]) == (True, "")
    assert await settle(link, topic, claimed, "done", ids(claimed)[1])
    again = await claim(link, topic)
    assert (data(again), again.members[0].entries[0].group) == ([b"\1"], "default")
    assert await settle(link, topic, again, "dead", ids(again)[0], argument=told)
    last = (await ask(link, topic, list_letters=mail.ListLetters(limit=10))).letters
    assert (await ask(link, topic, purge=mail.Purge(ids=[last[0].id, "1-1"]))).count == 1
    assert not (await ask(link, topic, list_letters=mail.ListLetters(limit=10))).letters


async def _given_up(link: RawLink, topic: str, *numbers: int, group: str = "default") -> list[mail.Letter]:
    """Publish events of the key k, and have them become dead letters."""
    await ask(link, topic, group, enroll=mail.Enroll())
    await append(link, *(event(topic, bytes([number]), key="k", priority=8, ttl_ms=60_000) for number in numbers))
    claimed = (await ask(link, topic, group, **wanted(entries=100, lease_ms=LONG_MS))).claimed
    for entry in claimed.members[0].entries:
        told = letter(topic, group, entry.envelope)
        assert await settle(link, topic, claimed, "dead", entry.id, argument=told, group=group)
    assert await settle(link, topic, claimed, "done", group=group)
    return list((await ask(link, topic, list_letters=mail.ListLetters(limit=100))).letters)


def _kept(one: mail.Letter) -> Envelope:
    """The event of a dead letter."""
    return Envelope.FromString(mail.DeadLetter.FromString(one.letter).envelope)


async def test_a_dead_letter_is_put_back_as_it_was_whoever_asks_and_whatever_they_say(
    new_link: NewLink, topic: str
) -> None:
    link, instance = await new_link("shop")
    letters = await _given_up(link, topic, 1, 2, 3)
    forged = {"id": "f" * 8, "source": "forged/0", "time": 1, "redriven": 9, "hops": 5, "correlation_id": "other"}
    other, _ = await new_link("office")
    sent = [event(topic, bytes([number]), key="elsewhere", priority=1, **forged) for number in (1, 2, 3)]
    asked = [
        mail.Redriven(id=one.id, group="default", envelope=each.SerializeToString())
        for one, each in zip(letters, sent, strict=True)
    ]
    gone = mail.Redriven(id="1-1", group="default", envelope=sent[0].SerializeToString())
    moved = (await ask(other, topic, redrive=mail.Redrive(letters=[asked[2], gone, asked[0], asked[1], gone]))).names
    assert list(map(bool, moved)) == [True, False, True, True, False]
    (member,) = (await claim(link, topic)).members
    assert member.key == "k"
    for entry, one in zip(member.entries, [letters[2], letters[0], letters[1]], strict=True):
        expected = _kept(one)
        assert expected.source == f"shop/{instance}"
        expected.redriven, expected.ttl_ms, expected.expires_at = 1, 0, 0
        assert Envelope.FromString(entry.envelope) == expected


async def test_an_edited_dead_letter_is_stamped_as_what_its_editor_publishes(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link("shop")
    first, _ = await _given_up(link, topic, 1, 2)
    office, instance = await new_link("office")
    edited = _kept(first)
    edited.data, edited.source, edited.redriven = b"\7", "forged/0", 9
    back = mail.Redriven(id=first.id, group="default", envelope=edited.SerializeToString())
    assert (await ask(office, topic, redrive=mail.Redrive(letters=[back]))).names[0]
    (member,) = (await claim(link, topic)).members
    kept = Envelope.FromString(member.entries[0].envelope)
    assert (kept.id, kept.source, kept.data, kept.redriven) == (edited.id, f"office/{instance}", b"\7", 1)
    assert kept.priority == edited.priority


async def test_a_dead_letter_is_put_back_for_its_own_group_only_and_within_the_bounds(
    link: RawLink, topic: str
) -> None:
    (one,) = await _given_up(link, topic, 1, group="g")
    await ask(link, topic, enroll=mail.Enroll())
    as_it_was, large = _kept(one), _kept(one)
    large.data = bytes(1_048_577)
    for group, envelope, reason in (
        ("default", as_it_was, "INVALID_ARGUMENT"),
        ("g", large, "PAYLOAD_TOO_LARGE"),
    ):
        back = mail.Redriven(id=one.id, group=group, envelope=envelope.SerializeToString())
        refused = await ask(link, topic, redrive=mail.Redrive(letters=[back]))
        assert refused.error.code == code(reason)
    assert len((await ask(link, topic, list_letters=mail.ListLetters(limit=10))).letters) == 1


async def test_a_key_that_stopped_is_listed_and_let_go(link: RawLink, topic: str) -> None:
    await ask(link, topic, enroll=mail.Enroll())
    await append(link, event(topic, b"\1", key="k"), event(topic, b"\2", key="k"))
    told = letter(topic)
    assert await settle(link, topic, await claim(link, topic), "park", argument=told)
    assert not (await claim(link, topic)).members
    parked = (await ask(link, topic, list_parked=mail.ListParked())).letters
    assert [(one.id, one.letter) for one in parked] == [("k", told)]
    (figures,) = (await ask(link, topic, list_groups=mail.ListGroups())).groups
    assert (figures.group, figures.keys, figures.waiting, figures.parked) == ("default", 1, 2, 1)
    assert figures.oldest > 1_600_000_000_000
    assert (await ask(link, topic, unpark=mail.Unpark(key="k", skip=True))).yes
    assert not (await ask(link, topic, unpark=mail.Unpark(key="k"))).yes
    assert data(await claim(link, topic)) == [b"\2"]


async def test_a_group_is_told_that_there_is_something_to_claim(new_link: NewLink, topic: str) -> None:
    (waiting, _), (other, _) = await new_link(), await new_link()
    await ask(waiting, topic, "g", enroll=mail.Enroll())
    interest = wire.Interest(route=int(Route.MAIL), pattern=topic, group="g")  # type: ignore[arg-type]
    await waiting.say(register=wire.Register(ref=1, interests=[interest]))
    assert not (await waiting.hear("done")).HasField("error")
    wanted = mail.Claim(slots=1, entries=1, lease_ms=LONG_MS)
    assert not (await ask(waiting, topic, "g", claim=wanted)).claimed.HasField("again_ms")
    await append(other, event(topic, key="k"))
    wake = await waiting.hear("wake")
    assert (wake.topic, wake.group) == (topic, "g")
    assert len((await ask(waiting, topic, "g", claim=wanted)).claimed.members) == 1


async def test_a_group_that_is_dismissed_is_gone(link: RawLink, topic: str) -> None:
    await ask(link, topic, "g", enroll=mail.Enroll())
    assert topic in (await ask(link, "", list_topics=mail.ListTopics())).names
    assert (await ask(link, topic, "g", dismiss=mail.Dismiss())).yes
    assert not (await ask(link, topic, "g", dismiss=mail.Dismiss())).yes
    assert not (await ask(link, topic, list_groups=mail.ListGroups())).groups


async def test_what_is_known_is_not_stored_again_and_a_full_stream_takes_nothing(link: RawLink, topic: str) -> None:
    draft = mail.Draft(envelope=event(topic, key="k").SerializeToString(), known_as="order 17", window_ms=60_000)
    first = (await ask(link, topic, append=mail.Append(drafts=[draft]))).stored[0]
    again = (await ask(link, topic, append=mail.Append(drafts=[draft]))).stored[0]
    assert (first.duplicate, again.duplicate, again.entry) == (False, True, first.entry)
    assert (await append(link, event(topic, key="k"), most=1))[0] == mail.Stored()
    both = await append(link, event(topic, key="other"), event(topic, key="k"), most=1, together=True)
    assert both == [mail.Stored(), mail.Stored()]


async def test_what_is_large_comes_in_parts(link: RawLink, topic: str) -> None:
    await ask(link, topic, enroll=mail.Enroll())
    for n in range(4):
        await append(link, event(topic, b"%d" % n * 1_000_000, key=f"k{n}"))
    wanted = mail.Claim(slots=100, entries=100, lease_ms=LONG_MS)
    await link.say(mail=mail.MailRequest(ref=5, topic=topic, group="default", claim=wanted))
    parts = [await link.hear("mail")]
    while parts[-1].more:
        parts.append(await link.hear("mail"))
    assert len(parts) > 1
    assert all(part.ref == 5 and part.ByteSize() < 1_100_000 for part in parts)
    claimed = mail.MailResponse()
    for part in parts:
        claimed.MergeFrom(part)
    assert [len(each) for each in data(claimed.claimed)] == [1_000_000] * 4
    assert len(claimed.claimed.token) > 10


async def test_a_claim_takes_no_more_than_about_four_mebibytes(link: RawLink, topic: str) -> None:
    await ask(link, topic, enroll=mail.Enroll())
    for _ in range(20):
        await append(link, event(topic, bytes(1_000_000)))
    taken = 0
    while taken < 20:
        claimed = await claim(link, topic, slots=250)
        assert 0 < len(claimed.members) <= 8
        taken += len(claimed.members)


async def test_no_more_of_a_key_is_given_out_than_a_claim_takes(link: RawLink, topic: str) -> None:
    await ask(link, topic, enroll=mail.Enroll())
    for n in range(20):
        await append(link, event(topic, b"%c" % n * 1_000_000, key="k"))
    seen: list[int] = []
    while len(seen) < 20:
        claimed = await claim(link, topic)
        (figures,) = (await ask(link, topic, list_groups=mail.ListGroups())).groups
        assert figures.pending <= 8
        seen += [each[0] for each in data(claimed)]
        assert await settle(link, topic, claimed, "done", *ids(claimed))
    assert seen == list(range(20))


# --- leases and Links -----------------------------------------------------------------------------------------------


async def test_what_a_link_had_that_is_gone_is_leased_to_another_one_after_the_lease(
    new_link: NewLink, topic: str
) -> None:
    (dying, _), (other, _) = await new_link(), await new_link()
    await ask(dying, topic, enroll=mail.Enroll())
    await append(dying, event(topic, b"\1", key="k"))
    first = await claim(dying, topic, SHORT_MS)
    assert len(first.members) == 1
    dying.call.cancel()
    second = await until_claimed(other, topic)
    assert (data(second), second.members[0].failures) == ([b"\1"], 1)
    assert second.token > first.token


async def test_a_lease_outlives_its_link(new_link: NewLink, topic: str) -> None:
    (first, _), (second, _) = await new_link(), await new_link()
    await ask(first, topic, enroll=mail.Enroll())
    await append(first, event(topic, key="k"))
    claimed = await claim(first, topic)
    first.call.cancel()
    lease = mail.Lease(member=claimed.members[0].name, token=claimed.token)
    strange = mail.Lease(member=claimed.members[0].name, token=b"1")
    extended = await ask(second, topic, extend=mail.Extend(leases=[lease, strange], lease_ms=LONG_MS))
    assert list(extended.kept) == [True, False]
    assert await settle(second, topic, claimed, "done", *ids(claimed))


# --- what breaks a rule is answered ---------------------------------------------------------------------------------


def drafts(*given: Envelope, **options: Any) -> dict[str, Any]:
    """An item that stores events."""
    return {"append": mail.Append(drafts=[mail.Draft(envelope=one.SerializeToString(), **options) for one in given])}


def wanted(**options: int) -> dict[str, Any]:
    """An item that claims."""
    return {"claim": mail.Claim(**{"slots": 1, "entries": 1, "lease_ms": 1_000, **options})}


def verdict(verdict: str = "done", **fields: Any) -> dict[str, Any]:
    """An item that settles."""
    one = mail.Settlement(**{"member": b"k", "token": b"1", "verdict": verdict, **fields})
    return {"settle": mail.Settle(settlements=[one], lease_ms=1_000)}


def back(topic: str = "a", **fields: Any) -> dict[str, Any]:
    """An item that puts a dead letter back."""
    given = {"id": "1-1", "group": "default", "envelope": event(topic).SerializeToString(), **fields}
    return {"redrive": mail.Redrive(letters=[mail.Redriven(**given)])}


BAD = {
    "nothing": ("a", "g", {}, "UNSUPPORTED"),
    "topic": ("a..b", "g", wanted(), "INVALID_TOPIC"),
    "pattern": ("a.*", "g", wanted(), "INVALID_TOPIC"),
    "no group": ("a", "", wanted(), "INVALID_ARGUMENT"),
    "group": ("a", "g" * 256, {"enroll": mail.Enroll()}, "INVALID_ARGUMENT"),
    "no events": ("a", "", drafts(), "INVALID_ARGUMENT"),
    "another topic": ("a", "", drafts(event("b")), "INVALID_ARGUMENT"),
    "reserved": ("system.error", "", drafts(event("system.error")), "INVALID_TOPIC"),
    "no envelope": ("a", "", {"append": mail.Append(drafts=[mail.Draft(envelope=b"\xff")])}, "INVALID_ARGUMENT"),
    "a request": ("a", "", drafts(event("a", kind=REQUEST)), "INVALID_ARGUMENT"),
    "one of two": ("a", "", drafts(event("a"), event("a", hops=17)), "LOOP_DETECTED"),
    "payload": ("a", "", drafts(event("a", bytes(1_048_577))), "PAYLOAD_TOO_LARGE"),
    "headers": ("a", "", drafts(event("a", headers={"h": "x" * 9_000})), "PAYLOAD_TOO_LARGE"),
    "key": ("a", "", drafts(event("a", key="k" * 256)), "INVALID_ARGUMENT"),
    "priority": ("a", "", drafts(event("a", priority=7)), "INVALID_ARGUMENT"),
    "known as": ("a", "", drafts(event("a"), known_as="x" * 256, window_ms=1), "INVALID_ARGUMENT"),
    "no window": ("a", "", drafts(event("a"), known_as="x"), "INVALID_ARGUMENT"),
    "window": ("a", "", drafts(event("a"), known_as="x", window_ms=86_400_001), "INVALID_ARGUMENT"),
    "no slots": ("a", "g", wanted(slots=0), "INVALID_ARGUMENT"),
    "slots": ("a", "g", wanted(slots=1_001), "INVALID_ARGUMENT"),
    "entries": ("a", "g", wanted(entries=1_001), "INVALID_ARGUMENT"),
    "no lease": ("a", "g", wanted(lease_ms=0), "INVALID_ARGUMENT"),
    "lease": ("a", "g", wanted(lease_ms=86_400_001), "INVALID_ARGUMENT"),
    "verdict": ("a", "g", verdict("perhaps"), "INVALID_ARGUMENT"),
    "no member": ("a", "g", verdict(member=b""), "INVALID_ARGUMENT"),
    "no token": ("a", "g", verdict(token=b""), "INVALID_ARGUMENT"),
    "entry": ("a", "g", verdict(entries=[b""]), "INVALID_ARGUMENT"),
    "pause": ("a", "g", verdict("retry", argument=b"soon"), "INVALID_ARGUMENT"),
    "long pause": ("a", "g", verdict("retry", argument=b"2592000001"), "INVALID_ARGUMENT"),
    "no letter": ("a", "g", verdict("park", argument=b"\xff"), "INVALID_ARGUMENT"),
    "no key to park": (
        "a",
        "g",
        verdict("park", member=b"\x005\x001-1", argument=letter("a", "g")),
        "INVALID_ARGUMENT",
    ),
    "letter of another": ("a", "g", verdict("park", argument=letter("b", "g")), "INVALID_ARGUMENT"),
    "letter of none": ("a", "g", verdict("dead", argument=letter("a", "g")), "INVALID_ARGUMENT"),
    "large letter": ("a", "g", verdict("park", argument=letter("a", "g", bytes(2_100_000))), "INVALID_ARGUMENT"),
    "lease of none": ("a", "g", {"extend": mail.Extend(leases=[mail.Lease()], lease_ms=1)}, "INVALID_ARGUMENT"),
    "letters": ("a", "", {"list_letters": mail.ListLetters(limit=1_001)}, "INVALID_ARGUMENT"),
    "no event": ("a", "", back(envelope=b"\xff"), "INVALID_ARGUMENT"),
    "event of another": ("a", "", back("b"), "INVALID_ARGUMENT"),
    "group of a letter": ("a", "", back(group=""), "INVALID_ARGUMENT"),
    "id of a letter": ("a", "", back(id=""), "INVALID_ARGUMENT"),
    "no id of a letter": ("a", "", back(id="1-x"), "INVALID_ARGUMENT"),
    "ids": ("a", "", {"purge": mail.Purge(ids=["1-1"] * 10_001)}, "INVALID_ARGUMENT"),
    "key to let go": ("a", "g", {"unpark": mail.Unpark(key="a\nb")}, "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize(("place", "group", "what", "reason"), BAD.values(), ids=BAD.keys())
async def test_what_breaks_a_rule_is_refused_and_hurts_nothing_else(
    link: RawLink, topic: str, place: str, group: str, what: dict[str, Any], reason: str
) -> None:
    refused = await ask(link, place, group, **what)
    assert (refused.ref, refused.error.code) == (7, code(reason))
    assert refused.error.outcome == envelopes.OUTCOME_NOT_DELIVERED
    assert "a" not in (await ask(link, "", list_topics=mail.ListTopics())).names
    assert len(await append(link, event(topic, key="k"))) == 1


async def test_nobody_waits_for_mail_on_a_pattern_or_without_a_group(link: RawLink) -> None:
    for pattern, group, reason in (("a.*", "g", "INVALID_TOPIC"), ("a", "", "INVALID_ARGUMENT")):
        interest = wire.Interest(route=int(Route.MAIL), pattern=pattern, group=group)  # type: ignore[arg-type]
        await link.say(register=wire.Register(ref=1, interests=[interest]))
        assert (await link.hear("done")).error.code == code(reason)
