"""A peer as a process: commands go in, answers and reports come out."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.conformance._contract.peer_pb2 import Answer, Command, Report

ROOT = Path(__file__).parents[3]
NODE_PEER = ROOT / "tests/conformance/peers/node/build/peer.js"
COMMANDS = {
    "python": [sys.executable, "-m", "tests.conformance.peers.python"],
    "node": ["node", str(NODE_PEER)],
}
_SAID = 4_000
_PIPE_BYTES = 1_048_576


class PeerDiedError(Exception):
    """A peer ended that should not have."""


class Peer:
    """One process. What its handlers report goes to whoever listens to the subscription."""

    def __init__(self, language: str, command: list[str] | None = None) -> None:
        self.language = language
        self._command = command or COMMANDS[language]
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._listeners: dict[str, Callable[[Report], None]] = {}
        self._numbers = 0
        self._said = b""
        self._died: PeerDiedError | None = None
        self.expected_to_die = False

    async def start(self) -> Self:
        """Start it and wait until it says hello.

        Raises:
            PeerDiedError: it ended instead, or is of another language.
        """
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TIELINE_", "REDIS_URL"))}
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**clean, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            start_new_session=True,
        )
        self._widen_pipe()
        atexit.register(self.kill)
        self._hello = asyncio.get_running_loop().create_future()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]
        async with asyncio.timeout(60):
            language = await self._hello
        if language != self.language:
            raise PeerDiedError(f"a peer for {self.language} says that it is {language}")
        return self

    def _widen_pipe(self) -> None:
        """A peer stands still, with all its event systems, while it has more to say than the pipe to here holds."""
        transport: Any = self._process._transport  # type: ignore[attr-defined]
        pipe = transport.get_pipe_transport(1).get_extra_info("pipe")
        with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux, or too much for this user
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def begin(self, command: Command) -> int:
        """Send a command; returns its number."""
        self._numbers += 1
        command.number = self._numbers
        data = command.SerializeToString()
        answer = self._answers[command.number] = asyncio.get_running_loop().create_future()
        if self._died is not None:
            answer.set_exception(self._died)
        elif self._process.stdin is not None:
            self._process.stdin.write(len(data).to_bytes(4, "big") + data)
        return command.number

    async def end(self, number: int) -> Answer:
        """The answer to a command."""
        answer = self._answers[number]
        try:
            return await asyncio.shield(answer)
        finally:
            if answer.done():
                self._answers.pop(number, None)

    async def ask(self, command: Command) -> Answer:
        """Send a command and wait for its answer."""
        return await self.end(self.begin(command))

    def listen(self, subscription: str, listener: Callable[[Report], None]) -> None:
        """Hear what a subscription's handlers report."""
        self._listeners[subscription] = listener

    def signal(self, number: signal.Signals) -> None:
        """As from outside: SIGKILL, SIGSTOP, SIGCONT."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)

    async def close(self) -> None:
        """End it, and be sure that it has ended."""
        self.expected_to_die = True
        self.kill()
        atexit.unregister(self.kill)
        await self._process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                size = int.from_bytes(await self._process.stdout.readexactly(4), "big")
                self._hear(Report.FromString(await self._process.stdout.readexactly(size)))
        await self._process.wait()
        if not self.expected_to_die:
            await asyncio.wait(self._tasks[1:], timeout=10)  # for its last words
        self._died = died = PeerDiedError(
            f"the {self.language} peer ended: {self._said.decode(errors='replace')[-_SAID:]}"
        )
        for future in [self._hello, *self._answers.values()]:
            if not future.done():
                future.set_exception(died)
                future.exception()  # it is no secret if nobody asks

    def _hear(self, report: Report) -> None:
        kind = report.WhichOneof("report")
        if kind == "hello":
            self._hello.set_result(report.hello.language)
        elif kind == "answer":
            future = self._answers.get(report.answer.number)
            if future is not None and not future.done():
                future.set_result(report.answer)
        else:
            listener = self._listeners.get(getattr(report, str(kind)).subscription)
            if listener:
                listener(report)

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(65_536):
            self._said = (self._said + data)[-_SAID:]
