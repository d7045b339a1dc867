"""A program that answers calls: JSON on its stdin, the reply on its stdout."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from tieline._contract.contract import LIMIT_PAYLOAD_BYTES
from tieline.context import Event
from tieline.errors import HandlerError
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.plain import json_text

_TAIL_BYTES = 65_536
_BLOCK_BYTES = 65_536


class CommandFailed(HandlerError):
    """The program did not reply; the message says why."""


class Program:
    """Runs it once for each call, without a shell. What it starts ends with it.

    Args:
        words: the program and its arguments.
        timeout: seconds it may take.
        text: what it prints is text, without the last end of line; otherwise JSON.

    """

    def __init__(self, words: Sequence[str], timeout: float, *, text: bool) -> None:
        self._words = words
        self._timeout = timeout
        self._text = text

    async def answer(self, data: Any, event: Event) -> Any:
        """The reply to a payload.

        Raises:
            CommandFailed: it ended with another code than 0, took too long, or printed what is no reply.

        """
        process = await asyncio.create_subprocess_exec(
            *self._words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | _environment(event),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._timeout):
                printed, complaint = await _talk(process, json_text(data).encode())
        except TimeoutError:
            raise CommandFailed(f"{self._words[0]} took longer than {self._timeout:g} s") from None
        finally:
            _end(process)
        return self._reply(process.returncode, printed, complaint)

    def _reply(self, code: int | None, printed: bytes, complaint: bytes) -> Any:
        if code:
            lines = complaint.decode(errors="replace").strip().splitlines()
            raise CommandFailed(visible(lines[-1]) if lines else f"{self._words[0]} ended with {code}")
        text = printed.decode(errors="replace")
        if self._text:
            return text.removesuffix("\n").removesuffix("\r")
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise CommandFailed(f"{self._words[0]} printed no JSON; reply --text takes text") from None


async def _talk(process: asyncio.subprocess.Process, payload: bytes) -> tuple[bytes, bytes]:
    """Give it the payload; returns what it printed and complained of, which is also shown."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    writing = asyncio.create_task(_write(process.stdin, payload))
    complaining = asyncio.create_task(_tail(process.stderr))
    try:
        printed = await _read(process.stdout)
        complaint = await complaining
        await process.wait()
    finally:
        writing.cancel()
        complaining.cancel()
    sys.stderr.write(visible_lines(complaint))
    return printed, complaint


async def _write(stdin: asyncio.StreamWriter, payload: bytes) -> None:
    with contextlib.suppress(OSError):  # it need not read it
        stdin.write(payload)
        await stdin.drain()
        stdin.close()


async def _read(stdout: asyncio.StreamReader) -> bytes:
    printed = bytearray()
    while block := await stdout.read(_BLOCK_BYTES):
        printed += block
        if len(printed) > LIMIT_PAYLOAD_BYTES:
            raise CommandFailed(f"it printed more than {LIMIT_PAYLOAD_BYTES:,} bytes")
    return bytes(printed)


async def _tail(stderr: asyncio.StreamReader) -> bytes:
    """The end of what it complained of."""
    complaint = b""
    while block := await stderr.read(_BLOCK_BYTES):
        complaint = (complaint + block)[-_TAIL_BYTES:]
    return complaint


def _end(process: asyncio.subprocess.Process) -> None:
    """End it, with all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment(event: Event) -> dict[str, str]:
    told = {"TOPIC": event.topic, "CORRELATION_ID": event.correlation_id, "SOURCE": event.source}
    return {f"TIELINE_{name}": value.replace("\0", "") for name, value in told.items()}


def visible_lines(text: bytes) -> str:
    """Lines of a program, without what a terminal would obey."""
    lines = text.decode(errors="replace").splitlines()
    return "".join(f"{visible(line)}\n" for line in lines)
