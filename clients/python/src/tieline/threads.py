"""Threads for synchronous handlers.

Those of `concurrent.futures.ThreadPoolExecutor` will not do: they refuse work once the main thread has ended, hold up
the end of the process for as long as a handler takes, are gone in a forked child, and when all of them wait for calls
that need one of them, they wait for ever.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Work = Callable[[], None]


class HandlerThreads(Executor):
    """At most `limit` pieces of work run at a time, in daemon threads; the others wait, first come first served.

    Work that only waits for something (`set_aside`) is not counted. A forked child begins with no threads and no work.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Work] = deque()
        self._running = 0
        self._idle: list[_HandlerThread] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread run it.

        Raises:
            RuntimeError: there is no thread, and none can be started.

        """
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append(partial(_run, future, partial(fn, *args, **kwargs)))
            try:
                self._begin_next()
            except RuntimeError:
                if not self._running:  # else one that runs will do it
                    self._waiting.pop()
                    raise
        return future

    @contextmanager
    def aside(self) -> Generator[None]:
        """Let another piece of work run while the one of this thread only waits."""
        with self._lock:
            self._running -= 1
            with suppress(RuntimeError):  # no thread can be started: the others wait for this one
                self._begin_next()
        try:
            yield
        finally:
            with self._lock:
                self._running += 1  # perhaps beyond the limit: then the next one that ends makes room for nobody

    @property
    def working(self) -> bool:
        """Whether any work runs or waits for a thread; what only waits for something is not counted."""
        return self._running > 0 or bool(self._waiting)

    def ended(self, thread: _HandlerThread) -> bool:
        """A thread has done its work; false if it is not needed any more."""
        with self._lock:
            self._running -= 1
            needed = len(self._idle) < self._limit
            if needed:
                self._idle.append(thread)
            self._begin_next()
        return needed

    def _begin_next(self) -> None:
        if self._waiting and self._running < self._limit:
            thread = self._idle.pop() if self._idle else _HandlerThread(self)
            self._running += 1
            thread.inbox.put(self._waiting.popleft())


class _HandlerThread(threading.Thread):
    """Does one piece of work after the other, as they are put into its inbox."""

    def __init__(self, pool: HandlerThreads) -> None:
        super().__init__(name="tieline-handler", daemon=True)
        self.pool = pool
        self.inbox: SimpleQueue[Work] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """See `threading.Thread`."""
        self.inbox.get()()
        while self.pool.ended(self):
            self.inbox.get()()


@contextmanager
def set_aside() -> Generator[None]:
    """Wait inside a handler without taking the place of another one. Elsewhere it does nothing."""
    thread = threading.current_thread()
    if isinstance(thread, _HandlerThread):
        with thread.pool.aside():
            yield
    else:
        yield


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(_carried(error))
        del future, work  # else the traceback would keep this frame, and all its callees' values, until a collection
    else:
        future.set_result(result)


def _carried(error: BaseException) -> BaseException:
    """What a handler raised, as it can be told to an event loop."""
    if not isinstance(error, StopIteration | SystemExit):  # asyncio cannot carry the one, the other would end the loop
        return error
    told = RuntimeError(f"the handler raised {type(error).__name__}")
    told.__cause__ = error
    return told
