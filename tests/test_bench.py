"""The benchmark: what it leaves behind when it is stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.suite.seen import until
from tests.support.processes import Program, alive, children

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 3  # the server, who answers, who calls


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_benchmark_that_is_stopped_leaves_no_process_behind(number: signal.Signals) -> None:
    command = (sys.executable, "-m", "bench", "--rows", "tieline-python", "--seconds", "60")
    async with Program(*command, env={"PYTHONPATH": str(ROOT)}) as bench:
        await until(lambda: len(children(bench.pid)) >= PROCESSES, 20.0, lambda: bench.text)
        started = children(bench.pid)
        os.kill(bench.pid, number)
        assert await bench.wait() == 130, bench.text
        assert not [pid for pid in started if alive(pid)]
