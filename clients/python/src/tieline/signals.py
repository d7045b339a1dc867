"""Signals that ask a process to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Generator
from types import FrameType

SAME_STOP_SECONDS = 0.5
"""Signals so close together are one request: a terminal and npm, or systemd and a supervisor, send it twice."""
_USUAL = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


@contextlib.contextmanager
def stop_signals(tell: Callable[[], None]) -> Generator[None]:
    """Call back in the running loop at the first SIGTERM or SIGINT.

    Those within half a second of it are the same request; a later one has its usual effect and ends the process, also
    where the loop stands still.
    """
    loop = asyncio.get_running_loop()
    stopping = False

    def first() -> None:
        nonlocal stopping
        stopping = True
        _release(loop)
        _expect_it_again()
        tell()

    with contextlib.ExitStack() as handlers:
        for number in _USUAL:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # no main thread, or Windows
                loop.add_signal_handler(number, first)
                handlers.callback(lambda: None if stopping else _release(loop))
        yield


def _release(loop: asyncio.AbstractEventLoop) -> None:
    for number in _USUAL:
        loop.remove_signal_handler(number)


def _expect_it_again() -> None:
    """Stay for what comes at once, also after the drain, which may be over sooner."""
    same_until = time.monotonic() + SAME_STOP_SECONDS

    def again(number: int, _frame: FrameType | None) -> None:
        if time.monotonic() >= same_until:
            for each, usual in _USUAL.items():
                signal.signal(each, usual)
            signal.raise_signal(number)

    for each in _USUAL:
        signal.signal(each, again)
