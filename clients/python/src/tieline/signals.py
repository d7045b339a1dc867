"""Signals that ask a process to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Generator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_signals(tell: Callable[[], None]) -> Generator[None]:
    """Call back in the running loop at the first SIGTERM or SIGINT; a second one has its usual effect."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        tell()

    with contextlib.ExitStack() as handlers:
        for number in _SIGNALS:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # no main thread, or Windows
                loop.add_signal_handler(number, first)
                handlers.callback(loop.remove_signal_handler, number)
        yield
