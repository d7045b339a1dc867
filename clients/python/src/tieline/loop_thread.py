"""The thread of a blocking event system: its loop, the calls that are out in it, its end, and that of its process."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from tieline.errors import InvalidArgumentError
from tieline.events import EventSystem
from tieline.instance import running_loop

T = TypeVar("T")

_LAST_WORDS = 1.0
_EXIT_DRAIN = 0.5
_EXIT_PATIENCE = 2.0

_lock = threading.RLock()
_running: set[LoopThread] = set()
_left_behind: list[object] = []  # a finalizer of what the parent uses must not run in a forked child


class LoopThread(threading.Thread):
    """A daemon thread with an event loop for one event system, which it closes when the process ends."""

    def __init__(self, system: EventSystem) -> None:
        super().__init__(name="tieline", daemon=True)
        self._system = system
        self._process = os.getpid()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._calls: set[Future[Any]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._ended = False
        self.start()
        _running.add(self)

    @property
    def forked_away(self) -> bool:
        """Whether it runs in the parent of this process."""
        return self._process != os.getpid()

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            with self._runner:
                self._loop.run_forever()
        finally:
            self._ended = True
            _running.discard(self)

    def submit(self, begin: Callable[[EventSystem], Awaitable[T]], future: Future[T]) -> None:
        """Do something in the loop, in the context of whoever asks. Cancelling the future cancels it, at any moment.

        Raises:
            InvalidArgumentError: the system was closed.

        """
        with one_at_a_time():
            if self._ended:
                raise already_closed()
            self._calls.add(future)
            self._loop.call_soon_threadsafe(self._begin, begin, future)

    def _begin(self, begin: Callable[[EventSystem], Awaitable[T]], future: Future[T]) -> None:
        async def call() -> T:
            return await begin(self._system)

        def given_up(future: Future[T]) -> None:
            if future.cancelled() and not task.done():
                self._loop.call_soon_threadsafe(task.cancel)

        task = self._loop.create_task(call())
        task.add_done_callback(partial(self._over, future))
        future.add_done_callback(given_up)

    def _over(self, future: Future[T], task: asyncio.Task[T]) -> None:
        self._calls.discard(future)
        if task.cancelled():
            future.cancel()
        elif (error := task.exception()) is not None:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        elif future.set_running_or_notify_cancel():
            future.set_result(task.result())

    def end(self, drain: float | None) -> None:
        """Close the system, let the calls that are out hear of it, and end. Idempotent; waits for nothing."""

        def begin() -> None:
            self._ending = self._ending or self._loop.create_task(self._end(drain))

        with one_at_a_time():
            if not self._ended:
                self._loop.call_soon_threadsafe(begin, context=Context())

    async def _end(self, drain: float | None) -> None:
        try:
            await self._system.aclose(drain)
        finally:
            with one_at_a_time():
                self._ended = True
            calls = [asyncio.wrap_future(call) for call in self._calls]
            if calls:
                await asyncio.wait(calls, timeout=_LAST_WORDS)
            self._loop.stop()


def one_at_a_time() -> threading.RLock:
    """Held while a thread begins or is given something to do; the handler of a signal may come in between."""
    return _lock


def already_closed() -> InvalidArgumentError:
    """What whoever uses a closed event system is told."""
    return InvalidArgumentError("this event system is closed; make a new one")


def refuse_to_stop_a_loop() -> None:
    """Whoever is about to block this thread must not have an event loop in it.

    Raises:
        InvalidArgumentError: it has one.

    """
    if running_loop() is not None:
        raise InvalidArgumentError(
            "a blocking call would stop the event loop that runs in this thread; "
            "use tieline.EventSystem here and await its calls, or asyncio.to_thread"
        )


def _forget_parent() -> None:
    """In a forked child: no thread but this one is here, and whoever held the lock is not either."""
    global _lock, _running
    _left_behind.append(_running)
    _lock, _running = threading.RLock(), set()


def _leave_at_exit() -> None:
    """Leave in good order, but soon: the process ends."""
    leaving = list(_running)
    for thread in leaving:
        thread.end(_EXIT_DRAIN)
    end = monotonic() + _EXIT_PATIENCE
    for thread in leaving:
        thread.join(max(0.0, end - monotonic()))


os.register_at_fork(after_in_child=_forget_parent)
atexit.register(_leave_at_exit)
