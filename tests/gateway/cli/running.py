"""A command that goes on until somebody ends it."""

from __future__ import annotations

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
        await self.spawn(self._cwd)
        try:
            await self.line(self._ready, seconds=SECONDS)
        except BaseException:
            await self.close()
            raise
        return self

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)
