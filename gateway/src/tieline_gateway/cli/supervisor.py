"""Processes that serve the same: those that die are started again, and all end together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tieline.signals import SAME_STOP_SECONDS
from tieline_gateway.cli.watch import changed
from tieline_gateway.run import PARENT

_SOON_SECONDS = 5.0
_MOST_PAUSE_SECONDS = 30.0
_TRIES = 3
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """Keeps so many processes of one command.

    Args:
        command: what each of them runs.
        workers: how many there are.
        folder: all are started anew when a Python file in it changes; what ends by itself waits for that. None: never.

    """

    def __init__(self, command: Sequence[str], workers: int, folder: Path | None) -> None:
        self._command = command
        self._workers = workers
        self._folder = folder
        self._processes: set[asyncio.subprocess.Process] = set()
        self._told: set[asyncio.subprocess.Process] = set()
        self._stop = asyncio.Event()
        self._same_until = 0.0
        self._served = False

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit code: that of the processes if they do not start at all."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            while (code := await self._generation()) is None:
                click.echo("tieline: a file has changed; starting anew", err=True)
        finally:
            self._kill()
        return code

    async def _generation(self) -> int | None:
        """All processes, from their start to their end; None if they are to start anew."""
        over = asyncio.Event()
        keeping = asyncio.gather(*(self._keep(number, over) for number in range(1, self._workers + 1)))
        stopping = asyncio.create_task(self._stop.wait())
        waiting = {asyncio.ensure_future(keeping), stopping}
        changing = asyncio.create_task(changed(self._folder)) if self._folder is not None else None
        await asyncio.wait(waiting | ({changing} if changing else set()), return_when=asyncio.FIRST_COMPLETED)
        over.set()
        self._end(self._processes)
        codes = await keeping
        anew = changing is not None and changing.done() and not self._stop.is_set()
        for task in (stopping, changing):
            if task is not None:
                task.cancel()
        return None if anew else max(codes)

    async def _keep(self, number: int, over: asyncio.Event) -> int:
        """One process after the other; returns a code once it is not worth another try."""
        quick = 0
        while not over.is_set():
            began = time.monotonic()
            code = await self._one(over)
            if over.is_set():
                break
            soon = time.monotonic() - began < _SOON_SECONDS
            self._served = self._served or not soon
            quick = quick + 1 if soon else 0
            if self._folder is None and not self._served and quick == _TRIES:
                over.set()
                self._end(self._processes)
                return abs(code) or 1
            await self._pause(number, code, quick, over)
        return 0

    async def _one(self, over: asyncio.Event) -> int:
        environment = os.environ | {PARENT: str(os.getpid())}
        process = await asyncio.create_subprocess_exec(*self._command, env=environment, start_new_session=True)
        self._processes.add(process)
        try:
            if self._stop.is_set() or over.is_set():  # while it was being started
                self._end({process})
            return await process.wait()
        finally:
            self._processes.discard(process)
            self._told.discard(process)

    async def _pause(self, number: int, code: int, quick: int, over: asyncio.Event) -> None:
        if self._folder is not None:
            click.echo(f"tieline: it ended with {code}; it is started again when a file changes", err=True)
            await over.wait()
            return
        seconds = min(_MOST_PAUSE_SECONDS, 0.5 * 2**quick) * random.uniform(0.5, 1.0)  # noqa: S311
        click.echo(f"tieline: worker {number} ended with {code}; it is started again in {seconds:.1f} s", err=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await over.wait()

    def _on_signal(self) -> None:
        now = time.monotonic()
        if self._stop.is_set():
            if now < self._same_until:
                return
            self._kill()
        self._stop.set()
        self._same_until = now + SAME_STOP_SECONDS
        self._end(self._processes)

    def _end(self, processes: set[asyncio.subprocess.Process]) -> None:
        """Ask processes to drain, each of them once: a second SIGTERM ends a process at once, with its calls."""
        for process in processes - self._told:
            self._told.add(process)
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    def _kill(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
