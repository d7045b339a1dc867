"""Peer processes: programs in Python or Node that a test starts, freezes and kills."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.nursery import Begun, begin

READY = "READY"


class PeerFailed(Exception):
    """A peer ended, or did not say what was expected of it in time."""


class Peer:
    """One program in a session of its own.

    It prints a line that begins with READY once it can be used; `start` waits for that. All it prints is kept in
    `output`. Leaving `async with` kills it and everything it started, also when it is frozen.
    """

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None, ready_seconds: float = 40.0) -> None:
        self.command = [str(part) for part in command]
        self.output: list[str] = []
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self.ready_seconds = ready_seconds
        self._process: Begun | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self._silent = False

    @classmethod
    def python(cls, script: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Self:
        """A peer that runs a Python script with this interpreter."""
        return cls(sys.executable, script, *arguments, env=env)

    @classmethod
    def node(cls, script: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Self:
        """A peer that runs a compiled JavaScript file."""
        return cls("node", "--enable-source-maps", script, *arguments, env=env)

    @property
    def pid(self) -> int:
        """Process id; the process leads its own group of the same number."""
        return self._running().pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._running().returncode

    async def start(self) -> Self:
        """Start it and wait for its READY line.

        Raises:
            PeerFailed: it ended first, or was not ready in time; the message holds what it printed.
        """
        await self.spawn()
        try:
            await self.line(rf"^{READY}", seconds=self.ready_seconds)
        except BaseException:
            await self.close()
            raise
        return self

    async def spawn(self, cwd: Path | None = None) -> None:
        """Start it, and do not wait."""
        self._process = await begin(
            *self.command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
            cwd=cwd,
            start_new_session=True,
        )
        atexit.register(self.kill)
        self._reading = asyncio.create_task(self._read())

    async def line(self, pattern: str, *, seconds: float = 30.0) -> str:
        """The first line it printed, or will print, that matches the pattern.

        Raises:
            PeerFailed: it ended without, or `seconds` passed.
        """
        try:
            async with asyncio.timeout(seconds), self._news:
                while (found := self._find(pattern)) is None:
                    if self._silent:
                        raise PeerFailed(f"{self} ended without a line like {pattern!r}:\n{self.text}")
                    await self._news.wait()
                return found
        except TimeoutError:
            raise PeerFailed(f"{self} printed no line like {pattern!r} within {seconds} s:\n{self.text}") from None

    @property
    def text(self) -> str:
        """All it printed so far."""
        return "\n".join(self.output)

    def kill(self) -> None:
        """End it and everything it started at once, as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Freeze it (SIGSTOP): its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on after `stop` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def wait(self, *, seconds: float = 30.0) -> int:
        """Its exit code, once it has ended.

        Raises:
            PeerFailed: it still runs after `seconds`.
        """
        process = self._running()
        try:
            async with asyncio.timeout(seconds):
                return await process.wait()
        except TimeoutError:
            raise PeerFailed(f"{self} still runs after {seconds} s:\n{self.text}") from None

    async def close(self) -> None:
        """Kill what is left of it and read the rest of its output."""
        if self._process is None:
            return
        self.kill()
        atexit.unregister(self.kill)
        await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __str__(self) -> str:
        return f"peer {' '.join(self.command)}"

    async def _read(self) -> None:
        stream = self._running().stdout
        assert stream is not None
        async for line in stream:
            async with self._news:
                self.output.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._silent = True
            self._news.notify_all()

    def _find(self, pattern: str) -> str | None:
        return next((line for line in self.output if re.search(pattern, line)), None)

    def _running(self) -> Begun:
        if self._process is None:
            raise PeerFailed(f"{self} was never started")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running().pid, number)


class Program(Peer):
    """A program as anybody would start it: it announces nothing."""

    async def line(self, pattern: str, *, seconds: float = 30.0) -> str:
        """See `Peer.line`."""
        return "" if pattern == f"^{READY}" else await super().line(pattern, seconds=seconds)


def children(pid: int) -> list[int]:
    """The processes it started."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()
