"""Planned events while who fires them is frozen and killed, and Redis is killed. Each test prints what was lost,
published twice and early: what is stored is judged by the server's own clock, which the ids of entries tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis

from tests.suite.raw import Raw
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import TielineError
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.codec import encode
from tieline.envelope import EVENT, new_id
from tieline.schedules.agenda import Plan, Way
from tieline.transport import Interest, Route
from tieline.transports.redis import RedisTransport

PEER = Path(__file__).parents[1] / "peers/scheduler.py"
FULL = bool(os.environ.get("FAULTS_FULL"))
DOUBT_MS = 500
"""What a client may be wrong by about the server's clock; live events are judged by it."""
ROLE_SECONDS = contract.DEFAULT_ROLE_MS / 1000


class Counts(NamedTuple):
    """What became of planned events."""

    lost: int
    doubled: int
    early: int
    latest_ms: int

    def __str__(self) -> str:
        return f"{self.lost} lost, {self.doubled} doubled, {self.early} early, at most {self.latest_ms} ms late"


class Watch(Raw):
    """Plans events, and remembers which came and when; it fires nothing."""

    def __init__(self, url: str) -> None:
        super().__init__(RedisTransport(url))
        self.planned = dict[str, int]()
        self.came = list[tuple[str, int]]()

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        self.came.append((envelope.id, self.port.clock.now() + DOUBT_MS))

    async def plan(self, way: Way, due: int) -> None:
        """Plan one, for as long as it takes until that is acknowledged."""
        name = new_id()
        key = f"k{len(self.planned) % 50}" if way is Way.KEY else ""
        event = Envelope(id=name, topic="t", key=key, source="x/y", time=due, scheduled=due, data=encode(1))
        event.kind = EVENT
        plan = Plan(name, "t", way, key, due, 5, 0, 1, 0, 0, "", 0, 0, event.SerializeToString())
        self.planned[name] = due
        while True:
            with contextlib.suppress(TielineError):
                await self.port.agenda.plan(plan)
                return
            await asyncio.sleep(0.02)

    async def plan_all(self, ways: Sequence[Way], count: int, begin: float, seconds: float) -> None:
        """Plan so many, spread over some seconds that begin in a while."""
        start = self.port.clock.now() + int(begin * 1000)
        for at in range(0, count, 500):
            numbers = range(at, min(at + 500, count))
            plans = [self.plan(ways[n % len(ways)], start + int(n * seconds * 1000 / count)) for n in numbers]
            await asyncio.gather(*plans)

    def counts(self, came: Sequence[tuple[str, int]]) -> Counts:
        """Judge what came, and at which moment (ms)."""
        often = Counter(name for name, _ in came)
        lost = sum(name not in often for name in self.planned)
        late = [when - self.planned[name] for name, when in came]
        doubled = sum(count - 1 for count in often.values())
        return Counts(lost, doubled, sum(ms < 0 for ms in late), max(late, default=0))


def _stored(server: RedisServer) -> list[tuple[str, int]]:
    """The events in streams, and when the server put each there."""
    found = list[tuple[str, int]]()
    with redis.Redis(port=server.port) as client:
        reply: Any = [
            *client.scan_iter("event_stream:*", count=1000),
            *client.scan_iter(contract.lane_key("tl:", "t", "*"), count=1000),
        ]
        for stream in set(reply):
            entries: Any = client.xrange(stream)
            for entry, fields in entries:
                found.append((Envelope.FromString(fields[b"tl"]).id, int(entry.split(b"-")[0])))
    return found


async def _empty(server: RedisServer, seconds: float = 120.0) -> None:
    """Return when nothing is planned any more."""
    with redis.Redis(port=server.port) as client:
        async with asyncio.timeout(seconds):
            while await asyncio.to_thread(client.zcard, contract.agenda_key("tl:")):
                await asyncio.sleep(0.05)


async def _holder(server: RedisServer, peers: Sequence[Peer]) -> Peer:
    """Who fires now."""
    with redis.Redis(port=server.port, decode_responses=True) as client:
        async with asyncio.timeout(60):
            while True:
                role = client.get(contract.role_key("tl:"))
                for peer in peers:
                    if peer.output[0].split()[1] == role:
                        return peer
                await asyncio.sleep(0.005)


async def test_schedulers_that_freeze_and_die_lose_nothing_and_double_nothing() -> None:
    """Two race; the one that fires is frozen for longer than its role lasts, then goes on; the next one is killed."""
    count, seconds, rounds = (100_000, 90.0, 6) if FULL else (10_000, 10.0, 1)
    with RedisServer() as server:
        watch = Watch(server.url)
        await watch.open()
        await watch.port.mail.enroll("t", "g", latest=False)  # without a group a stream holds few events
        await watch.port.register([Interest(Route.EVENT, "t")])
        peers = [await Peer.python(PEER, server.url).start() for _ in range(2)]
        try:
            await watch.plan_all([Way.LIVE, Way.KEY, Way.LANE], count, 25.0 if FULL else 5.0, seconds)
            for _ in range(rounds):
                frozen = await _holder(server, peers)
                await asyncio.sleep(0.5)
                frozen.stop()
                await asyncio.sleep(ROLE_SECONDS + 1.5)
                frozen.cont()
                await asyncio.sleep(0.2)
                killed = await _holder(server, peers)
                killed.kill()
                peers.remove(killed)
                peers.append(await Peer.python(PEER, server.url).start())
            await _empty(server)
            await asyncio.sleep(0.5)
        finally:
            for peer in peers:
                await peer.close()
            await watch.transport.aclose()
        counts = watch.counts([*watch.came, *_stored(server)])
    print(f"\n{count} planned events, {rounds} schedulers frozen and {rounds} killed: {counts}")
    assert len(watch.planned) == count
    assert counts[:3] == (0, 0, 0)


async def test_a_redis_that_is_killed_keeps_what_was_planned() -> None:
    """Every write is on its disk; what is stored when it is due is so once."""
    count, seconds, kills = (30_000, 20.0, 8) if FULL else (3_000, 3.0, 3)
    with RedisServer(persist=True) as server:
        watch = Watch(server.url)
        await watch.open()
        await watch.port.mail.enroll("t", "g", latest=False)  # without a group a stream holds few events
        peers = [await Peer.python(PEER, server.url).start() for _ in range(2)]
        try:
            planning = asyncio.create_task(watch.plan_all([Way.KEY, Way.LANE], count, 0.2, seconds))
            for _ in range(kills):
                await asyncio.sleep(seconds / kills)
                server.kill()
                server.start()
            await asyncio.wait_for(planning, 120)
            await _empty(server)
        finally:
            for peer in peers:
                await peer.close()
            await watch.transport.aclose()
        counts = watch.counts(_stored(server))
    print(f"\n{count} planned events, Redis killed {kills} times, every write on disk: {counts}")
    assert len(watch.planned) == count
    assert counts[:3] == (0, 0, 0)
