"""The process behind `tests.support.nursery`: loads what programs need, and forks one for each order.

An order comes with four files: stdin, stdout and stderr of the program, and a pipe that is told its process id when it
begins and its exit code when it has ended, a line each.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tieline_gateway import cli

_LARGEST = 1 << 18
_FILES = 4


LOADED = ("tieline.transports.redis", "tieline.transports.grpc", "tieline.history.sqlite_store")


def load() -> None:
    """Import what most programs need. None of it may start a thread: those are not in a fork."""
    commands = (f"tieline_gateway.cli.{module.name}" for module in pkgutil.iter_modules(cli.__path__))
    for name in (*LOADED, *commands):
        importlib.import_module(name)
    threads = list(Path("/proc/self/task").iterdir())
    assert len(threads) == 1, f"{len(threads)} threads after loading"


class Nursery:
    """Waits for orders, and for the ends of those it started."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._told: dict[int, int] = {}
        self._wake, wakes = socket.socketpair()
        self._wakes = wakes
        wakes.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def run(self) -> dict[str, Any] | None:
        """Serve; returns None once nobody orders any more, and in each child the order to carry out."""
        signal.signal(signal.SIGCHLD, _wake)
        signal.set_wakeup_fd(self._wakes.fileno())
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._wake in ready:
                self._wake.recv(4096)
                self._reap()
            if self._orders in ready:
                text, files, _, _ = socket.recv_fds(self._orders, _LARGEST, _FILES)
                if not text:
                    return None
                order = json.loads(text)
                if self._fork(files) == 0:
                    return order

    def _fork(self, files: list[int]) -> int:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._take(files)
            return 0
        *given, told = files
        for number in given:
            os.close(number)
        self._told[pid] = told
        _tell(told, pid)
        return pid

    def _take(self, files: list[int]) -> None:
        """Make the given files our stdin, stdout and stderr, and close all others."""
        for number, file in enumerate(files[:3]):
            os.dup2(file, number)
        self._selector.close()
        for sock in (self._orders, self._wake, self._wakes):
            sock.detach()
        os.closerange(3, max(int(file.name) for file in Path("/proc/self/fd").iterdir()) + 1)

    def _reap(self) -> None:
        while self._told:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            told = self._told.pop(pid)
            _tell(told, os.waitstatus_to_exitcode(status))
            os.close(told)


def _wake(_number: int, _frame: object) -> None:
    """A signal that is handled writes to the wake-up socket."""


def _tell(pipe: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the test has ended
        os.write(pipe, b"%d\n" % number)


def become(order: dict[str, Any]) -> None:
    """Be the program, as the interpreter would have it begin."""
    if order["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    os.chdir(order["cwd"])
    _open_standard_files()
    program, *arguments = order["arguments"]
    if program == "-m":
        sys.path[0] = order["cwd"]
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program).resolve().parent)
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")


def _open_standard_files() -> None:
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = _writer(1, at_once, "strict")
    sys.stderr = sys.__stderr__ = _writer(2, True, "backslashreplace")


def _writer(number: int, at_once: bool, errors: str) -> io.TextIOWrapper:
    file = os.fdopen(number, "w", errors=errors, closefd=False)
    file.reconfigure(line_buffering=at_once or file.isatty(), write_through=at_once)
    return file


def main() -> None:
    """Load, serve, and in a child be the program."""
    load()
    gc.collect()
    gc.freeze()
    order = Nursery(socket.socket(fileno=int(sys.argv[1]))).run()
    if order is not None:
        become(order)


if __name__ == "__main__":
    main()
