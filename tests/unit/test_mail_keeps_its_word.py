"""The scripts of durable events at random: what every group handled of a key is all of it, in order, once.

Consumers lease, settle parts, fail, park, lose their leases and wake up late; groups differ in speed. In the end
everything is handled, and nothing is left of the keys. `SEED` and `STEPS` in the environment repeat one run or make it
longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import defaultdict
from typing import NamedTuple

import pytest

from tests.support.servers import RedisServer
from tests.unit.mail_places import Box, names, opened
from tieline.durable.mail import Entry, Member, Settlement, Verdict
from tieline.transports.redis import RedisTransport

STEPS = int(os.environ.get("STEPS", "500"))
KEYS = "abcdef"
FINAL = (Verdict.DONE, Verdict.FREE, Verdict.RETRY, Verdict.PARK)


class Held(NamedTuple):
    """What a consumer holds of a member, or believes to hold."""

    group: str
    member: Member
    token: bytes
    entries: list[Entry]


class Run:
    """Consumers of some groups, and what they were told that is true."""

    def __init__(self, box: Box, groups: list[str], seed: int) -> None:
        self.box = box
        self.groups = groups
        self.dice = random.Random(seed)
        self.sent: dict[str, list[str]] = defaultdict(list)
        self.handled: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.tokens: dict[tuple[str, bytes], int] = defaultdict(int)
        self.held: list[Held] = []
        self.count = 0

    async def step(self) -> None:
        steps = [self.put] * 4 + [self.claim] * 4 + [self.settle] * 9 + [self.unpark, self.extend, self.rest]
        await self.dice.choice(steps)()

    async def put(self) -> None:
        events = []
        for _ in range(self.dice.randint(1, 6)):
            self.count += 1
            stream = self.dice.choice([*KEYS, "5:", "10:"])
            events.append(f"{stream}{self.count}")
            self.sent[_lane(stream)].append(events[-1])
        await self.box.put(*events)

    async def claim(self, lease: float = 0.0) -> None:
        group, slots = self.dice.choice(self.groups), self.dice.randint(1, 8)
        lease = lease or self.dice.choice([0.01, 0.05, 60.0])
        claimed = await self.box.claim(slots, group=group, entries=self.dice.choice([3, 10, 100]), lease=lease)
        assert len(claimed.members) <= slots
        assert claimed.lost == 0
        for member in claimed.members:
            assert self.tokens[group, member.name] < int(claimed.token), "a token that did not grow"
            self.tokens[group, member.name] = int(claimed.token)
            handled = set(self.handled[group, member.key])
            assert not handled & set(names(member.entries)), "handled, and given out again"
            if member.key:
                todo = [event for event in self.sent[member.key] if event not in handled]
                assert names(member.entries) == todo[: len(member.entries)], "out of order"
            self.held.append(Held(group, member, claimed.token, list(member.entries)))

    async def settle(self) -> None:
        if not self.held:
            return
        held = self.held.pop(self.dice.randrange(len(self.held)))
        verdicts = [Verdict.DONE, Verdict.DONE, *Verdict] if held.entries else [Verdict.DONE]
        await self.say(held, self.dice.choice(verdicts))

    async def say(self, held: Held, verdict: Verdict) -> None:
        group, member, token, entries = held
        if verdict is Verdict.PARK and not member.key:
            verdict = Verdict.DEAD
        count = len(entries) if verdict is Verdict.DONE else self.dice.randint(0, len(entries))
        if verdict in (Verdict.RETRY, Verdict.PARK):
            count = min(count, len(entries) - 1)
        if verdict is Verdict.DEAD:
            count = max(1, count)
        argument = b"0" if verdict is Verdict.RETRY else b"letter"
        ids = [entry.id for entry in entries[:count]]
        settlement = Settlement(member.name, token, verdict, argument, ids)
        claims = self.dice.random() < 0.5
        (ours,) = await self.box.mail.settle(self.box.topic, group, [settlement], 60.0, claims=claims)
        if ours:
            assert int(token) == self.tokens[group, member.name], "two have it"
            self.handled[group, member.key] += names(entries[:count])
            if verdict not in FINAL:
                self.held.append(Held(group, member, token, entries[count:]))

    async def extend(self) -> None:
        if self.held:
            held = self.dice.choice(self.held)
            leases = [(held.member.name, held.token)]
            (ours,) = await self.box.mail.extend(self.box.topic, held.group, leases, 60.0)
            assert not ours or int(held.token) == self.tokens[held.group, held.member.name]

    async def unpark(self) -> None:
        group, key = self.dice.choice(self.groups), self.dice.choice(KEYS)
        skip = self.dice.random() < 0.3
        if await self.box.mail.unpark(self.box.topic, group, key, skip=skip) and skip:
            handled = self.handled[group, key]
            handled.append(self.sent[key][len(handled)])

    async def rest(self) -> None:
        await asyncio.sleep(0.012)

    async def finish(self) -> None:
        """Handle everything that is left, as one who takes over from all."""
        for held in self.held:
            await self.say(held, Verdict.FREE if held.entries else Verdict.DONE)
        self.held.clear()
        for group in self.groups:
            for key in KEYS:
                await self.box.mail.unpark(self.box.topic, group, key, skip=False)
        async with asyncio.timeout(30):
            while any(len(self.handled[group, key]) < len(sent) for group in self.groups for key, sent in self.todo()):
                await self.claim(60.0)
                for held in self.held:
                    await self.say(held, Verdict.DONE)
                self.held.clear()
                await asyncio.sleep(0.001)

    async def look(self) -> None:
        """See that nothing is ready, nor will be."""
        for group in self.groups:
            while (claimed := await self.box.claim(group=group)).again is not None:
                assert not claimed.members

    def todo(self) -> list[tuple[str, list[str]]]:
        return list(self.sent.items())


def _lane(stream: str) -> str:
    return "" if stream.endswith(":") else stream


@pytest.mark.parametrize("groups", [["g"], ["g", "default"], ["g", "h", "default"]], ids=["1", "2", "3"])
@pytest.mark.parametrize("again", range(2))
async def test_every_group_handles_all_of_a_key_in_order(
    again: int, groups: list[str], redis_url: str, redis_server: RedisServer
) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"SEED={seed}, run {again}")
    async with opened(RedisTransport(redis_url), "word") as box:
        for group in groups:
            await box.enroll(group)
        run = Run(box, groups, seed)
        for _ in range(STEPS):
            await run.step()
        await run.finish()
        await run.look()
        for group in groups:
            for key, sent in run.todo():
                handled = run.handled[group, key]
                assert (handled if key else sorted(handled)) == (sent if key else sorted(sent))
        left = redis_server.command("EVAL", LEFT_OVER, "0")
        assert left == ":0", left


LEFT_OVER = """
local count = #redis.call('KEYS', 'event_stream:*')
for _, kind in ipairs({'du', 'pk', 'pa'}) do
  count = count + #redis.call('KEYS', 'tl:' .. kind .. ':*')
end
for _, kind in ipairs({'ty', 'he'}) do
  for _, key in ipairs(redis.call('KEYS', 'tl:' .. kind .. ':*')) do
    count = count + redis.call('HLEN', key) - redis.call('HEXISTS', key, '')
  end
end
for _, key in ipairs(redis.call('KEYS', 'tl:{word}:q:*')) do
  count = count + redis.call('XLEN', key)
end
return count
"""
