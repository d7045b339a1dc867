"""Looking after stored events without `await`: the desks of `tieline.EventSystem`, as threads use them."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from tieline.blocking_stream import Wait
from tieline.cron import tasks as cron_tasks
from tieline.durable import dead_letters, groups
from tieline.events import EventSystem
from tieline.history import history
from tieline.outbox import outbox
from tieline.schedules import schedules

D = TypeVar("D")
P = ParamSpec("P")
T = TypeVar("T")


class _Desk(ABC, Generic[D]):
    """What has the methods of a desk of the event system, and waits for them."""

    __slots__ = ("_wait",)

    def __init__(self, wait: Wait) -> None:
        """What it asks for is done in the loop that `wait` reaches."""
        self._wait = wait

    @abstractmethod
    def _desk(self, system: EventSystem) -> D:
        """The desk of this system: the first one, or its successor in a forked child."""

    def _ask(self, begin: Callable[[D], Coroutine[Any, Any, Any]]) -> Any:
        return self._wait(lambda system: begin(self._desk(system)))


def _awaited(
    method: Callable[Concatenate[D, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Desk[D], P], T]:
    """The method of the same name that returns when the other one's coroutine is done."""

    @functools.wraps(method)
    def call(self: _Desk[D], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._ask(lambda desk: method(desk, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return call


class DeadLetters(_Desk[dead_letters.DeadLetters]):
    """`tieline.EventSystem.dead_letters` without `await`."""

    __slots__ = ()

    list = _awaited(dead_letters.DeadLetters.list)
    get = _awaited(dead_letters.DeadLetters.get)
    redrive = _awaited(dead_letters.DeadLetters.redrive)
    edit = _awaited(dead_letters.DeadLetters.edit)
    purge = _awaited(dead_letters.DeadLetters.purge)

    def _desk(self, system: EventSystem) -> dead_letters.DeadLetters:
        return system.dead_letters


class ParkedKeys(_Desk[dead_letters.ParkedKeys]):
    """`tieline.EventSystem.parked` without `await`."""

    __slots__ = ()

    list = _awaited(dead_letters.ParkedKeys.list)
    unpark = _awaited(dead_letters.ParkedKeys.unpark)
    skip = _awaited(dead_letters.ParkedKeys.skip)

    def _desk(self, system: EventSystem) -> dead_letters.ParkedKeys:
        return system.parked


class Groups(_Desk[groups.Groups]):
    """`tieline.EventSystem.groups` without `await`."""

    __slots__ = ()

    topics = _awaited(groups.Groups.topics)
    list = _awaited(groups.Groups.list)
    remove = _awaited(groups.Groups.remove)

    def _desk(self, system: EventSystem) -> groups.Groups:
        return system.groups


class History(_Desk[history.History]):
    """`tieline.EventSystem.history` without `await`; `replay` returns when it is over."""

    __slots__ = ()

    list = _awaited(history.History.list)
    get = _awaited(history.History.get)
    delete = _awaited(history.History.delete)
    figures = _awaited(history.History.figures)
    replay = _awaited(history.History.replay_to_the_end)

    def _desk(self, system: EventSystem) -> history.History:
        return system.history


class Outbox(_Desk[outbox.Outbox]):
    """`tieline.EventSystem.outbox` without `await`."""

    __slots__ = ()

    figures = _awaited(outbox.Outbox.figures)

    def _desk(self, system: EventSystem) -> outbox.Outbox:
        assert system.outbox is not None, "made only where there is one"
        return system.outbox


class Schedules(_Desk[schedules.Schedules]):
    """`tieline.EventSystem.schedules` without `await`."""

    __slots__ = ()

    list = _awaited(schedules.Schedules.list)
    get = _awaited(schedules.Schedules.get)
    cancel = _awaited(schedules.Schedules.cancel)
    reschedule = _awaited(schedules.Schedules.reschedule)
    retry = _awaited(schedules.Schedules.retry)

    def _desk(self, system: EventSystem) -> schedules.Schedules:
        return system.schedules


class CronTasks(_Desk[cron_tasks.CronTasks]):
    """`tieline.EventSystem.cron` without `await`."""

    __slots__ = ()

    list = _awaited(cron_tasks.CronTasks.list)
    get = _awaited(cron_tasks.CronTasks.get)
    create = _awaited(cron_tasks.CronTasks.create)
    update = _awaited(cron_tasks.CronTasks.update)
    pause = _awaited(cron_tasks.CronTasks.pause)
    resume = _awaited(cron_tasks.CronTasks.resume)
    run_now = _awaited(cron_tasks.CronTasks.run_now)
    delete = _awaited(cron_tasks.CronTasks.delete)

    def _desk(self, system: EventSystem) -> cron_tasks.CronTasks:
        return system.cron
