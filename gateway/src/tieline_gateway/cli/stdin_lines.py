"""Lines of stdin as they come, without standing in the way of the loop, or of Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator

_STDIN = 0
_READ_BYTES = 65_536
_AHEAD = 16


async def read_lines(most: int) -> AsyncIterator[list[bytes]]:
    """Lines of stdin that are not empty, with those that arrived meanwhile: up to `most` at a time."""
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes] = asyncio.Queue(_AHEAD)
    threading.Thread(target=_read, args=(loop, blocks), daemon=True).start()
    rest, block = b"", b"."
    while block:
        block = await blocks.get()
        *lines, rest = (rest + block).split(b"\n") if block else (rest, b"")
        whole = [line for line in lines if line.strip()]
        for first in range(0, len(whole), most):
            yield whole[first : first + most]


def _read(loop: asyncio.AbstractEventLoop, blocks: asyncio.Queue[bytes]) -> None:
    """In a thread of its own, which nobody waits for: a terminal may say nothing for ever."""
    block = b"."
    while block:
        try:
            block = os.read(_STDIN, _READ_BYTES)
            asyncio.run_coroutine_threadsafe(blocks.put(block), loop).result()
        except (OSError, RuntimeError):  # stdin is closed, or the loop is
            block = b""
