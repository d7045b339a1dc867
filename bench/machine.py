"""The facts a reader needs to judge the figures: cores and versions, nothing that names the machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from tests.support.binaries import find_server, server_version

from bench.brokers import nats_binary
from bench.rows import NODE_MODULES

PYTHON_PACKAGES = ("uvloop", "hiredis", "msgpack", "protobuf", "grpcio", "nats-py", "faststream")
NODE_PACKAGES = {
    "@nats-io/transport-node": "nats.js",
    "moleculer": "moleculer",
    "bullmq": "bullmq",
    "ioredis": "ioredis",
}


def facts() -> dict[str, str]:
    """What this run depends on, by name."""
    found = {
        "machine": f"{platform.system()} {platform.machine()}, {_cores()} cores for all processes, {_processor()}",
        "broker": server_version(find_server()),
        "nats-server": _nats_version(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "node": _output(["node", "--version"]),
        "packages": ", ".join([*map(_package, PYTHON_PACKAGES), *map(_node_package, NODE_PACKAGES)]),
    }
    return {name: value for name, value in found.items() if value}


def busy() -> float:
    """How many cores' worth of work the machine did in the last minute, before we came."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return found.group(1) if found else platform.processor() or "processor unknown"


def _nats_version() -> str:
    try:
        return _output([str(nats_binary()), "--version"]).removeprefix("nats-server: ")
    except FileNotFoundError:
        return ""


def _package(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} not installed"


def _node_package(name: str) -> str:
    path = NODE_MODULES / name / "package.json"
    found = re.search(r'"version": "([^"]+)"', path.read_text()) if path.exists() else None
    return f"{NODE_PACKAGES[name]} {found.group(1) if found else 'not installed'}"


def _output(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
