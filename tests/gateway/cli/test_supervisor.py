"""What keeps several processes: how it asks them to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tieline_gateway.cli.supervisor import Supervisor

WORKERS = 6
COUNTS = """
import os, pathlib, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
pathlib.Path(f"{os.getpid()}.ready").touch()
told = 0
while signal.sigtimedwait({signal.SIGTERM}, 1.0 if told else 60.0):
    told += 1
pathlib.Path(f"{os.getpid()}.told").write_text(str(told))
"""


def read(folder: Path, what: str) -> list[str]:
    """What the processes wrote into their files of this kind."""
    return [path.read_text() for path in folder.glob(f"*.{what}")]


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_process_is_asked_to_drain_once(tmp_path: Path, signals: int) -> None:
    program = f"import os; os.chdir({str(tmp_path)!r})\n{COUNTS}"
    supervisor = asyncio.create_task(Supervisor([sys.executable, "-c", program], WORKERS, None).run())
    async with asyncio.timeout(30):
        while len(read(tmp_path, "ready")) < WORKERS:
            await asyncio.sleep(0.05)
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)  # so that they are two, even to the operating system
        assert await supervisor == 0
    assert read(tmp_path, "told") == ["1"] * WORKERS
