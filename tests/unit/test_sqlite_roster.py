"""Cron tasks inside one process, with a clock turned by hand: when they tick, and that each tick counts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.suite.seen import Seen
from tieline import (
    AlreadyExistsError,
    Event,
    EventSystem,
    NotFoundError,
    OverloadedError,
    ScheduleStatus,
    testing,
)
from tieline._contract import contract
from tieline._contract.schedule_pb2 import CronRun
from tieline.cron.roster import Roster, Turn
from tieline.schedules.agenda import Fired
from tieline.transports.memory import MemoryBroker, MemoryTransport

HOUR, DAY = 3_600.0, 86_400.0
FOLD = datetime(2026, 10, 23, 12, tzinfo=UTC)
"""Clocks in Berlin are put back on the 25th."""


class Ticks(list[datetime]):
    """When ticks came, and that they came when they were due. `take` is a handler."""

    async def take(self, _data: Any, event: Event) -> None:
        assert event.scheduled is not None
        assert event.time == event.scheduled
        assert event.id.rpartition(":")[2] == str(round(event.scheduled.timestamp() * 1000))
        self.append(event.scheduled)


@asynccontextmanager
async def systems(start: datetime, count: int = 1) -> AsyncGenerator[tuple[testing.Clock, list[testing.System]]]:
    """Some systems on one broker in memory, whose clock stands at a moment."""
    clock = testing.Clock(start)
    async with testing.Broker(clock=clock) as broker:
        yield clock, [await broker.system(f"s{number}").start() for number in range(count)]


@asynccontextmanager
async def on_file(file: Path, clock: testing.Clock) -> AsyncGenerator[EventSystem]:
    """A system on a file, for as long as its process lives."""
    broker = MemoryBroker(clock=clock, mail=file)
    system = EventSystem(service="test", transport=MemoryTransport(broker))
    try:
        yield system
    finally:
        await system.aclose(0)
        await broker.aclose()


async def turn_to(clock: testing.Clock, system: EventSystem, seconds: float) -> None:
    """Turn the clock in steps; the thread of a file is waited for."""
    for _ in range(4):
        await clock.advance(seconds / 4)
        for _ in range(8):
            await system.cron.list()
            await clock.settle()


def roster(system: EventSystem) -> Roster:
    return system._instance.agenda.roster


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "expression", "days", "ticks"),
    [
        # 02:30 is left out on 29 March 2026: it comes when clocks are put forward, at 03:00 summer time.
        ("2026-03-27 12:00", "30 2 * * *", 4, ["03-28 01:30", "03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        # It comes twice on 25 October 2026, and counts once, the first time.
        ("2026-10-23 12:00", "30 2 * * *", 4, ["10-24 00:30", "10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        # With a star everything counts as the clock shows it: the hour that comes twice is two.
        ("2026-10-24 23:15", "30 */1 * * *", 0.125, ["10-24 23:30", "10-25 00:30", "10-25 01:30"]),
        ("2027-12-31 12:00", "0 12 29 2 *", 366, ["02-29 11:00"]),
        ("2026-01-15 12:00", "0 0 L * *", 90, ["01-30 23:00", "02-27 23:00", "03-30 22:00"]),
    ],
    ids=["put forward", "put back", "put back, each hour", "29 February", "the last of the month"],
)
async def test_a_task_ticks_by_the_clocks_of_its_zone(
    start: str, expression: str, days: float, ticks: list[str]
) -> None:
    begun = datetime.fromisoformat(f"{start}+00:00")
    async with systems(begun) as (clock, (system,)):
        seen = Ticks()
        await system.subscribe("due", seen.take).ready()
        await system.cron.create("t", expression, "due", zone="Europe/Berlin")
        await clock.advance(days * DAY)
        assert [f"{moment:%m-%d %H:%M}" for moment in seen] == ticks
        job = await system.cron.get("t")
        assert job.runs == len(ticks)
        assert job.last is not None
        assert (job.last.tick, job.last.status) == (seen[-1], "completed")


async def test_ticks_count_once_whoever_fires_them_and_go_on_when_one_leaves() -> None:
    async with systems(FOLD, 3) as (clock, made):
        seen, told = Ticks(), Seen()
        await made[2].subscribe("due", seen.take).ready()
        await made[2].subscribe("cron.task.executed", told.take).ready()
        for number in range(5):
            await made[0].cron.create(f"t{number}", "every 5s", "due", start=FOLD)
        await clock.advance(12)
        await made[0].aclose()
        await clock.advance(12)
        await made[1].aclose()
        await clock.advance(6)
        assert sorted(seen) == sorted([FOLD + timedelta(seconds=5 * at) for at in range(1, 7)] * 5)
        assert len(told) == 30


async def test_a_tick_that_was_handed_to_one_that_stands_still_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with systems(FOLD) as (clock, (system,)):
        seen, handed = Seen(), list[Fired]()
        await system.subscribe("due", seen.take).ready()
        await system.cron.create("t", "every 60s", "due", 1, start=FOLD)
        with monkeypatch.context() as patched:
            patched.setattr(system._instance, "fired", handed.append)
            await clock.advance(61)
        assert [name for fired in handed for name, _ in fired.ticks] == ["t"]
        await clock.advance(1)
        assert list(seen) == []
        await clock.advance(2)
        assert list(seen) == [1]
        await clock.advance(57)
        assert list(seen) == [1, 1]


async def test_who_decided_by_an_older_task_changes_nothing() -> None:
    async with systems(FOLD) as (_, (system,)):
        job = await system.cron.create("t", "@hourly", "due")
        before = await roster(system).find("t")
        assert before is not None
        assert before.expected is not None
        late = Turn(before.version, before.expected, before.expected + 1, before.expected + 1, None, b"", [])
        await system.cron.update("t", data=1)
        assert await roster(system).put("t", before.version, b"", None, 0) == 0
        await system.cron.delete("t")
        again = await system.cron.create("t", "@hourly", "due")
        assert not await roster(system).turn("t", late)
        assert again.next == job.next
        kept = await roster(system).find("t")
        assert kept is not None
        assert await roster(system).turn("t", late._replace(version=kept.version))
        assert not await roster(system).turn("t", late._replace(version=kept.version))


# --- what they do -----------------------------------------------------------------------------------------------------


async def test_a_call_is_tried_again_then_given_up_and_may_be_retried() -> None:
    async with systems(FOLD) as (clock, (system,)):
        tries, told = list[str](), Seen()

        async def answer(_data: Any, event: Event) -> str:
            tries.append(f"{system.clock.now() - FOLD.timestamp() * 1000:.0f}")
            if len(tries) < 4:
                raise ValueError("not yet")
            return "at last"

        await system.subscribe("ask", answer).ready()
        await system.subscribe("cron.task.failed", told.take).ready()
        await system.cron.create("t", "every 1h", "ask", call=True, retries=2, retry_delay=10, start=FOLD)
        await clock.advance(HOUR + 60)
        assert tries == ["3600000", "3610000", "3620000"]
        assert [told_one["error"]["message"] for told_one in told] == ["not yet"]
        made = told[0]["id"]
        failed = await system.schedules.get(made)
        assert (failed.status, failed.error) == (ScheduleStatus.FAILED, "HANDLER_ERROR: not yet")
        last = (await system.cron.get("t")).last
        assert last is not None
        assert (last.status, last.attempts, last.error and last.error.message) == ("failed", 3, "not yet")
        assert (await system.schedules.list("failed")).total == 1
        await system.schedules.retry(made)
        await clock.advance(1)
        last = (await system.cron.get("t")).last
        assert last is not None
        assert (last.status, last.reply) == ("completed", "at last")
        assert last.tick == FOLD + timedelta(hours=1)
        with pytest.raises(NotFoundError):
            await system.schedules.get(made)


async def test_a_call_that_is_retried_does_not_expire_between_its_tries() -> None:
    async with systems(FOLD) as (clock, (system,)):
        tries = list[int]()

        def answer() -> None:
            tries.append(1)
            if len(tries) < 4:
                raise ValueError("not yet")

        await system.subscribe("ask", answer).ready()
        await system.cron.create("t", "@yearly", "ask", call=True, ttl=1, retries=1, retry_delay=60)
        made = await system.cron.run_now("t")
        await clock.advance(61)
        await system.schedules.retry(made)
        await clock.advance(1)
        assert len(tries) == 3
        await clock.advance(60)
        assert len(tries) == 4
        last = (await system.cron.get("t")).last
        assert last is not None
        assert (last.status, last.attempts) == ("completed", 2)


async def test_a_call_is_handed_out_again_when_its_lease_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with systems(FOLD) as (clock, (system,)):
        runs, handed = Seen(), list[Fired]()
        await system.subscribe("ask", runs.take).ready()
        await system.cron.create("t", "@yearly", "ask", 1, call=True, ttl=30)
        with monkeypatch.context() as patched:  # as if it stood still from here on
            patched.setattr(system._instance, "fired", handed.append)
            made = await system.cron.run_now("t")
            await clock.advance(1)
        assert [call for fired in handed for call in fired.calls] == [made]
        assert (await system.schedules.get(made)).due == FOLD
        await clock.advance(31)
        assert list(runs) == []
        await clock.advance(1)
        assert list(runs) == [1]
        assert [item.id for item in (await system.schedules.list("pending")).items] == []


async def test_a_call_says_once_what_became_of_it() -> None:
    async with systems(FOLD) as (clock, (system,)):
        going, end = asyncio.Event(), asyncio.Event()

        async def answer() -> int:
            going.set()
            await end.wait()
            return 5

        await system.subscribe("ask", answer).ready()
        await system.cron.create("t", "@yearly", "ask", call=True)
        made = await system.cron.run_now("t")
        await clock.settle()
        assert going.is_set()
        tick = round(FOLD.timestamp() * 1000)
        assert await roster(system).end_call(made, "t", 1, "", tick, b"") is None
        assert await roster(system).end_call(made, "t", 0, "", tick, b"") is ScheduleStatus.DELIVERED
        assert await roster(system).end_call(made, "t", 0, "why", tick, b"") is None
        end.set()
        assert (await system.schedules.list("failed")).total == 0


async def test_ticks_are_not_remembered_unless_they_failed() -> None:
    async with systems(FOLD) as (clock, (system,)):
        await system.cron.create("live", "every 1s", "due", start=FOLD)
        await system.cron.create("stored", "every 1s", "due", key="k", start=FOLD)
        await clock.advance(5)
        assert (await system.schedules.list("delivered")).total == 0
        sums = await system._instance.agenda.sums()
        assert (sums["planned"], sums["delivered"], sums["pending"]) == (10, 10, 0)


# --- looking after them -----------------------------------------------------------------------------------------------


async def test_pause_resume_update_list_and_delete() -> None:
    async with systems(FOLD) as (clock, (system,)):
        cron, seen, told = system.cron, Seen(), list[str]()

        async def tell(_data: Any, event: Event) -> None:
            told.append(event.topic.rpartition(".")[2])

        await system.subscribe("due", seen.take).ready()
        for name in ("b", "a", "c"):
            await cron.create(name, "@hourly", "due", name)
        await system.subscribe("cron.task.*", tell).ready()
        page = await cron.list(limit=2)
        assert ([job.name for job in page.items], page.total) == (["a", "b"], 3)
        assert [job.name for job in (await cron.list(page=2, limit=2)).items] == ["c"]
        await cron.pause("a")
        await cron.update("b", data="changed", expression="every 30m", start=FOLD)
        assert (await cron.delete("c")).data == "c"
        await clock.advance(HOUR)
        assert list(seen) == ["changed", "changed"]
        assert await cron.run_now("a") == f"a:{system.clock.now()}"
        resumed = await cron.resume("a")
        assert (resumed.next, resumed.runs) == (FOLD + timedelta(hours=2), 1)
        await clock.advance(1)
        assert seen[2:] == ["a"]
        assert told[:3] == ["updated", "updated", "deleted"]
        with pytest.raises(AlreadyExistsError):
            await cron.create("a", "@daily", "due")
        with pytest.raises(NotFoundError):
            await cron.get("c")


async def test_runs_of_one_millisecond_and_of_a_tick_are_told_apart() -> None:
    async with systems(FOLD) as (clock, (system,)):
        seen = list[str]()

        async def take(_data: Any, event: Event) -> None:
            seen.append(event.id)

        await system.subscribe("due", take).ready()
        await system.cron.create("a", "@hourly", "due", jitter=60)
        now = system.clock.now()
        made = [await system.cron.run_now("a") for _ in range(3)]
        assert made == [f"a:{now + late}" for late in (1, 2, 3)]  # now is a tick of its own
        await clock.advance(HOUR)
        assert now + 3_600_000 == system.clock.now()  # its jitter has that tick wait
        made.append(await system.cron.run_now("a"))
        assert made[3] == f"a:{now + 3_600_001}"
        await clock.advance(60)
        assert sorted(seen) == sorted([*made, f"a:{now + 3_600_000}"])


async def test_ticks_with_large_headers_are_fired_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with systems(FOLD) as (clock, (system,)):
        sizes, seen, there = list[int](), Seen(), roster(system)
        turn = there.turn

        async def measured(name: str, going: Turn) -> bool:
            sizes.append(sum(len(tick.envelope) for tick in going.ticks))
            return await turn(name, going)

        monkeypatch.setattr(there, "turn", measured)
        await system.subscribe("due", seen.take, queue=2_000).ready()
        often: dict[str, Any] = {"misfire": "catch_up", "start": FOLD - timedelta(seconds=700)}
        await system.cron.create("t", "every 1s", "due", headers={"h": "x" * 8_000}, **often)
        kept, late = await there.find("t"), system.clock.now() - 700_000
        assert kept is not None
        assert await there.put("t", kept.version, kept.task, late, late)
        for _ in range(20):
            await clock.advance(0.1)
        assert len(seen) > 700
        assert max(sizes) <= contract.LIMIT_CLAIM_BYTES
        assert sum(sizes) > contract.LIMIT_CLAIM_BYTES


async def test_a_run_goes_out_now_though_the_clock_was_set_back() -> None:
    async with systems(FOLD) as (clock, (system,)):
        roster, seen = system._instance.port.agenda.roster, Seen()  # type: ignore[union-attr]
        await system.subscribe("due", seen.take).ready()
        await system.cron.create("a", "@yearly", "due", paused=True)
        (kept,), ahead = (await roster.page(0, 1))[1], system.clock.now() + 7_200_000
        run = CronRun(tick=ahead).SerializeToString()
        assert await roster.turn("a", Turn(kept.version, None, None, 0, ahead, run, []))
        assert await system.cron.run_now("a") == f"a:{ahead + 1}"
        await clock.advance(0)
        assert len(seen) == 1


async def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LIMIT_CRON_TASKS", 2)
    async with systems(FOLD) as (_, (system,)):
        for number in range(2):
            await system.cron.create(f"t{number}", "@daily", "due")
        with pytest.raises(OverloadedError):
            await system.cron.create("t2", "@daily", "due")
        await system.cron.update("t1", data=1)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("misfire", "hours"), [("skip", []), ("fire_once", [3]), ("catch_up", [1, 2, 3])])
async def test_a_file_keeps_its_tasks_and_what_was_missed(tmp_path: Path, misfire: str, hours: list[int]) -> None:
    file, clock = tmp_path / "events.db", testing.Clock(FOLD)
    async with on_file(file, clock) as system:
        await system.cron.create("t", "0 * * * *", "due", misfire=misfire, key="k")
    await clock.advance(3 * HOUR + 600)
    async with on_file(file, clock) as system:
        seen = list[datetime | None]()

        async def note(_data: Any, event: Event) -> None:
            seen.append(event.scheduled)

        await system.subscribe("due", note, durable=True).ready()
        await turn_to(clock, system, 1)
        assert seen == [FOLD + timedelta(hours=hour) for hour in hours]
        assert (await system.cron.get("t")).next == FOLD + timedelta(hours=4)
        await turn_to(clock, system, 3000)
        assert seen[len(hours) :] == [FOLD + timedelta(hours=4)]
