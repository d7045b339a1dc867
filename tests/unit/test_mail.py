"""The seam of durable events, kept in memory, in a file and on Redis: all do the same."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.unit.mail_places import Box, names
from tieline._contract import contract
from tieline.durable.mail import Draft, Redriven, Verdict


async def test_a_key_is_leased_with_its_events_in_order(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "b1", "a2", "a3")
    claimed = await box.claim()
    assert {member.key: names(member.entries) for member in claimed.members} == {"a": ["a1", "a2", "a3"], "b": ["b1"]}
    assert [member.failures for member in claimed.members] == [0, 0]
    assert await box.read() == {}
    assert await box.settle(claimed, Verdict.DONE) == [True, True]
    figures = await box.figures()
    assert (figures.keys, figures.waiting, figures.pending, figures.oldest) == (0, 0, 0, None)


async def test_what_comes_while_a_key_is_leased_waits_for_its_end(box: Box) -> None:
    await box.enroll()
    await box.put("a1")
    claimed = await box.claim()
    await box.put("a2")
    assert await box.read() == {}
    await box.settle(claimed, Verdict.DONE)
    assert await box.read() == {"a": ["a2"]}


async def test_what_was_given_out_comes_before_what_is_new(box: Box) -> None:
    await box.enroll()
    await box.put("a1")
    claimed = await box.claim()
    await box.put("a2")
    await box.settle(claimed, Verdict.FREE, handled=0)
    again = await box.claim()
    assert names(again.members[0].entries) == ["a1"]
    assert again.members[0].failures == 0
    await box.settle(again, Verdict.DONE)
    assert await box.read() == {"a": ["a2"]}


async def test_a_key_whose_head_failed_comes_one_entry_at_a_time(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "a2", "a3")
    for failures in (1, 2):
        await box.settle(await box.claim(), Verdict.RETRY, b"0", handled=0)
        again = await box.claim()
        assert [(member.failures, names(member.entries)) for member in again.members] == [(failures, ["a1"])]
        await box.settle(again, Verdict.KEEP, handled=0)
        await box.settle(again, Verdict.FREE, handled=0)
    await box.settle(await box.claim(), Verdict.DONE)
    last = await box.claim()
    assert [(member.failures, names(member.entries)) for member in last.members] == [(0, ["a2", "a3"])]


async def test_the_failures_of_one_event_are_not_those_of_the_next(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "a2", "a3")
    await box.settle(await box.claim(), Verdict.RETRY, b"0", handled=0)
    await box.settle(await box.claim(), Verdict.DONE)
    claimed = await box.claim()
    await box.settle(claimed, Verdict.RETRY, b"0", handled=1)
    again = await box.claim()
    assert [(member.failures, names(member.entries)) for member in again.members] == [(1, ["a3"])]


async def test_a_retry_waits_and_the_claim_says_how_long(box: Box) -> None:
    await box.enroll()
    assert (await box.claim()).again is None
    await box.put("a1")
    await box.settle(await box.claim(), Verdict.RETRY, b"30000", handled=0)
    await box.put("a2")
    claimed = await box.claim()
    assert not claimed.members
    assert claimed.again is not None
    assert 5 < claimed.again <= 30


async def test_a_parked_key_stops_until_somebody_lets_it_go_on(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "a2", "b1")
    claimed = await box.claim()
    await box.settle(claimed, Verdict.PARK, b"letter", member=claimed.members[0], handled=0)
    await box.put("a3")
    assert await box.read() == {}
    assert [tuple(letter) for letter in await box.mail.parked(box.topic, "default")] == [("a", b"letter")]
    assert (await box.figures()).parked == 1
    assert not await box.mail.unpark(box.topic, "default", "b", skip=False)
    assert await box.mail.unpark(box.topic, "default", "a", skip=False)
    assert not await box.mail.unpark(box.topic, "default", "a", skip=False)
    again = await box.claim()
    assert [(member.failures, names(member.entries)) for member in again.members] == [(0, ["a1", "a2"])]
    await box.settle(again, Verdict.PARK, b"second", handled=0)
    assert await box.mail.unpark(box.topic, "default", "a", skip=True)
    assert [letter.letter for letter in await box.mail.letters(box.topic, "", 10)] == [b"second"]
    assert await box.read() == {"a": ["a2"]}
    assert await box.mail.parked(box.topic, "default") == []
    await box.enroll("later")
    assert await box.read(group="later") == {"a": ["a2", "a3"], "b": ["b1"]}, "what was skipped is gone"


async def test_a_dead_letter_takes_the_place_of_its_event_and_the_lease_goes_on(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "a2")
    claimed = await box.claim()
    assert await box.settle(claimed, Verdict.DEAD, b"letter", handled=1) == [True]
    assert await box.read() == {}
    await box.settle(claimed, Verdict.FREE, handled=0)
    assert await box.read() == {"a": ["a2"]}
    assert [letter.letter for letter in await box.mail.letters(box.topic, "", 10)] == [b"letter"]


async def test_a_dead_letter_is_put_back_once_for_its_group_alone(box: Box) -> None:
    await box.enroll("g")
    await box.enroll("h")
    await box.put("a1", "5:x")
    for group in ("g", "h"):
        claimed = await box.claim(group=group)
        for member in claimed.members:
            verdict = Verdict.DEAD if group == "g" else Verdict.DONE
            await box.settle(claimed, verdict, names(member.entries)[0].encode(), member=member, group=group)
        await box.settle(claimed, Verdict.DONE, group=group, handled=0)
    letters = await box.mail.letters(box.topic, "", 10)
    assert sorted(letter.letter for letter in letters) == [b"5:x", b"a1"]
    asked = [Redriven(one.id, "g", "a" if one.letter == b"a1" else "", 5, one.letter + b" again") for one in letters]
    told = await asyncio.gather(*(box.mail.redrive(box.topic, asked) for _ in range(3)))
    assert sum(map(bool, itertools.chain(*told))) == 2
    for group in ("g", "h"):
        claimed = await box.claim(group=group)
        found = [(names(member.entries), member.entries[0].group) for member in claimed.members]
        assert sorted(found) == [(["5:x again"], "g"), (["a1 again"], "g")]
    assert await box.mail.letters(box.topic, "", 10) == []


async def test_dead_letters_are_listed_and_deleted(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "b1", "c1")
    await box.settle(await box.claim(), Verdict.DEAD, b"x")
    letters = await box.mail.letters(box.topic, "", 2)
    assert len(letters) == 2
    assert len(await box.mail.letters(box.topic, letters[-1].id, 2)) == 1
    assert await box.mail.letters("another.topic", "", 2) == []
    ids = [letter.id for letter in letters]
    assert await box.mail.purge("another.topic", ids) == 0
    assert await box.mail.purge(box.topic, ids) == 2
    assert await box.mail.purge(box.topic, ids) == 0
    assert len(await box.mail.letters(box.topic, "", 10)) == 1


async def test_without_a_group_a_stream_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LIMIT_STREAM_ALONE", 3)
    stored = await box.put(*(f"a{number}" for number in range(5)), "b1", *(f"5:{number}" for number in range(5)))
    assert [one is not None for one in stored] == [True] * 3 + [False] * 2 + [True] + [True] * 3 + [False] * 2
    assert await box.put("a9", most=5) == [None]
    await box.enroll()
    assert (await box.put("a5", "5:5")).count(None) == 0
    found = await box.read()
    assert found["a"] == ["a0", "a1", "a2", "a5"]
    assert sorted(found[""]) == ["5:0", "5:1", "5:2", "5:5"]


async def test_what_finds_no_room_is_told_all_or_none(box: Box) -> None:
    await box.enroll()
    assert [one is not None for one in await box.put("a1", "a2", "a3", most=2)] == [True, True, False]
    assert await box.put("b1", "b2", "b3", most=2, together=True) == [None] * 3
    assert None not in await box.put("b1", "b2", most=2, together=True)
    assert None not in await box.put("a4", "b3")


async def test_what_is_known_is_not_stored_again(box: Box) -> None:
    await box.enroll()
    first, second = await box.put("a1=id", "b1=id")
    assert first is not None
    assert second is not None
    assert (first.duplicate, second.duplicate, second.entry) == (False, True, first.entry)
    (third,) = await box.put("a2=id")
    assert third is not None
    assert (third.duplicate, third.entry) == (True, first.entry)
    assert await box.read() == {"a": ["a1"]}


async def test_a_known_id_is_forgotten_after_its_window(box: Box) -> None:
    await box.enroll()
    draft = Draft("a", 5, "id", 30, b"a1")
    (first,) = await box.mail.append(box.topic, [draft])
    await asyncio.sleep(0.05)
    (second,) = await box.mail.append(box.topic, [draft])
    assert first is not None
    assert second is not None
    assert not second.duplicate
    assert first.entry != second.entry


async def test_each_group_has_its_own_place_and_what_all_have_passed_is_gone(box: Box) -> None:
    await box.enroll("g")
    await box.enroll("h")
    await box.put("a1", "a2", "5:x")
    both = {"a": ["a1", "a2"], "": ["5:x"]}
    first, second = await box.claim(group="g"), await box.claim(group="h")
    await box.settle(first, Verdict.DONE, group="g")
    assert (await box.figures("g")).waiting == 0
    assert (await box.figures("h")).waiting == 3
    await box.enroll("early")
    assert await box.read(group="early") == both
    await box.mail.dismiss(box.topic, "early")
    await box.settle(second, Verdict.DONE, group="h")
    await box.enroll("late")
    assert await box.read(group="late") == {}


async def test_a_group_begins_where_it_wants_to(box: Box) -> None:
    await box.put("a1", "5:x")
    await asyncio.sleep(0.005)  # on Redis "latest" is exact to the millisecond
    assert await box.enroll("late", latest=True)
    assert await box.enroll("early")
    assert not await box.enroll("early", latest=True)
    assert await box.read(group="late") == {}
    assert await box.read(group="early") == {"a": ["a1"], "": ["5:x"]}
    await asyncio.sleep(0.005)
    await box.put("a2", "5:y")
    assert await box.read(group="late") == {"a": ["a2"], "": ["5:y"]}
    found = {figures.group: figures.since for figures in await box.mail.groups(box.topic)}
    assert found["early"] == 0
    assert abs(found["late"] - box.raw.port.clock.now()) < 60_000
    assert box.topic in await box.mail.topics()


async def test_events_without_key_come_by_priority_and_each_by_itself(box: Box) -> None:
    await box.enroll()
    await box.put("1:a", "10:a", "5:a", "10:b")
    claimed = await box.claim()
    order = [names(member.entries)[0] for member in claimed.members]
    assert order in (["10:a", "10:b", "5:a", "1:a"], ["1:a", "10:a", "10:b", "5:a"]), "the lowest may come first"
    bad = claimed.members[order.index("5:a")]
    await box.settle(claimed, Verdict.RETRY, b"0", member=bad, handled=0)
    again = await box.claim()
    assert [(member.name, member.failures) for member in again.members] == [(bad.name, 1)]
    assert await box.settle(again, Verdict.DONE) == [True]
    told = await box.settle(claimed, Verdict.DONE)
    assert [ours for member, ours in zip(claimed.members, told, strict=True) if member is not bad] == [True] * 3
    assert told.count(False) == 1
    assert (await box.figures()).waiting == 0


async def test_about_one_claim_in_sixteen_begins_with_the_lowest_priority(box: Box) -> None:
    await box.enroll()
    await box.put(*(f"10:{number}" for number in range(400)), "1:low")
    order = [names((await box.claim(slots=1)).members[0].entries)[0] for _ in range(401)]
    assert order.index("1:low") < 400, "it need not wait for the end"
    assert [name for name in order if name != "1:low"] == [f"10:{number}" for number in range(400)]


async def test_a_claim_says_when_there_is_more(box: Box) -> None:
    await box.enroll()
    await box.put("a1", "b1", "c1", "5:x")
    first = await box.claim(slots=2)
    assert (len(first.members), first.again) == (2, 0)
    second = await box.claim(slots=10)
    assert len(second.members) == 2
    assert second.again is not None
    assert second.again > 5, "until the first lease ends"


async def test_a_claim_that_is_not_filled_has_left_nothing(box: Box) -> None:
    await box.enroll()
    for turn in range(100):
        await box.put("1:a", "1:b", "1:c", "10:a")
        claimed = await box.claim()
        assert len(claimed.members) == 4, f"in turn {turn}"
        await box.settle(claimed, Verdict.DONE)


async def test_one_slot_is_shared_by_keys_and_events_without(box: Box) -> None:
    await box.enroll()
    await box.put("a1", *(f"5:{number}" for number in range(200)))
    order = [(await box.claim(slots=1)).members[0].key for _ in range(100)]
    assert "a" in order


async def test_a_claim_shares_its_entries_among_the_keys(box: Box) -> None:
    await box.enroll()
    await box.put(*(f"{key}{number}" for key in "abcd" for number in range(10)))
    claimed = await box.claim(entries=8)
    assert [len(member.entries) for member in claimed.members] == [2, 2, 2, 2]


async def test_a_claim_is_bounded_in_bytes(box: Box) -> None:
    await box.enroll()
    for number in range(6):
        await box.mail.append(box.topic, [Draft("a", 5, "", 0, b"%d" % number * 1_000_000)])
    claimed = await box.claim()
    assert [entry.envelope[:1] for entry in claimed.members[0].entries] == [b"0", b"1", b"2", b"3"]
    await box.settle(claimed, Verdict.DONE)
    claimed = await box.claim()
    assert [entry.envelope[:1] for entry in claimed.members[0].entries] == [b"4", b"5"]
    await box.settle(claimed, Verdict.DONE)
    assert (await box.figures()).waiting == 0


async def test_whoever_was_told_there_is_nothing_is_woken_once(box: Box) -> None:
    woken = await box.listen()
    await box.enroll()
    await box.put("a1")
    await box.put("b1")
    assert await box.read() == {"a": ["a1"], "b": ["b1"]}
    assert not woken, "nobody had asked in vain"
    await box.put("c1")
    await woken.reach(1)
    await box.put("d1", "5:x")
    await woken.stay(1)
    assert woken == [(box.topic, "default")]


async def test_who_settles_and_claims_next_wakes_nobody(box: Box) -> None:
    woken = await box.listen()
    await box.enroll()
    await box.put("a1", "b1")
    claimed = await box.claim()
    await box.put("a2", "b2")
    await box.settle(claimed, Verdict.DONE, member=claimed.members[0], claims=True)
    await woken.stay(0)
    await box.settle(claimed, Verdict.DONE, member=claimed.members[1], claims=False)
    await woken.reach(1)
    assert await box.read() == {"a": ["a2"], "b": ["b2"]}


async def test_a_group_is_removed_with_what_waits_for_it(box: Box) -> None:
    woken = await box.listen("g")
    await box.enroll("g")
    await box.enroll("h")
    await box.put("a1", "5:x")
    claimed = await box.claim(group="g")
    assert await box.mail.dismiss(box.topic, "g")
    await woken.reach(1)
    assert not await box.mail.dismiss(box.topic, "g")
    assert await box.settle(claimed, Verdict.DONE, group="g") == [False, False]
    assert [figures.group for figures in await box.mail.groups(box.topic)] == ["h"]
    assert await box.read(group="h") == {"a": ["a1"], "": ["5:x"]}
    await box.enroll("i")
    await box.listen("i")
    await box.mail.dismiss(box.topic, "i")
    await woken.reach(2)
    assert woken[1] == (box.topic, "i")


async def test_what_the_last_group_leaves_waits_for_another_one(box: Box) -> None:
    await box.enroll("g")
    await box.put("a1", "5:x")
    await box.mail.dismiss(box.topic, "g")
    await box.enroll("h")
    assert await box.read(group="h") == {"a": ["a1"], "": ["5:x"]}


async def test_the_figures_of_a_group(box: Box) -> None:
    await box.enroll()
    before = box.raw.port.clock.now()
    await box.put("a1", "a2", "b1", "5:x", "5:y")
    figures = await box.figures()
    assert (figures.keys, figures.waiting, figures.pending, figures.parked) == (2, 5, 0, 0)
    assert figures.oldest is not None
    assert abs(figures.oldest - before) < 60_000
    claimed = await box.claim(slots=2)
    assert len(claimed.members) == 2
    figures = await box.figures()
    assert figures.waiting == 5
    assert figures.pending == sum(len(member.entries) for member in claimed.members)
    await box.settle(claimed, Verdict.DONE)
    await box.settle(await box.claim(), Verdict.DONE)
    assert (await box.figures())[2:] == (0, 0, 0, 0, None)


async def test_a_service_hears_which_other_one_subscribed_to_its_group_last(box: Box) -> None:
    async def enroll(service: str, *, group: str = "default", again: bool = False) -> str:
        return (await box.mail.enroll(box.topic, group, latest=False, again=again, service=service)).other

    assert [await enroll("one"), await enroll("one", again=True), await enroll("")] == ["", "", ""]
    assert [await enroll("two"), await enroll("three", group="other")] == ["one", ""]
    for _ in range(2):  # who repeats its registration is not the last one
        assert [await enroll("one", again=True), await enroll("two", again=True)] == ["two", ""]
    await box.mail.dismiss(box.topic, "default")
    assert [await enroll("three"), await enroll("two")] == ["", "three"]
