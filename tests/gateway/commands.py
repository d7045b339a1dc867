"""`tieline …` as a process: what it prints into a pipe, and on a terminal of so many columns."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import sys
import termios
from typing import NamedTuple

from tests.support.nursery import begin

SECONDS = 60.0
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class Printed(NamedTuple):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stdout, without colours."""
        return _ESCAPE.sub("", self.out).splitlines()


def environment(env: dict[str, str]) -> dict[str, str]:
    """Ours, without what would say where to go."""
    theirs = {name: "" for name in os.environ if name.startswith(("TIELINE_", "REDIS_URL"))}
    return {**os.environ, **theirs, "TZ": "UTC", "COLUMNS": "", "NO_COLOR": "", "TERM": "xterm-256color", **env}


async def command(*arguments: str, stdin: bytes | None = None, **env: str) -> Printed:
    """Run it with pipes; nothing is at its stdin unless given."""
    process = await begin(
        sys.executable, "-m", "tieline_gateway", *arguments,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environment(env),
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(stdin)
    assert b"Traceback" not in err, err.decode()
    return Printed(process.returncode or 0, out.decode(), err.decode())


async def on_terminal(columns: int, *arguments: str, **env: str) -> Printed:
    """Run it on a terminal; stdout and stderr are the same there."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = await begin(
        sys.executable, "-m", "tieline_gateway", *arguments,
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment(env), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    reading = asyncio.to_thread(_read_all, ours)
    async with asyncio.timeout(SECONDS):
        out, code = await asyncio.gather(reading, process.wait())
    return Printed(code, out.replace("\r\n", "\n"), "")


def _read_all(terminal: int) -> str:
    said = b""
    with open(terminal, "rb", buffering=0) as source:
        while True:
            try:
                part = source.read(4096)
            except OSError:  # how Linux says that nobody holds the other end any more
                part = b""
            if not part:
                return said.decode()
            said += part
