"""Peer processes: ready when they say so, frozen and killed on demand, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.processes import Peer, PeerFailed

TICKING = """
import sys, time
print("warming up", flush=True)
print("READY", *sys.argv[1:], flush=True)
for number in range(1000):
    print("tick", number, flush=True)
    time.sleep(0.02)
"""

PARENT = """
import subprocess, time
child = subprocess.Popen(["sleep", "60"])
print("child", child.pid, flush=True)
print("READY", flush=True)
time.sleep(60)
"""


def script(folder: Path, source: str, name: str = "peer.py") -> Path:
    path = folder / name
    path.write_text(source)
    return path


def gone(pid: int) -> bool:
    """The process has ended; one that only waits to be reaped counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_it_is_ready_when_it_says_so(tmp_path: Path) -> None:
    async with Peer.python(script(tmp_path, TICKING), "one", env={"ANY": "1"}) as peer:
        assert peer.output[:2] == ["warming up", "READY one"]
        assert peer.returncode is None
        assert await peer.line(r"tick 3$") == "tick 3"


async def test_a_node_peer(tmp_path: Path) -> None:
    source = 'console.log("READY", process.env.GREETING); setInterval(() => {}, 1000);'
    async with Peer.node(script(tmp_path, source, "peer.mjs"), env={"GREETING": "hi"}) as peer:
        assert peer.text == "READY hi"


async def test_killed_it_is_gone_at_once(tmp_path: Path) -> None:
    async with Peer.python(script(tmp_path, TICKING)) as peer:
        peer.kill()
        assert await peer.wait() == -signal.SIGKILL


async def test_terminated_it_may_end_in_its_own_way(tmp_path: Path) -> None:
    source = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + TICKING
    async with Peer.python(script(tmp_path, source)) as peer:
        peer.terminate()
        assert await peer.wait() == 7


async def test_stopped_it_stands_still_until_it_goes_on(tmp_path: Path) -> None:
    async with Peer.python(script(tmp_path, TICKING)) as peer:
        peer.stop()
        printed = -1
        while printed != len(peer.output):  # until what it had printed is read
            printed = len(peer.output)
            await asyncio.sleep(0.3)
        peer.cont()
        await peer.line(rf"tick {printed + 2}$")
        assert printed < 900, "it went on to its end"


async def test_closing_ends_a_frozen_peer_and_its_children(tmp_path: Path) -> None:
    async with Peer.python(script(tmp_path, PARENT)) as peer:
        child = int((await peer.line("child")).split()[1])
        pid = peer.pid
        assert not gone(child)
        peer.stop()
    async with asyncio.timeout(20):
        while not (gone(pid) and gone(child)):
            await asyncio.sleep(0.01)


async def test_one_that_ends_before_it_is_ready_says_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(PeerFailed, match="no such thing"):
        await Peer.python(script(tmp_path, "raise SystemExit('no such thing')")).start()


async def test_one_that_is_never_ready_is_killed(tmp_path: Path) -> None:
    peer = Peer.python(script(tmp_path, "import time\nprint('busy', flush=True)\ntime.sleep(60)"))
    peer.ready_seconds = 3.0
    with pytest.raises(PeerFailed, match=r"within 3\.0 s:\nbusy"):
        await peer.start()
    assert gone(peer.pid)


async def test_waiting_for_one_that_runs_on_is_an_error(tmp_path: Path) -> None:
    async with Peer.python(script(tmp_path, TICKING)) as peer:
        with pytest.raises(PeerFailed, match="still runs"):
            await peer.wait(seconds=0.1)


async def test_one_that_was_never_started_cannot_be_asked() -> None:
    with pytest.raises(PeerFailed, match="never started"):
        _ = Peer("sleep", "1").pid
