"""A command that goes on until somebody ends it."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Self

from tests.gateway.commands import SECONDS, environment
from tests.support.processes import Peer


class Running(Peer):
    """`tieline …` in a process of its own; `out` and `err` are apart. It has begun once it says `ready`."""

    def __init__(self, *arguments: str, ready: str, cwd: Path | None = None, **env: str) -> None:
        super().__init__(sys.executable, "-m", "tieline_gateway", *arguments, env=environment(env))
        self._ready = ready
        self._cwd = cwd

    async def start(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
        )
        atexit.register(self.kill)
        self._reading = asyncio.create_task(self._read())
        try:
            await self.line(self._ready, seconds=SECONDS)
        except BaseException:
            await self.close()
            raise
        return self

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)
