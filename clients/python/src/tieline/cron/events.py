"""What the system publishes of cron tasks: topics `cron.task.*`, and their payloads. Rules: SPEC.md, section 16."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

from tieline._contract import contract
from tieline._contract.schedule_pb2 import CronRun
from tieline.cron.task import CronCall, CronTask
from tieline.errors import TielineError
from tieline.schedules.agenda import ScheduleStatus


class CronTaskChanged(TypedDict):
    """Payload of `cron.task.created`, `updated` and `deleted`.

    Attributes:
        task: its name.
        expression: when it recurs.
        zone: its time zone.
        topic: of its events, or of its calls.
        call: it makes calls.
        paused: no tick comes.
        next: its next tick; nil if there is none.

    """

    task: str
    expression: str
    zone: str
    topic: str
    call: bool
    paused: bool
    next: datetime | None


class CronTaskExecuted(TypedDict):
    """Payload of `cron.task.executed`: a tick was fired.

    Attributes:
        task: its name.
        id: of the event, or of the call.
        tick: the moment it stands for.
        topic: of the event, or of the call.
        call: it is a call.

    """

    task: str
    id: str
    tick: datetime
    topic: str
    call: bool


class CronTaskEnded(TypedDict):
    """Payload of `cron.task.completed` and `failed`: the event went out, or the call was answered, or neither.

    Attributes:
        task: its name.
        id: of the event, or of the call.
        tick: the moment it stands for.
        call: it was a call.
        attempts: how often the call was tried.
        error: code and message of what failed; nil if it did not.

    """

    task: str
    id: str
    tick: datetime
    call: bool
    attempts: int
    error: dict[str, str] | None


def changed(task: CronTask, following: int | None) -> CronTaskChanged:
    """Tells of a task that was made, changed or deleted."""
    return CronTaskChanged(
        task=task.name,
        expression=task.expression,
        zone=task.zone,
        topic=task.action.topic,
        call=isinstance(task.action, CronCall),
        paused=task.paused,
        next=None if following is None else moment(following),
    )


def executed(task: CronTask, tick: int) -> tuple[str, dict[str, Any]]:
    """A tick was fired: topic and payload."""
    call, topic = isinstance(task.action, CronCall), task.action.topic
    told = CronTaskExecuted(task=task.name, id=task.tick_id(tick), tick=moment(tick), topic=topic, call=call)
    return contract.CRON_TASK_EXECUTED, dict(told)


def ended(name: str, tick: int, status: ScheduleStatus) -> tuple[str, dict[str, Any]]:
    """An event of a tick went out, or did not: topic and payload."""
    if status is ScheduleStatus.DELIVERED:
        return contract.CRON_TASK_COMPLETED, _ended(name, tick, None)
    code, why = ("EXPIRED", "it was too late") if status is ScheduleStatus.EXPIRED else ("OVERLOADED", "no room")
    return contract.CRON_TASK_FAILED, _ended(name, tick, {"code": code, "message": why})


def call_ended(name: str, tick: int, run: CronRun, error: TielineError | None) -> tuple[str, dict[str, Any]]:
    """A call of a tick was answered, or failed for the last time: topic and payload."""
    if error is None:
        return contract.CRON_TASK_COMPLETED, _ended(name, tick, None, call=True, attempts=run.attempts)
    told = {"code": error.code, "message": error.message}
    return contract.CRON_TASK_FAILED, _ended(name, tick, told, call=True, attempts=run.attempts)


def moment(milliseconds: int) -> datetime:
    """A moment as people have it (from ms since 1970)."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _ended(
    name: str, tick: int, error: dict[str, str] | None, *, call: bool = False, attempts: int = 1
) -> dict[str, Any]:
    told = CronTaskEnded(task=name, id=f"{name}:{tick}", tick=moment(tick), call=call, attempts=attempts, error=error)
    return dict(told)
