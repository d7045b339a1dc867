"""Cron tasks on Redis: each tick once, whoever fires it, and what is told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from examples.node_package import provide

from tests.suite.seen import settle, until
from tests.support.servers import RedisServer
from tieline import AlreadyExistsError, Event, EventSystem, InvalidArgumentError, NotFoundError
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.codec import encode
from tieline.cron.roster import Roster, Turn
from tieline.cron.task import CronCall, CronEvent, CronTask, Misfire, encode_task
from tieline.schedules.agenda import Agenda, Fired

HOUR = 3_600_000


@asynccontextmanager
async def _systems(url: str, *services: str) -> AsyncGenerator[list[EventSystem]]:
    made = [EventSystem(url, service=service) for service in services]
    try:
        for system in made:
            await system.start()
        yield made
    finally:
        for system in made:
            await system.aclose()


def _agenda(system: EventSystem) -> Agenda:
    return system._instance.agenda


def _roster(system: EventSystem) -> Roster:
    return _agenda(system).roster


@pytest.fixture(autouse=True)
def minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks tick half an hour from now, so that no tick comes while a test looks at the one before."""
    monkeypatch.setattr(f"{__name__}._MINUTE", (datetime.now(UTC).minute + 30) % 60)


_MINUTE = 0


def _task(name: str, topic: str, **changes: Any) -> CronTask:
    task = CronTask(name, f"{_MINUTE} * * * *", CronEvent(topic, encode(name)), source="made/here")
    return replace(task, **changes)


async def _expect(system: EventSystem, task: CronTask, expected: int) -> int:
    """Have a task whose next tick is a moment that may have passed."""
    return await _roster(system).put(task.name, 0, encode_task(task), expected, expected)


def _last_tick(system: EventSystem) -> int:
    """Of such a task (ms since 1970)."""
    offset = _MINUTE * 60_000
    return (system.clock.now() - offset) // HOUR * HOUR + offset


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class Heard(list[Event]):
    """Events that arrived, in order. `take` is a handler."""

    async def take(self, data: Any, event: Event) -> None:
        self.append(event)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self]


