"""Waiting for somebody to change a program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

_LOOK_SECONDS = 0.5
_NOT_OURS = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "build", "dist"})


async def changed(folder: Path) -> None:
    """Return when a Python file below a folder is written, made or removed, and the writing has stopped."""
    before = await asyncio.to_thread(_times, folder)
    while (now := await _later(folder)) == before:
        pass
    while (after := await _later(folder)) != now:
        now = after


async def _later(folder: Path) -> dict[str, int]:
    await asyncio.sleep(_LOOK_SECONDS)
    return await asyncio.to_thread(_times, folder)


def _times(folder: Path) -> dict[str, int]:
    return dict(_files(str(folder)))


def _files(folder: str) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # it went meanwhile
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _NOT_OURS and not entry.name.startswith("."):
                    yield from _files(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path, entry.stat().st_mtime_ns
        except OSError:
            continue
