"""Starting a task at once instead of in the loop's next turn.

Python 3.12 can do it; for 3.11 the task's first step is caught where it would have been scheduled, and run here. It is
the task's own step, in the task's own context, with the task as the current one: what a handler can see is the same.
Running a handler inside the publisher's task instead was tried: a timeout in the handler then cancelled the publisher.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Task, current_task
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType, reportAttributeAccessIssue]
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

_NAME = "tieline-delivery"  # a name given is a name that need not be made up


def start_soon(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> Task[None]:
    """A task that begins in the loop's next turn."""
    return Task(coroutine, loop=loop, name=_NAME)


if sys.version_info >= (3, 12):

    def start_now(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> Task[None]:
        """A task that has taken its first step when this returns."""
        return Task(coroutine, loop=loop, name=_NAME, eager_start=True)

else:

    def start_now(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> Task[None]:
        """A task that has taken its first step when this returns."""
        steps: list[Callable[[], None]] = []
        own = copy_context()

        def catch(step: Callable[..., None], *arguments: Any, context: Context | None = None) -> Any:
            """Take the new task's step; whatever the collector may call meanwhile is none of ours."""
            if context is own:
                return steps.append(step)
            return type(loop).call_soon(loop, step, *arguments, context=context)

        loop.call_soon = catch  # pyright: ignore[reportAttributeAccessIssue]
        try:
            task = Task(coroutine, loop=loop, name=_NAME, context=own)
        finally:
            try:  # noqa: SIM105 - `suppress` costs more than the rest of this
                del loop.call_soon
            except AttributeError:  # a finalizer has started another one meanwhile
                pass
        if not steps:
            return task
        outer = current_task(loop)
        if outer is None:
            own.run(steps[0])
            return task
        _leave_task(loop, outer)
        try:
            own.run(steps[0])
        finally:
            _enter_task(loop, outer)
        return task