async def until_async(ask: Callable[[], Awaitable[Any]], true: Callable[[Any], bool]) -> None:
    for _ in range(1000):
        if true(await ask()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError


async def _ask(system: EventSystem, *command: str) -> Any:
    transport: Any = system._instance._transport
    return await transport.require().call(*command)


async def test_a_tick_is_an_event(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "maker", "other") as (maker, other):
        events, told = Heard(), Heard()
        await other.subscribe("tick.tock", events.take).ready()
        await other.subscribe("cron.task.*", told.take).ready()
        made = await maker.cron.create("beat", "every 1s", "tick.tock", {"a": 1}, headers={"h": "x"})
        assert (made.next, made.last, made.runs) == (made.created + timedelta(seconds=1), None, 0)
        await until(lambda: len(events) >= 2)
        first = events[0]
        assert first.scheduled is not None
        assert first.scheduled == made.next
        assert first.id == f"beat:{round(first.scheduled.timestamp() * 1000)}"
        assert (first.data, first.headers["h"], first.source.split("/")[0]) == ({"a": 1}, "x", "maker")
        assert first.time >= first.scheduled
        await until(lambda: sum(event.topic == "cron.task.completed" for event in told) >= 2)
        await maker.cron.delete("beat")
        await until(lambda: any(event.topic == "cron.task.deleted" for event in told))
        of_first = [event for event in told if event.data.get("id") == first.id]
        assert [event.topic for event in (told[0], *of_first)] == [
            f"cron.task.{what}" for what in ("created", "executed", "completed")
        ]
        about = {"task": "beat", "topic": "tick.tock", "call": False}
        assert told[0].data == {**about, "expression": "every 1s", "zone": "UTC", "paused": False, "next": made.next}
        assert of_first[0].data == {**about, "id": first.id, "tick": made.next}
        tick = {"id": first.id, "tick": made.next, "attempts": 1, "error": None}
        assert of_first[1].data == {"task": "beat", "call": False, **tick}


async def test_a_stored_tick_waits_for_its_group(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        action = CronEvent("stored", encode(7), key="k", durable=True)
        now = _last_tick(system)
        await _expect(system, _task("t", "stored", action=action, misfire=Misfire.CATCH_UP), now - 2 * HOUR)
        await until(lambda: redis_server.command("XLEN", "event_stream:stored:k") == ":3")
        seen = Heard()
        system.subscribe("stored", seen.take, durable=True)
        await until(lambda: len(seen) == 3)
        assert [event.scheduled for event in seen] == [_moment(now - back * HOUR) for back in (2, 1, 0)]


@pytest.mark.parametrize(("misfire", "ticks"), [("skip", []), ("fire_once", [0]), ("catch_up", [3, 2, 1, 0])])
async def test_what_was_missed(
    redis_url: str,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    misfire: str,
    ticks: list[int],
) -> None:
    async with _systems(redis_url, "a") as (system,):
        seen = Heard()
        await system.subscribe("missed", seen.take).ready()
        task, now = _task("t", "missed", misfire=Misfire(misfire), grace=0), _last_tick(system)
        await _expect(system, task, now - 3 * HOUR)
        await until_async(lambda: system.cron.get("t"), lambda job: job.next == _moment(now + HOUR))
        await until(lambda: len(seen) == len(ticks))
        assert seen.ids == [f"t:{now - back * HOUR}" for back in ticks]
        job = await system.cron.get("t")
        assert job.runs == len(ticks)
        if job.last is not None:
            assert (job.last.tick, job.last.status) == (_moment(now), "completed")
        warning = f"cron task t: ticks since {_moment(now - 3 * HOUR)} were missed: {misfire}"
        warned = [message for message in caplog.messages if "were missed" in message]
        assert warned == ([] if misfire == "catch_up" else [warning])


async def test_a_call_and_its_reply(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a", "b") as (asking, answering):
        told = list[Any]()
        await asking.subscribe("cron.task.completed", told.append).ready()
        await answering.subscribe("add", sum).ready()
        await asking.cron.create("sum", "@yearly", "add", [1, 2, 3], call=True)
        made = await asking.cron.run_now("sum")
        await until(lambda: len(told) == 1)
        job = await asking.cron.get("sum")
        assert job.last is not None
        assert (job.last.status, job.last.reply, job.last.attempts, job.last.error) == ("completed", 6, 1, None)
        assert (job.call, job.runs, told[0]["id"], told[0]["call"]) == (True, 1, made, True)
        with pytest.raises(NotFoundError):
            await asking.schedules.get(made)


async def test_a_reply_that_is_no_json_is_kept_all_the_same(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a", "b") as (asking, answering):
        told, runs = list[Any](), list[int]()

        def answer() -> bytes:
            runs.append(1)
            if len(runs) == 1:
                raise ValueError("once more")
            return b"\xff"

        await asking.subscribe("cron.task.completed", told.append).ready()
        await answering.subscribe("odd", answer).ready()
        options: dict[str, Any] = {"call": True, "content_type": "application/json", "retries": 1, "retry_delay": 0.05}
        await asking.cron.create("odd", "@yearly", "odd", None, **options)
        made = await asking.cron.run_now("odd")
        await until(lambda: len(told) == 1)
        last = (await asking.cron.get("odd")).last
        assert last is not None
        assert (last.status, last.reply, last.omitted, last.attempts) == ("completed", b"\xff", False, 2)
        assert made == f"odd:{int(last.tick.timestamp() * 1000)}"
        assert len(runs) == 2


async def test_without_memory_calls_end_and_tasks_are_deleted(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a", "b") as (asking, answering):
        runs, called, go_on = list[int](), asyncio.Event(), asyncio.Event()

        async def answer() -> None:
            runs.append(1)
            called.set()
            await go_on.wait()

        await answering.subscribe("slow", answer).ready()
        await asking.cron.create("slow", "@yearly", "slow", call=True)
        await asking.cron.run_now("slow")
        await called.wait()
        redis_server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            go_on.set()
            await until(lambda: redis_server.command("ZCARD", contract.agenda_key("tl:")) == ":0")
            last = (await asking.cron.get("slow")).last
            assert last is not None
            assert (last.status, runs) == ("completed", [1])
            await asking.cron.delete("slow")
        finally:
            redis_server.command("CONFIG", "SET", "maxmemory", "0")


async def test_a_call_that_fails_is_tried_again_and_given_up(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a", "b") as (asking, answering):
        told, tries = list[Any](), list[int]()

        def answer() -> None:
            tries.append(1)
            raise ValueError(f"no {len(tries)}")

        await asking.subscribe("cron.task.failed", told.append).ready()
        await answering.subscribe("bad", answer).ready()
        await asking.cron.create("bad", "@yearly", "bad", call=True, retries=2, retry_delay=0.05)
        made = await asking.cron.run_now("bad")
        await until(lambda: len(told) == 1)
        assert len(tries) == 3
        assert told[0]["error"] == {"code": "HANDLER_ERROR", "message": "no 3"}
        last = (await asking.cron.get("bad")).last
        assert last is not None
        assert (last.status, last.attempts, last.error and last.error.message) == ("failed", 3, "no 3")
        assert (await asking.schedules.get(made)).status.value == "failed"


async def test_a_call_whose_scheduler_is_gone_is_made_by_another_one(
    redis_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is handed out again when its lease ends."""
    monkeypatch.setattr(contract, "DEFAULT_ROLE_MS", 200)
    async with _systems(redis_url, "a", "b") as (gone, other):
        runs = list[int]()
        await other.subscribe("soon", lambda: runs.append(1)).ready()
        other_takes, handed = other._instance.fired, list[str]()

        def take(fired: Fired) -> None:
            handed.extend(fired.calls)

        for system in (gone, other):  # as if it stood still from here on
            monkeypatch.setattr(system._instance, "fired", take)
        await other.cron.create("soon", "@yearly", "soon", call=True, ttl=3)
        made = await other.cron.run_now("soon")
        await until(lambda: made in handed)
        assert runs == []
        monkeypatch.setattr(other._instance, "fired", other_takes)
        await gone.aclose()
        await until(lambda: runs == [1])


async def test_a_call_whose_scheduler_closes_goes_on(redis_url: str, redis_server: RedisServer) -> None:
    """It has not failed: whoever gets it next joins its run."""
    async with _systems(redis_url, "leaving", "answering") as (leaving, answering):
        runs, called, go_on = list[int](), asyncio.Event(), asyncio.Event()

        async def answer() -> int:
            runs.append(1)
            called.set()
            await go_on.wait()
            return 42

        await answering.subscribe("slow", answer).ready()
        redis_server.command("SET", contract.role_key("tl:"), leaving.instance, "PX", "3000")
        await leaving.cron.create("slow", "@yearly", "slow", call=True)
        await leaving.cron.run_now("slow")
        await called.wait()
        await leaving.aclose()
        last = (await answering.cron.get("slow")).last
        assert last is not None
        assert (last.status, last.error) == ("executed", None)
        [call] = await _ask(answering, "ZRANGE", contract.agenda_key("tl:"), "0", "-1")
        await _ask(answering, "ZADD", contract.agenda_key("tl:"), "XX", "1", call)  # as if its lease had ended
        async with _systems(redis_url, "heir"):
            go_on.set()
            await until_async(lambda: answering.cron.get("slow"), lambda job: job.last.status != "executed")
        last = (await answering.cron.get("slow")).last
        assert last is not None
        assert (last.status, last.reply, last.attempts, runs) == ("completed", 42, 1, [1])


async def test_many_schedulers_fire_each_tick_once(
    redis_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them stands still when it is about to go on: its ticks are handed out again, and it is too late."""
    monkeypatch.setattr(contract, "DEFAULT_ROLE_MS", 1500)
    async with _systems(redis_url, "frozen", "b", "c") as (frozen, second, _):
        begun, late = second.clock.now() // 60_000 * 60_000 - 300 * 60_000, list[bool]()
        turn, thaw = _roster(frozen).turn, asyncio.Event()

        async def stand_still(name: str, going: Turn) -> bool:
            scheduler: Any = frozen._instance.scheduler
            scheduler._task.cancel()
            await thaw.wait()
            late.append(await turn(name, going))
            return late[-1]

        monkeypatch.setattr(_roster(frozen), "turn", stand_still)
        redis_server.command("SET", contract.role_key("tl:"), frozen.instance, "PX", "3000")
        for number in range(20):
            action = CronEvent("race", b"\xc0", key=f"k{number}", durable=True)
            changes: dict[str, Any] = {"expression": "* * * * *", "misfire": Misfire.CATCH_UP, "action": action}
            await _expect(second, _task(f"t{number}", "race", **changes), begun)
        streams = [f"event_stream:race:k{number}" for number in range(20)]
        await until(lambda: all(int(redis_server.command("XLEN", stream)[1:]) > 300 for stream in streams))
        thaw.set()
        await until(lambda: late)
        assert not any(late)
        for number, stream in enumerate(streams):
            entries = await _ask(second, "XRANGE", stream, "-", "+")
            ids = [Envelope.FromString(fields[1]).id for _, fields in entries]
            assert ids == [f"t{number}:{begun + minute * 60_000}" for minute in range(len(ids))]


async def test_pause_resume_update_and_list(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        cron, told = system.cron, Heard()
        await system.subscribe("cron.task.*", told.take).ready()
        for name in ("b", "a", "c"):
            await cron.create(name, "0 0 1 1 *", "x.y", name, zone="Europe/Berlin", jitter=5, priority=8, durable=True)
        page = await cron.list(limit=2)
        assert ([job.name for job in page.items], page.total) == (["a", "b"], 3)
        assert [job.name for job in (await cron.list(page=2, limit=2)).items] == ["c"]
        assert (await cron.list(page=9)).items == []
        paused = await cron.pause("a")
        assert (paused.paused, paused.next) == (True, None)
        assert (await cron.update("a", topic="x.z")).next is None
        resumed = await cron.resume("a")
        assert resumed.next == (await cron.get("b")).next
        changed = await cron.update("a", expression="0 0 * * *", data=[1], misfire="skip")
        assert changed == await cron.get("a")
        assert (changed.expression, changed.topic, changed.data, changed.misfire) == ("0 0 * * *", "x.z", [1], "skip")
        assert (changed.zone, changed.jitter, changed.priority, changed.durable) == ("Europe/Berlin", 5.0, 8, True)
        assert (await cron.delete("a")).name == "a"
        for again in (cron.get("a"), cron.delete("a"), cron.pause("a"), cron.run_now("a"), cron.update("a")):
            with pytest.raises(NotFoundError, match="there is no cron task 'a'"):
                await again
        with pytest.raises(AlreadyExistsError, match="there is a cron task 'b'"):
            await cron.create("b", "@daily", "x.y")
        await until(lambda: len(told) == 8)
        assert [event.topic for event in told[3:]] == [
            f"cron.task.{what}" for what in ("updated", "updated", "updated", "updated", "deleted")
        ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"expression": "0 0 30 2 *"}, 'day-of-month "30" never comes'),
        ({"expression": "every 10ms"}, 'interval "10ms"'),
        ({"name": "a b"}, "name of a cron task has"),
        ({"zone": "Mars/Olympus"}, 'zone "Mars/Olympus" is not known'),
        ({"jitter": -1}, "jitter of a cron task is in seconds"),
        ({"jitter": 2 * 86_400}, "jitter of a cron task is in seconds, from 0 to 86400, not 172800"),
        ({"retries": -1}, "retries of a cron task is a whole number from 0 to 1000, not -1"),
        ({"grace": float("nan")}, "grace of a cron task is in seconds"),
        ({"misfire": "never"}, "misfire of a cron task is one of"),
        ({"start": datetime(2026, 1, 1)}, "start of a cron task is a datetime with a time zone"),  # noqa: DTZ001
        ({"end": datetime(2020, 1, 1, tzinfo=UTC)}, "end of a cron task has passed"),
        ({"priority": 8}, "priority is for what is stored"),
        ({"call": True, "key": "k"}, "key is for events"),
        ({"call": 1}, "call of a cron task is True or False"),
        ({"ttl": -1}, "ttl is in seconds"),
        ({"content": 1}, "a cron task does not know content; it knows call, "),
    ],
    ids=str,
)
async def test_nonsense_is_refused_and_changes_nothing(redis_url: str, given: dict[str, Any], says: str) -> None:
    async with _systems(redis_url, "a") as (system,):
        arguments: dict[str, Any] = {"name": "n", "expression": "@daily", "topic": "a.b", **given}
        with pytest.raises(InvalidArgumentError) as caught:
            await system.cron.create(**arguments)
        assert caught.value.message.startswith(says)
        assert (await system.cron.list()).total == 0


async def test_run_now_of_a_paused_task_leaves_its_ticks_alone(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        seen = Heard()
        await system.subscribe("now", seen.take).ready()
        await system.cron.create("t", "@hourly", "now", paused=True)
        made = await system.cron.run_now("t")
        await until(lambda: len(seen) == 1)
        job = await system.cron.get("t")
        assert (seen.ids, job.next, job.runs, job.paused) == ([made], None, 1, True)


async def test_an_event_that_finds_no_room_has_failed(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a") as (system,):
        told = list[Any]()
        await system.subscribe("cron.task.failed", told.append).ready()
        redis_server.command("SET", "event_stream:taken:k", "x")
        action = CronEvent("taken", b"\xc0", key="k", durable=True)
        await _expect(system, _task("t", "taken", action=action, retries=0), _last_tick(system))
        await until(lambda: len(told) == 1)
        assert (told[0]["task"], told[0]["error"]["code"]) == ("t", "OVERLOADED")


async def test_while_a_task_waits_nothing_is_asked(redis_url: str, redis_server: RedisServer) -> None:
    async with _systems(redis_url, "a", "b") as (first, _):
        await first.cron.create("t", "@yearly", "a.b")

        async def scripts_run() -> str:
            told = (await _ask(first, "INFO", "commandstats")).decode()
            return told.partition("cmdstat_evalsha:calls=")[2].partition(",")[0]

        assert await settle(scripts_run)
        assert redis_server.command("EXISTS", contract.role_key("tl:")) == ":0"


async def test_a_task_made_for_a_call_keeps_its_bytes(redis_url: str) -> None:
    """What one language keeps the other reads: the record is the message of schedule.proto."""
    async with _systems(redis_url, "a") as (system,):
        await system.cron.create("t", "@daily", "a.b", 5, call=True, ttl=2.5, retries=1, retry_delay=1)
        kept = await _roster(system).find("t")
        assert kept is not None
        created = round((await system.cron.get("t")).created.timestamp() * 1000)
        about: dict[str, Any] = {"retries": 1, "retry_delay": 1000, "created": created, "updated": created}
        source = system._instance.source
        task = CronTask("t", "@daily", CronCall("a.b", encode(5), ttl=2500), **about, source=source)
        assert kept.task == encode_task(task)


async def test_a_task_of_one_language_is_fired_by_the_other(redis_url: str) -> None:
    """Node makes a task and leaves; Python fires and changes it. Node reads what Python made."""
    peers = Path(__file__).parents[1] / "peers"
    provide(peers)
    async with _systems(redis_url, "python") as (system,):
        seen = Heard()
        system.subscribe("tick.tock", seen.take, durable=True)
        start = datetime(2030, 1, 1, tzinfo=UTC)
        mine = await system.cron.create(
            "from.python", "0 9 * * MON", "a.b", [1], zone="Europe/Berlin", start=start, jitter=2.5
        )
        arguments = ("node", str(peers / "cron_maker.mjs"), redis_url)
        node = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
        told = json.loads((await node.communicate())[0])
        assert mine.next is not None
        assert datetime.fromisoformat(told["next"]) == mine.next
        assert datetime.fromisoformat(told["start"]) == start
        assert (told["expression"], told["zone"], told["data"], told["jitter"]) == ("0 9 * * MON", mine.zone, [1], 2500)
        await until(lambda: len(seen) >= 2)
        assert (seen[0].data, seen[0].headers["h"], seen[0].source.split("/")[0]) == ({"a": 1}, "x", "node")
        changed = await system.cron.update("from.node", data=None)
        assert (changed.jitter, changed.key, changed.data, changed.headers) == (0.02, "k", None, {"h": "x"})
        await system.cron.delete("from.node")
