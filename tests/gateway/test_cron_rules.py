"""Cron tasks through a gateway: what a plain Link may ask, and what is refused."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from tests.gateway.raw_link import RawLink
from tests.gateway.test_link_rules import NewLink, code
from tieline._contract import agenda_pb2 as agenda
from tieline.cron.task import CronCall, CronEvent, CronTask, decode_task, encode_task

HOUR_MS = 3_600_000


def now_ms() -> int:
    """This machine's clock, which is that of its gateway."""
    return time.time_ns() // 1_000_000


def next_hour() -> int:
    return (now_ms() // HOUR_MS + 1) * HOUR_MS


def hourly(topic: str, **changes: Any) -> CronTask:
    return replace(CronTask(topic, "0 * * * *", CronEvent(topic, b"\xc0"), source="admin/0"), **changes)


async def ask(link: RawLink, **what: Any) -> agenda.AgendaResponse:
    await link.say(agenda=agenda.AgendaRequest(ref=7, **what))
    answer = await link.hear("agenda")
    assert (answer.ref, answer.more) == (7, False)
    return answer


def put(task: CronTask, version: int = 0, expected: int | None = None) -> agenda.PutTask:
    return agenda.PutTask(
        version=version, task=encode_task(task), expected=next_hour() if expected is None else expected
    )


async def test_who_made_a_task_is_what_the_gateway_says(new_link: NewLink, topic: str) -> None:
    link, instance = await new_link()
    other, _ = await new_link()
    first = (await ask(link, put_task=put(hourly(topic)))).version
    assert first > 0
    assert (await ask(other, put_task=put(hourly(topic)))).version == 0
    second = (await ask(other, put_task=put(hourly(topic, grace=5), first))).version
    assert second > first
    assert (await ask(link, put_task=put(hourly(topic), first))).version == 0
    (kept,) = (await ask(other, find_task=agenda.FindTask(name=topic))).tasks
    task = decode_task(kept.task)
    assert (task.source, task.grace, kept.version, kept.runs) == (f"raw/{instance}", 5, second, 0)
    (dropped,) = (await ask(link, drop_task=agenda.DropTask(name=topic))).tasks
    assert dropped == kept
    assert not (await ask(link, find_task=agenda.FindTask(name=topic))).tasks
    assert (await ask(other, put_task=put(hourly(topic), second))).version == 0


async def test_a_run_is_one_of_now_and_of_the_version_that_is_known(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    version = (await ask(link, put_task=put(hourly(topic)))).version
    run = agenda.RunTask(name=topic, version=version, tick=now_ms())
    assert (await ask(link, run_task=run)).yes
    assert not (await ask(link, run_task=agenda.RunTask(name=topic, version=version - 1, tick=now_ms()))).yes
    for wrong in (0, now_ms() + HOUR_MS):
        refused = await ask(link, run_task=agenda.RunTask(name=topic, version=version, tick=wrong))
        assert refused.error.code == code("INVALID_ARGUMENT")
    (kept,) = (await ask(link, drop_task=agenda.DropTask(name=topic))).tasks
    assert kept.runs == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action": CronEvent("system.startup")}, "INVALID_TOPIC"),
        ({"action": CronCall("a..b")}, "INVALID_TOPIC"),
        ({"action": CronEvent("a.b", b"x" * 1_048_577)}, "PAYLOAD_TOO_LARGE"),
        ({"action": CronCall("a.b", ttl=86_400_001)}, "INVALID_ARGUMENT"),
        ({"action": CronEvent("a.b", key="k" * 2000)}, "INVALID_ARGUMENT"),
        ({"action": CronEvent("a.b", priority=11)}, "INVALID_ARGUMENT"),
        ({"expression": "0 0 30 2 *"}, "INVALID_ARGUMENT"),
        ({"name": "a b"}, "INVALID_ARGUMENT"),
        ({"grace": -1}, "INVALID_ARGUMENT"),
    ],
)
async def test_what_breaks_a_rule_is_not_kept(
    new_link: NewLink, topic: str, changes: dict[str, Any], reason: str
) -> None:
    link, _ = await new_link()
    assert (await ask(link, put_task=put(hourly(topic, **changes)))).error.code == code(reason)
    assert not (await ask(link, find_task=agenda.FindTask(name=topic))).tasks


async def test_the_next_tick_is_one_of_the_task(new_link: NewLink, topic: str) -> None:
    link, _ = await new_link()
    for expected in (next_hour() + 1, next_hour() - 100 * HOUR_MS, -5):
        refused = await ask(link, put_task=put(hourly(topic), expected=expected))
        assert refused.error.code == code("INVALID_ARGUMENT")
    assert (await ask(link, put_task=agenda.PutTask(task=b"\xff"))).error.code == code("INVALID_ARGUMENT")
    refused = await ask(link, list_tasks=agenda.ListTasks(limit=0))
    assert refused.error.code == code("INVALID_ARGUMENT")
    assert (await ask(link, put_task=put(hourly(topic), expected=0))).version > 0
    await ask(link, drop_task=agenda.DropTask(name=topic))
