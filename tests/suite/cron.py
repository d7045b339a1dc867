"""Cron tasks: each tick once, whoever fires it, and what is told of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.suite.seen import Seen, until
from tests.suite.world import Feature, World, needs
from tieline import AlreadyExistsError, Event, EventSystem, InvalidArgumentError, InvalidTopicError, NotFoundError


class Heard(list[Event]):
    """Events that arrived, in order. `take` is a handler."""

    async def take(self, _data: Any, event: Event) -> None:
        self.append(event)


async def told_of(system: EventSystem, task: str) -> list[tuple[str, dict[str, Any]]]:
    """What is told of a task, by the last token of the topic."""
    told = list[tuple[str, dict[str, Any]]]()

    async def take(data: dict[str, Any], event: Event) -> None:
        if data["task"] == task:
            told.append((event.topic.rpartition(".")[2], data))

    await system.subscribe("cron.task.*", take).ready()
    return told


async def test_a_tick_is_an_event_for_everyone_once(world: World, topic: str) -> None:
    maker, other = await world.system(), await world.system()
    events, mine = Heard(), Heard()
    await other.subscribe(topic, events.take).ready()
    await maker.subscribe(topic, mine.take).ready()
    told = await told_of(other, topic)
    made = await maker.cron.create(topic, "every 1s", topic, {"a": 1}, headers={"h": "x"})
    assert (made.next, made.last, made.runs) == (made.created + timedelta(seconds=1), None, 0)
    await until(lambda: len(events) >= 2 and len(mine) >= 2)
    for event, number in zip(events[:2], (1, 2), strict=True):
        tick = made.created + timedelta(seconds=number)
        assert (event.scheduled, event.id) == (tick, f"{topic}:{round(tick.timestamp() * 1000)}")
        assert event.time >= tick
        assert (event.data, event.headers["h"]) == ({"a": 1}, "x")
        assert event.source == f"test/{maker.instance}"
    await until(lambda: sum(what == "completed" for what, _ in told) >= 2)
    await other.cron.delete(topic)
    await until(lambda: any(what == "deleted" for what, _ in told))
    assert told[0][0] == "created"
    assert [what for what, data in told if data.get("id") == events[0].id] == ["executed", "completed"]
    with pytest.raises(NotFoundError):
        await maker.cron.get(topic)


@needs(Feature.DURABLE)
async def test_a_tick_with_a_key_is_stored(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    await system.cron.create(topic, "@yearly", topic, 7, key="k", start=start)
    made = await system.cron.run_now(topic)

    async def take(data: Any, event: Event) -> None:
        seen.append((data, event.key, event.id))

    await system.subscribe(topic, take, durable=True).ready()
    await seen.reach(1)
    assert list(seen) == [(7, "k", made)]


async def test_a_call_and_its_reply(world: World, topic: str) -> None:
    asking, answering = await world.system(), await world.system()
    await answering.subscribe(topic, sum).ready()
    told = await told_of(asking, topic)
    await asking.cron.create(topic, "@yearly", topic, [1, 2, 3], call=True)
    made = await asking.cron.run_now(topic)
    await until(lambda: any(what == "completed" for what, _ in told))
    job = await asking.cron.get(topic)
    assert job.last is not None
    assert (job.last.status, job.last.reply, job.last.attempts, job.last.error) == ("completed", 6, 1, None)
    assert (job.call, job.runs, told[-1][1]["id"], told[-1][1]["call"]) == (True, 1, made, True)
    await asking.cron.delete(topic)


async def test_a_call_that_fails_is_tried_again_and_given_up(world: World, topic: str) -> None:
    asking, answering = await world.system(), await world.system()
    tries = list[int]()

    def answer() -> None:
        tries.append(1)
        if len(tries) < 4:
            raise ValueError(f"no {len(tries)}")

    await answering.subscribe(topic, answer).ready()
    told = await told_of(asking, topic)
    await asking.cron.create(topic, "@yearly", topic, call=True, retries=2, retry_delay=0.05)
    made = await asking.cron.run_now(topic)
    await until(lambda: any(what == "failed" for what, _ in told))
    assert len(tries) == 3
    (error,) = [data["error"] for what, data in told if what == "failed"]
    assert error == {"code": "HANDLER_ERROR", "message": "no 3"}
    last = (await asking.cron.get(topic)).last
    assert last is not None
    assert (last.status, last.attempts, last.error and last.error.message) == ("failed", 3, "no 3")
    assert (await asking.schedules.get(made)).status.value == "failed"
    await asking.schedules.retry(made)
    await until(lambda: any(what == "completed" for what, _ in told))
    assert len(tries) == 4
    await asking.cron.delete(topic)


async def test_each_run_that_is_asked_for_has_an_id_of_its_own_and_is_told(world: World, topic: str) -> None:
    maker, other = await world.system(), await world.system()
    events, told = Heard(), await told_of(other, topic)
    await other.subscribe(topic, events.take).ready()
    await maker.cron.create(topic, "@yearly", topic, paused=True)
    asked = [system.cron.run_now(topic) for system in (maker, other) for _ in range(5)]
    made = sorted(await asyncio.gather(*asked))
    assert len(set(made)) == 10
    await until(lambda: len(told) >= 21 and len(events) >= 10)
    assert sorted(event.id for event in events) == made
    for what in ("executed", "completed"):
        assert sorted(data["id"] for said, data in told if said == what) == made
    executed = next(data for what, data in told if what == "executed")
    assert executed["tick"].timestamp() == int(executed["id"].rpartition(":")[2]) / 1000
    assert (executed["topic"], executed["call"]) == (topic, False)
    assert (await maker.cron.get(topic)).runs == 10
    await maker.cron.delete(topic)


async def test_pause_resume_update_and_list(world: World, topic: str) -> None:
    system, seen = await world.system(), Heard()
    cron, (one, other) = system.cron, (f"{topic}.a", f"{topic}.b")
    await system.subscribe(topic, seen.take).ready()
    for name in (other, one):
        await cron.create(name, "0 0 1 1 *", topic, name, zone="Europe/Berlin", jitter=5, headers={"h": "x"})
    page = await cron.list(limit=1000)
    assert [job.name for job in page.items if job.name.startswith(topic)] == [one, other]
    assert (await cron.list(page=10_000)).items == []
    paused = await cron.pause(one)
    assert (paused.paused, paused.next) == (True, None)
    assert (await cron.update(one, data=[1])).next is None
    made = await cron.run_now(one)
    await until(lambda: len(seen) == 1)
    assert (seen[0].id, seen[0].data) == (made, [1])
    assert (await cron.resume(one)).next == (await cron.get(other)).next
    changed = await cron.update(one, expression="0 0 * * *", misfire="skip")
    assert changed == await cron.get(one)
    again = await cron.update(one)
    assert again == await cron.get(one)
    assert (again.expression, again.data, again.next) == (changed.expression, changed.data, changed.next)
    assert (changed.expression, changed.data, changed.misfire, changed.zone) == (
        "0 0 * * *", [1], "skip", "Europe/Berlin",
    )  # fmt: skip
    with pytest.raises(AlreadyExistsError):
        await cron.create(other, "@daily", topic)
    for name in (one, other):
        assert (await cron.delete(name)).name == name
    for again in (cron.get(one), cron.delete(one), cron.pause(one), cron.run_now(one), cron.update(one)):
        with pytest.raises(NotFoundError, match="there is no cron task"):
            await again


async def test_nonsense_is_refused(world: World, topic: str) -> None:
    system = await world.system()
    with pytest.raises(InvalidArgumentError, match='day-of-month "30" never comes'):
        await system.cron.create(topic, "0 0 30 2 *", topic)
    with pytest.raises(InvalidArgumentError, match="name of a cron task has"):
        await system.cron.create("a b", "@daily", topic)
    with pytest.raises(InvalidTopicError):
        await system.cron.create(topic, "@daily", "system.own")
    with pytest.raises(NotFoundError):
        await system.cron.get(topic)
