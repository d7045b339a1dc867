"""Leases: how they end, and what it means for an event that its holder was lost. In memory, in a file, on Redis."""

from __future__ import annotations

import asyncio

from tests.unit.mail_places import GROUP, Box, names
from tieline.durable.mail import Claimed, Settlement, Verdict


async def begin(box: Box, claimed: Claimed, *, lease: float) -> list[bool]:
    """Say that each head is handled from here on."""
    said = [Settlement(member.name, claimed.token, Verdict.BEGIN, b"", ()) for member in claimed.members]
    return await box.mail.settle(box.topic, GROUP, said, lease, claims=True)


async def test_a_lease_is_extended(box: Box) -> None:
    await box.enroll()
    await box.put("a1")
    claimed = await box.claim(lease=0.3)
    leases = [(claimed.members[0].name, claimed.token)]
    assert await box.mail.extend(box.topic, "default", leases, 60.0) == [True]
    await asyncio.sleep(0.4)
    again = await box.claim()
    assert not again.members
    assert again.again is not None
    assert again.again > 10
    assert await box.mail.extend(box.topic, "default", [(b"other", claimed.token)], 60.0) == [False]


async def test_a_lease_that_ended_is_a_failure_and_its_token_is_worth_nothing(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "a2", "5:x")
    old = await box.claim(lease=0.02)
    await asyncio.sleep(0.05)
    new = await box.claim()
    assert sorted((member.failures, names(member.entries)) for member in new.members) == [(1, ["5:x"]), (1, ["a1"])]
    assert int(new.token) > int(old.token)
    assert await box.settle(old, Verdict.DONE) == [False, False]
    leases = [(member.name, old.token) for member in old.members]
    assert await box.mail.extend(box.topic, "default", leases, 1.0) == [False, False]
    assert await box.settle(new, Verdict.DONE) == [True, True]
    assert await box.read() == {"a": ["a2"]}


async def test_a_lease_with_a_holder_is_of_nobody_else(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "a2", "b1", "5:x")
    mail, place = box.mail, (box.topic, "default")
    claimed = await mail.claim(*place, 5, 5, 60.0, holder="anna")
    assert claimed.token.isdigit()
    leases = [(member.name, claimed.token) for member in claimed.members]
    done = [Settlement(name, token, Verdict.DONE, b"", ()) for name, token in leases]
    for other in ("", "eve", "ann", "anna!"):
        assert not any(await mail.extend(*place, leases, 60.0, holder=other))
        assert not any(await mail.settle(*place, done, 60.0, claims=True, holder=other))
    assert all(await mail.extend(*place, leases, 60.0, holder="anna"))
    begun = [each._replace(verdict=Verdict.BEGIN) for each in done]
    assert all(await mail.settle(*place, begun, 60.0, claims=True, holder="anna"))
    assert all(await mail.settle(*place, begun, 60.0, claims=True, holder="anna"))
    freed = [each._replace(verdict=Verdict.FREE) for each in done]
    assert all(await mail.settle(*place, freed, 60.0, claims=True, holder="anna"))
    again = await box.claim()
    assert len(again.members) == len(leases)
    assert all(await box.settle(again, Verdict.DONE))
    assert not any(await box.settle(claimed, Verdict.DONE))


async def test_a_claim_whose_answer_is_lost_fails_nothing_again(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "b1", "5:x")
    for failures in (0, 1, 1, 1):  # the first one may have been a process that was lost
        claimed = await box.claim(lease=0.01)
        assert [member.failures for member in claimed.members] == [failures] * 3
        await asyncio.sleep(0.02)
    begun = await box.claim()
    assert await begin(box, begun, lease=0.01) == [True, True, True]
    await asyncio.sleep(0.02)
    assert [member.failures for member in (await box.claim()).members] == [2], "one at a time from here on"


async def test_who_begins_too_late_is_told(box: Box) -> None:
    await box.enroll()
    await box.put("a1")
    await box.claim(lease=0.01)
    await asyncio.sleep(0.02)
    late = await box.claim(lease=0.01)
    await asyncio.sleep(0.02)
    held = await box.claim()
    assert await begin(box, late, lease=60.0) == [False]
    assert await begin(box, held, lease=60.0) == [True]
    assert await begin(box, held, lease=60.0) == [True], "who had no answer says it again"
    assert await box.mail.extend(box.topic, GROUP, [(held.members[0].name, held.token)], 60.0) == [True]
    assert await box.settle(held, Verdict.DONE) == [True]


async def test_of_what_was_lost_again_one_is_leased_at_a_time(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "b1", "5:x", "c1")
    await box.claim(lease=0.01)
    await asyncio.sleep(0.02)
    first = await box.claim()
    assert [member.failures for member in first.members] == [1, 1, 1, 1], "that may have been by chance"
    await begin(box, first, lease=0.01)
    await box.put("d1")
    await asyncio.sleep(0.02)
    found: dict[str, int] = {}
    for _ in range(4):
        claimed = await box.claim()
        while not [member for member in claimed.members if member.failures]:
            assert claimed.again is not None
            await asyncio.sleep(claimed.again)
            claimed = await box.claim()
        (suspect,) = [member for member in claimed.members if member.failures]
        await asyncio.sleep(0.03)
        assert not (await box.claim()).members
        found[names(suspect.entries)[0]] = suspect.failures
        await box.settle(claimed, Verdict.DONE)
        await asyncio.sleep(0.03)
    assert found == {"a1": 2, "b1": 2, "5:x": 2, "c1": 2}
