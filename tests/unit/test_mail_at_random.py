"""Durable events in SQLite and on Redis are asked the same at random, and must tell the same."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.mail_places import LEASE, Box, names, opened, transport_of
from tieline.durable import Member, Redriven, Settlement, Verdict

GROUPS = ("g", "default")
STEPS = 300


class Held(NamedTuple):
    """A member that was leased, at both."""

    group: str
    name: str
    members: list[tuple[bytes, bytes, tuple[bytes, ...]]]


class Pair:
    """Two mails that are asked the same."""

    def __init__(self, boxes: list[Box], groups: tuple[str, ...], seed: int) -> None:
        self.boxes = boxes
        self.groups = groups
        self.dice = random.Random(seed)
        self.held: list[Held] = []
        self.count = 0
        self.history: list[str] = []

    async def step(self) -> None:
        steps = [self.put] * 6 + [self.claim] * 4 + [self.settle] * 6 + [self.figures, self.unpark, self.redrive]
        await self.dice.choice(steps)()

    async def put(self) -> None:
        streams = [*"abc", "5:", "10:"]
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
        seen = [
            {name: (member.failures, names(member.entries)) for name, (member, _) in each.items()} for each in taken
        ]
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
        told: list[Any] = []
        for box in self.boxes:
            found = [await box.figures(group) for group in self.groups]
            told.append([(one.waiting, one.pending, one.parked) for one in found])
        self.same("figures", told)

    async def unpark(self) -> None:
        group, key, skip = self.dice.choice(self.groups), self.dice.choice("abc"), self.dice.random() < 0.5
        told = [await box.mail.unpark(box.topic, group, key, skip=skip) for box in self.boxes]
        self.same(f"unpark {group} {key} {skip}", told)

    async def redrive(self) -> None:
        letters = [await box.mail.letters(box.topic, "", 3) for box in self.boxes]
        self.same("letters", [[letter.letter for letter in each] for each in letters])
        told = []
        for box, found in zip(self.boxes, letters, strict=True):
            asked = [Redriven(one.id, "g", "a", 5, one.letter) for one in found]
            told.append(list(map(bool, await box.mail.redrive(box.topic, asked))))
        self.same("redrive", told)

    def same(self, what: str, told: list[Any]) -> None:
        self.history.append(f"{what} -> {told[0]}")
        assert told[0] == told[1], "\n".join([*self.history[-40:], f"SQLite: {told[0]}", f"Redis:  {told[1]}"])


async def _claim_all(box: Box, group: str, entries: int) -> dict[str, tuple[Member, bytes]]:
    """Members by key, or by what they are, with their tokens."""
    found: dict[str, tuple[Member, bytes]] = {}
    while (claimed := await box.claim(100, group=group, entries=entries)).members:
        found |= {member.key or names(member.entries)[0]: (member, claimed.token) for member in claimed.members}
    return found


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("seed", range(4))
async def test_sqlite_and_redis_tell_the_same(seed: int, groups: int, tmp_path: Path, redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        boxes = [
            await stack.enter_async_context(opened(transport_of(kind, tmp_path / "events.db", redis_url), "random"))
            for kind in ("memory", "redis")
        ]
        pair = Pair(boxes, GROUPS[:groups], seed)
        for group in pair.groups:
            for box in boxes:
                await box.enroll(group)
        for _ in range(STEPS):
            await pair.step()
