"""Durable events in SQLite and on Redis are asked the same at random, and must tell the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest

from tests.unit.mail_places import LEASE, Box, names, opened
from tieline import NotFoundError
from tieline.durable.mail import Member, Redriven, Settlement, Verdict
from tieline.transports.memory import MemoryTransport
from tieline.transports.redis import RedisTransport

GROUPS = ("g", "default", "h")
STEPS = 300


class Held(NamedTuple):
    """A member that was leased, at both."""

    group: str
    name: str
    members: list[tuple[bytes, bytes, tuple[bytes, ...]]]


class Pair:
    """Two mails that are asked the same."""

    def __init__(
        self, boxes: list[Box], groups: tuple[str, ...], seed: int, sweep: Callable[[], Awaitable[object]]
    ) -> None:
        self.boxes = boxes
        self.sweep = sweep
        self.groups = groups
        self.dice = random.Random(seed)
        self.held: list[Held] = []
        self.count = 0
        self.history: list[str] = []

    async def step(self) -> None:
        steps = [self.put] * 6 + [self.claim] * 4 + [self.settle] * 6 + [self.figures, self.unpark, self.redrive] * 2
        await self.dice.choice([*steps, self.enroll, self.dismiss])()

    async def put(self) -> None:
        registered = await self.boxes[0].mail.groups(self.boxes[0].topic)
        streams = [*"abc", "5:", "10:"] if registered else [*"abc"]
        events = []
        for _ in range(self.dice.randint(1, 4)):
            self.count += 1
            known = f"=id{self.dice.randint(1, 40)}" if self.dice.random() < 0.2 else ""
            events.append(f"{self.dice.choice(streams)}{self.count}{known}")
        most = self.dice.choice([0, 0, 0, 5])
        together = self.dice.random() < 0.2
        told = [await box.put(*events, most=most, together=together) for box in self.boxes]
        self.same(f"put {events} {most} {together}", [[one and one.duplicate for one in each] for each in told])

    async def claim(self) -> None:
        """All that is ready, so that the order of what became ready at one moment does not matter."""
        group, entries = self.dice.choice(self.groups), self.dice.choice([1, 100_000])
        taken = [await _claim_all(box, group, entries) for box in self.boxes]
        seen = _seen(taken)
        self.same(f"claim {group} {entries}", seen)
        for name in seen[0]:
            members = [
                (member.name, token, tuple(entry.id for entry in member.entries))
                for member, token in (each[name] for each in taken)
            ]
            self.held.append(Held(group, name, members))

    async def settle(self) -> None:
        if not self.held:
            return
        held = self.held[self.dice.randrange(len(self.held))]
        count = len(held.members[0][2])
        verdict, handled = self.verdict(held.name[0].isalpha(), count)
        argument = b"0" if verdict is Verdict.RETRY else held.name.encode()
        told = [
            await box.mail.settle(
                box.topic, held.group, [Settlement(member, token, verdict, argument, ids[:handled])], LEASE, claims=True
            )
            for box, (member, token, ids) in zip(self.boxes, held.members, strict=True)
        ]
        self.same(f"settle {held.group} {held.name} {verdict} {handled} of {count}", told)
        self.held.remove(held)
        if verdict in (Verdict.KEEP, Verdict.BEGIN, Verdict.DEAD) and told[0] == [True]:
            rest = [(member, token, ids[handled:]) for member, token, ids in held.members]
            self.held.append(Held(held.group, held.name, rest))

    def verdict(self, has_key: bool, count: int) -> tuple[Verdict, int]:
        """One that makes sense, and how many of so many entries are acknowledged."""
        verdict = self.dice.choice([Verdict.DONE, *Verdict]) if count else Verdict.DONE
        if verdict is Verdict.DONE:
            return verdict, count
        if verdict is Verdict.DEAD:
            return verdict, self.dice.randint(1, count)
        if not has_key:
            return (verdict if verdict is not Verdict.PARK else Verdict.FREE), 0
        return verdict, self.dice.randint(0, count - 1)

    async def figures(self) -> None:
        told = [await box.mail.groups(box.topic) for box in self.boxes]
        self.same("figures", [[(one.group, one.waiting, one.pending, one.parked) for one in each] for each in told])

    async def unpark(self) -> None:
        group, key, skip = self.dice.choice(self.groups), self.dice.choice("abc"), self.dice.random() < 0.5
        told = [await box.mail.unpark(box.topic, group, key, skip=skip) for box in self.boxes]
        self.same(f"unpark {group} {key} {skip}", told)

    async def redrive(self) -> None:
        """Also twice the same, also for a group that is not there."""
        letters = [await box.mail.letters(box.topic, "", 3) for box in self.boxes]
        self.same("letters", [[letter.letter for letter in each] for each in letters])
        group, key = self.dice.choice([*self.groups, "nobody"]), self.dice.choice(["a", "b", ""])
        self.count += 1
        told = []
        for box, found in zip(self.boxes, letters, strict=True):
            asked = [
                Redriven(one.id, group, key, 5, f"+{self.count}.{n}".encode())
                for n, one in enumerate([*found, *found[:2]])
            ]
            told.append(list(map(bool, await box.mail.redrive(box.topic, asked))))
        self.same(f"redrive {group} {key}", told)

    async def enroll(self) -> None:
        group, latest, again = self.dice.choice(self.groups), self.dice.random() < 0.4, self.dice.random() < 0.2
        service = self.dice.choice(("", "one", "two"))
        await self.calm()
        await asyncio.sleep(0.003)  # on Redis "latest" is exact to the millisecond
        told = []
        for box in self.boxes:
            try:
                enrolled = await box.mail.enroll(box.topic, group, latest=latest, again=again, service=service)
                told.append(str(enrolled))
            except NotFoundError as removed:
                told.append(removed.message)
        await asyncio.sleep(0.003)
        self.same(f"enroll {group} {latest} {again} {service}", told)
        await self.look()

    async def dismiss(self) -> None:
        """What only this group waited for goes when the others have looked."""
        group = self.dice.choice(self.groups)
        await self.calm()
        self.same(f"dismiss {group}", [await box.mail.dismiss(box.topic, group) for box in self.boxes])
        await self.look()

    async def calm(self) -> None:
        """Nobody holds anything, nothing is parked, and what has no key is handled.

        Who holds a key looks at it no sooner than it lets go; and on Redis an event without key is deleted when none
        before it is under way.
        """
        free = [Settlement(b"", b"", Verdict.FREE, b"", ())]
        for held in self.held:
            for box, (member, token, _) in zip(self.boxes, held.members, strict=True):
                settlement = free[0]._replace(member=member, token=token)
                await box.mail.settle(box.topic, held.group, [settlement], LEASE, claims=True)
        for group in self.groups:
            for key in "abc":
                told = [await box.mail.unpark(box.topic, group, key, skip=False) for box in self.boxes]
                self.same(f"unpark {group} {key}", told)
            await self.take_all(group)

    async def look(self) -> None:
        """All streams are looked at in each group, as they are once a minute."""
        await self.sweep()
        for group in self.groups:
            await self.take_all(group)
        await self.figures()

    async def take_all(self, group: str) -> None:
        """Give the keys back, and handle what has none."""
        taken = [await _claim_all(box, group, 100_000) for box in self.boxes]
        self.same(f"take all of {group}", _seen(taken))
        for box, each in zip(self.boxes, taken, strict=True):
            settlements = [
                Settlement(
                    one.name,
                    token,
                    Verdict.FREE if one.key else Verdict.DONE,
                    b"",
                    () if one.key else [one.entries[0].id],
                )
                for one, token in each.values()
            ]
            await box.mail.settle(box.topic, group, settlements, LEASE, claims=True)

    def same(self, what: str, told: list[Any]) -> None:
        self.history.append(f"{what} -> {told[0]}")
        assert told[0] == told[1], "\n".join([*self.history[-40:], f"SQLite: {told[0]}", f"Redis:  {told[1]}"])


def _seen(taken: list[dict[str, tuple[Member, bytes]]]) -> list[dict[str, tuple[int, list[str]]]]:
    return [{name: (member.failures, names(member.entries)) for name, (member, _) in each.items()} for each in taken]


async def _claim_all(box: Box, group: str, entries: int) -> dict[str, tuple[Member, bytes]]:
    """Members by key, or by what they are, with their tokens."""
    found: dict[str, tuple[Member, bytes]] = {}
    while (claimed := await box.claim(100, group=group, entries=entries)).members:
        found |= {member.key or names(member.entries)[0]: (member, claimed.token) for member in claimed.members}
    return found


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
async def test_sqlite_and_redis_tell_the_same(seed: int, groups: int, redis_url: str) -> None:
    redis = RedisTransport(redis_url)
    async with AsyncExitStack() as stack:
        boxes = [await stack.enter_async_context(opened(one, "random")) for one in (MemoryTransport(), redis)]
        pair = Pair(boxes, GROUPS[:groups], seed, lambda: redis.plain.sweep(["random"]))
        for group in pair.groups:
            for box in boxes:
                await box.enroll(group)
        for _ in range(STEPS):
            await pair.step()
