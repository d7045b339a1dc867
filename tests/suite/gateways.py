"""A real `tieline up` as a process of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from typing import Self

START_SECONDS = 40.0
_HERE = ("--listen", "127.0.0.1:0", "--http", "none")


class GatewayProcess:
    """One gateway on a port of its own, for as many tests as want it; so it is not bound to an event loop."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._lines: queue.Queue[str] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TIELINE_", "REDIS_URL"))}
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tieline_gateway",
                "up",
                "--listen",
                "127.0.0.1:0",
                "--http",
                "none",
                *self._options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        atexit.register(self.close)
        threading.Thread(target=self._read, daemon=True).start()
        self.url = f"grpc://{self._address()}"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it."""
        atexit.unregister(self.close)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _address(self) -> str:
        said: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=START_SECONDS)
            except queue.Empty:
                raise AssertionError(f"the gateway did not say where it serves: {said}") from None
            said.append(line)
            found = re.search(r"serving gRPC on (\S+)", line)
            if found:
                return found[1]

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
