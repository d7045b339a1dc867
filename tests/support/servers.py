"""A private Redis or Valkey server: its own process, port and directory, and nobody else's data."""

from __future__ import annotations

import atexit
import contextlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tests.support.binaries import find_server, server_version

START_SECONDS = 30.0
STOP_SECONDS = 5.0


class ServerFailed(Exception):
    """A private server did not start, or did not answer."""


class RedisServer:
    """One server on 127.0.0.1 and on a unix socket.

    It keeps its port and its directory from the first `start` to `close`, so that clients can reconnect after a
    `restart` or a `kill` and `start`. Without `persist` a restart begins empty; with it every write is on disk first.
    Starting and stopping are synchronous and usually take a few milliseconds.
    """

    def __init__(
        self,
        *,
        binary: Path | None = None,
        password: str | None = None,
        persist: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self.binary = binary or find_server()
        self.password = password
        self.port = 0
        self._persist = persist
        self._options = tuple(options)
        self._directory = tempfile.TemporaryDirectory(prefix="tieline-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    # --- where it is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Address over TCP, database 0, with the password where there is one."""
        return f"redis://{self._user_info()}127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The same server over its unix socket."""
        return f"unix://{self._user_info()}{self.unix_path}?db=0"

    @property
    def unix_path(self) -> Path:
        """The server's unix socket."""
        return self.directory / "redis.sock"

    @property
    def directory(self) -> Path:
        """Where the server keeps its log and its data."""
        return Path(self._directory.name)

    @property
    def version(self) -> str:
        """What the binary says it is."""
        return server_version(self.binary)

    @property
    def pid(self) -> int | None:
        """Process id while it runs, paused or not."""
        return self._process.pid if self._process and self._process.poll() is None else None

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it and return once it answers PING.

        Raises:
            ServerFailed: it ended, or did not answer in time; the message holds the end of its log.
        """
        if self.pid is not None:
            raise ServerFailed("already running")
        attempts = 1 if self.port else 5  # another process may take a free port before the server does
        for attempt in range(attempts):
            port = self.port or _free_port()
            self._spawn(port)
            try:
                self._await_ready(port)
            except ServerFailed:
                self.kill()
                if attempt + 1 == attempts or "in use" not in self.log():
                    raise
            else:
                self.port = port
                return self
        raise ServerFailed("no free port")

    def stop(self) -> None:
        """Ask it to end and wait; after five seconds it is killed. Its directory stays."""
        if self._process is None:
            return
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def restart(self) -> None:
        """Stop it and start it again on the same port, in the same directory."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove its directory."""
        atexit.unregister(self.close)
        self.stop()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- talking to it ----------------------------------------------------------------------------------------------

    def command(self, *parts: str, timeout: float = 5.0) -> str:
        """Send one command on a connection of its own and return the first line of the reply, such as '+OK'.

        Raises:
            OSError: it cannot be reached, or `timeout` seconds passed.
        """
        return self._ask(self.port, parts, timeout)

    def flush(self) -> None:
        """Remove all data.

        Raises:
            ServerFailed: it refused.
        """
        reply = self.command("FLUSHALL")
        if reply != "+OK":
            raise ServerFailed(f"FLUSHALL: {reply}")

    def log(self) -> str:
        """What the server wrote so far."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- inside -----------------------------------------------------------------------------------------------------

    def _spawn(self, port: int) -> None:
        arguments = ["--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(self.unix_path)]
        arguments += ["--dir", str(self.directory), "--save", "", "--daemonize", "no"]
        arguments += ["--appendonly", "yes", "--appendfsync", "always"] if self._persist else ["--appendonly", "no"]
        arguments += ["--requirepass", self.password] if self.password else []
        with (self.directory / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [self.binary, *arguments, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_ready(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.pid is None:
                raise ServerFailed(f"{self.binary} ended at once:\n{self.log()[-2000:]}")
            with contextlib.suppress(OSError):
                # A server of somebody else, who was first at this port, answers too.
                if self._ask(port, ("PING",), timeout=1.0) == "+PONG" and "Ready to accept" in self.log():
                    return
            time.sleep(0.005)
        raise ServerFailed(f"{self.binary} did not answer within {START_SECONDS} s:\n{self.log()[-2000:]}")

    def _ask(self, port: int, parts: Sequence[str], timeout: float) -> str:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection, connection.makefile("rb") as replies:
            if self.password:
                connection.sendall(_encode(("AUTH", self.password)))
                replies.readline()
            connection.sendall(_encode(parts))
            return replies.readline().decode(errors="replace").rstrip("\r\n")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _user_info(self) -> str:
        return f":{self.password}@" if self.password else ""


@contextlib.contextmanager
def paused(server: RedisServer) -> Iterator[RedisServer]:
    """The server stands still inside the block and goes on after it."""
    server.pause()
    try:
        yield server
    finally:
        server.resume()


def _encode(parts: Sequence[str]) -> bytes:
    items = [part.encode() for part in parts]
    return b"*%d\r\n" % len(items) + b"".join(b"$%d\r\n%b\r\n" % (len(item), item) for item in items)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
