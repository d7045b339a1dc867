"""A cron task as `events.cron` tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieline import codec
from tieline._contract import schedule_pb2
from tieline.cron.events import moment
from tieline.cron.roster import Kept
from tieline.cron.task import CronCall, Misfire, decode_task
from tieline.envelope import error_from_wire
from tieline.errors import TielineError


@dataclass(frozen=True, slots=True)
class CronRun:
    """What became of a tick, or of a run that somebody asked for.

    Attributes:
        tick: the moment it stands for.
        started: when it was fired.
        ended: when it was over; None: it is under way.
        status: "executed" while a call is under way, then "completed" or "failed".
        attempts: how often the call was tried.
        error: what the call failed with; None if it did not.
        reply: of the call; None if there is none, or it was too long to be kept.
        omitted: the reply was too long.

    """

    tick: datetime
    started: datetime
    ended: datetime | None
    status: str
    attempts: int
    error: TielineError | None
    reply: Any
    omitted: bool


@dataclass(frozen=True, slots=True)
class CronJob:
    """A cron task. Durations are seconds.

    Attributes:
        name: names it.
        expression: when it recurs.
        zone: its time zone.
        topic: of its events, or of its calls.
        data: their payload.
        call: it makes calls.
        next: its next tick, without jitter; None: there is none.
        last: its last run; None: there was none.
        runs: how many there were.
        paused: no tick comes.
        jitter: a tick is late on purpose by up to this.
        start: no tick comes before; None: it need not wait.
        end: no tick comes after; None: they go on.
        misfire: what becomes of missed ticks.
        grace: a tick that is later than this, and the jitter, was missed.
        key: ordering key of its events; empty for none.
        durable: its events are stored.
        priority: of its events.
        ttl: of its events or calls; None for the usual one.
        headers: of its events or calls.
        retries: further tries of what failed.
        retry_delay: between them.
        created: when it was made.
        updated: when it was changed last.

    """

    name: str
    expression: str
    zone: str
    topic: str
    data: Any
    call: bool
    next: datetime | None
    last: CronRun | None
    runs: int
    paused: bool
    jitter: float
    start: datetime | None
    end: datetime | None
    misfire: Misfire
    grace: float
    key: str
    durable: bool
    priority: int
    ttl: float | None
    headers: Mapping[str, str]
    retries: int
    retry_delay: float
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class CronPage:
    """Some cron tasks.

    Attributes:
        items: in the order of their names.
        total: how many there are in all.
        page: number of this one, from 1.
        limit: how many a page has.

    """

    items: list[CronJob]
    total: int
    page: int
    limit: int


def job_of(kept: Kept) -> CronJob:
    """What the broker keeps of a task, for people."""
    task = decode_task(kept.task)
    action = task.action
    key, durable, priority = ("", False, 0) if isinstance(action, CronCall) else _stored(action)
    return CronJob(
        name=task.name,
        expression=task.expression,
        zone=task.zone,
        topic=action.topic,
        data=codec.decode(action.data, action.content_type),
        call=isinstance(action, CronCall),
        next=_maybe(kept.expected or 0),
        last=_run_of(kept.run) if kept.run else None,
        runs=kept.runs,
        paused=task.paused,
        jitter=task.jitter / 1000,
        start=_maybe(task.start),
        end=_maybe(task.end),
        misfire=task.misfire,
        grace=task.grace / 1000,
        key=key,
        durable=durable,
        priority=priority,
        ttl=action.ttl / 1000 if action.ttl else None,
        headers=dict(action.headers),
        retries=task.retries,
        retry_delay=task.retry_delay / 1000,
        created=moment(task.created),
        updated=moment(task.updated),
    )


def _stored(action: Any) -> tuple[str, bool, int]:
    return action.key, action.durable or bool(action.key), action.priority or 5


def _run_of(serialized: bytes) -> CronRun:
    run = schedule_pb2.CronRun.FromString(serialized)
    return CronRun(
        tick=moment(run.tick),
        started=moment(run.started),
        ended=_maybe(run.ended),
        status=run.status,
        attempts=run.attempts,
        error=error_from_wire(run.error) if run.HasField("error") else None,
        reply=codec.decode(run.reply, run.content_type) if run.reply else None,
        omitted=run.omitted,
    )


def _maybe(milliseconds: int) -> datetime | None:
    return moment(milliseconds) if milliseconds else None
