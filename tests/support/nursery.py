"""Python programs that need not load what every one of them loads: they are forked off one that has done so.

To load the gateway or a command takes an interpreter half a second or more of work, to fork one that has loaded them
some hundredths. What begins here is a process like any other: its own id, session, folder, environment and pipes,
and it ends as the interpreter ends. A nursery belongs to one process of pytest, and ends with it.

Outside of pytest, where the benchmark measures programs and the demo shows them, all are started as a shell would.
What the interpreter itself reads at its start cannot be changed in a fork: a program with other such settings is none
either, nor is any if TEST_FORK=0.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

_LIMIT = 1 << 20
_ROOT = Path(__file__).resolve().parents[2]
_CHANGEABLE = {"PYTHONUNBUFFERED"}


class Begun(Protocol):
    """What `begin` returns: as much of `asyncio.subprocess.Process` as tests use."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        ...

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """What it prints, where that goes into a pipe."""
        ...

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        ...

    async def communicate(self, input: bytes | None = None) -> tuple[bytes, bytes]:
        """Write to its stdin, and return what it printed on stdout and stderr until its end."""
        ...


def open_nursery() -> None:
    """From now on this process forks its programs, unless TEST_FORK=0; those it starts do not fork theirs."""
    if os.environ.get("TEST_FORK") != "0":
        os.environ["TEST_FORK"] = str(os.getpid())


async def begin(
    *command: str,
    env: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    cwd: str | Path | None = None,
    start_new_session: bool = False,
) -> Begun:
    """`asyncio.create_subprocess_exec`; a fork, where there is a nursery, of `python -m MODULE` and `python SCRIPT`."""
    if not _can_be_forked(command, env):
        return await asyncio.create_subprocess_exec(
            *command, env=env, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd,
            start_new_session=start_new_session, limit=_LIMIT,
        )  # fmt: skip
    order = {"arguments": command[1:], "env": dict(env), "cwd": str(cwd or Path.cwd()), "session": start_new_session}
    return await _Forked().start(order, stdin, stdout, stderr)


def _can_be_forked(command: Sequence[str], env: Mapping[str, str]) -> bool:
    if os.environ.get("TEST_FORK") != str(os.getpid()) or command[0] != sys.executable or len(command) < 2:
        return False
    is_program = command[1] == "-m" if command[1].startswith("-") else Path(command[1]).suffix == ".py"
    return is_program and _read_at_the_start(env) == _read_at_the_start(os.environ)


def _read_at_the_start(env: Mapping[str, str]) -> dict[str, str]:
    names = [name for name in env if name.startswith(("PYTHON", "LC_", "LANG", "LD_"))]
    return {name: env[name] for name in names if name not in _CHANGEABLE}


class _Forked:
    """A program of the nursery."""

    def __init__(self) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.stdout: asyncio.StreamReader | None = None
        self._stdin: int | None = None
        self._stderr: asyncio.StreamReader | None = None

    async def start(self, order: Mapping[str, Any], stdin: int, stdout: int | None, stderr: int | None) -> Self:
        """Have it forked, and return once it has begun."""
        with contextlib.ExitStack() as given:
            news, told = _pipe(given)
            theirs = self._input(stdin, given)
            self.stdout, out = await _output(stdout, 1, given)
            self._stderr, err = (None, out) if stderr == subprocess.STDOUT else await _output(stderr, 2, given)
            socket.send_fds(_nursery(), [json.dumps(order).encode()], [theirs, out, err, told])
        reader = await _reader(news)
        self.pid = int(await reader.readline() or _gone())
        self._end = asyncio.ensure_future(self._wait_for(reader))
        return self

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    async def communicate(self, input: bytes | None = None) -> tuple[bytes, bytes]:
        out, err, _ = await asyncio.gather(_all_of(self.stdout), _all_of(self._stderr), self._feed(input or b""))
        await self.wait()
        return out, err

    async def _wait_for(self, reader: asyncio.StreamReader) -> int:
        self.returncode = int(await reader.readline() or _gone())
        await reader.read()  # to its end, so that the pipe is closed
        return self.returncode

    def _input(self, stdin: int, given: contextlib.ExitStack) -> int:
        """What the program gets as its stdin."""
        if stdin != subprocess.PIPE:
            return _nothing(given) if stdin == subprocess.DEVNULL else stdin
        theirs, self._stdin = os.pipe()
        given.callback(os.close, theirs)
        return theirs

    async def _feed(self, text: bytes) -> None:
        if self._stdin is not None:
            await asyncio.to_thread(_write_all, self._stdin, text)


async def _output(
    wanted: int | None, ours: int, given: contextlib.ExitStack
) -> tuple[asyncio.StreamReader | None, int]:
    """What we read, and what the program gets as its stdout or stderr."""
    if wanted == subprocess.PIPE:
        news, theirs = _pipe(given)
        return await _reader(news), theirs
    if wanted == subprocess.DEVNULL:
        return None, _nothing(given)
    return None, ours if wanted is None else wanted


def _pipe(given: contextlib.ExitStack) -> tuple[int, int]:
    """Where to read and to write; we close the latter when the program has it."""
    ours, theirs = os.pipe()
    given.callback(os.close, theirs)
    return ours, theirs


def _nothing(given: contextlib.ExitStack) -> int:
    number = os.open(os.devnull, os.O_RDWR)
    given.callback(os.close, number)
    return number


def _write_all(pipe: int, text: bytes) -> None:
    with os.fdopen(pipe, "wb", buffering=0) as file, contextlib.suppress(BrokenPipeError):
        while text:
            text = text[file.write(text) or 0 :]


async def _reader(pipe: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", buffering=0))
    return reader


async def _all_of(reader: asyncio.StreamReader | None) -> bytes:
    return b"" if reader is None else await reader.read()


def _gone() -> int:
    raise AssertionError("the nursery has ended; what it printed is on stderr")


@functools.cache
def _nursery() -> socket.socket:
    """The way to the nursery of this process, which starts at first use and ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.nursery_process", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        cwd=_ROOT,
        start_new_session=True,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
