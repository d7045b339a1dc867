"""`python -m examples.demo`: exit code 0 if all of it happened as expected."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import grpc.aio
from tests.support.processes import PeerFailed
from tests.support.servers import RedisServer

from examples.demo.scenes import SCENES, Scene, Unexpected
from examples.demo.stage import Stage, stage
from examples.node_package import NotBuilt

DIM, RED, BOLD, PLAIN = "2", "31", "1", "0"
TAIL = 15


async def main() -> bool:
    """Play the scenes twice; true if all went well."""
    _clean_up_on_sigterm()
    begun = time.perf_counter()
    print(_in(DIM, "\nLatency is the median of 20 calls, seen by the caller; failures and events are timed once."))
    well = await _round("Through a gateway with its own broker", "")
    with RedisServer() as server:
        well &= await _round(f"Over {_short(server.version)}, with a gateway before it for gRPC", server.url)
    took = time.perf_counter() - begun
    print(f"\nAll as expected, in {took:.1f} s." if well else _in(RED, "\nNot all of it happened as expected."))
    return well


async def _round(title: str, redis_url: str) -> bool:
    print(f"\n{_in(BOLD, title)}")
    try:
        async with stage(redis_url) as ready:
            well = [await _show(scene, ready) for scene in SCENES]
            if not all(well):
                print(f"\nWhat the services printed:\n{ready.said(TAIL)}")
            return all(well)
    except Exception as failure:
        print(_in(RED, f"  FAILED before the first line: {_told(failure)}"))
        return False


async def _show(scene: Scene, ready: Stage) -> bool:
    start = f"  {scene.who:<18} {scene.topic:<15} "
    try:
        shown = await scene.play(ready)
    except Exception as failure:
        print(start + _in(RED, f"FAILED: {_told(failure)}"))
        return False
    print(f"{start}{shown.text:<50} {_in(DIM, f'{shown.milliseconds:7.1f} ms')}", flush=True)
    return True


def _told(failure: Exception) -> str:
    """What went wrong: in our own words, or as the exception has it; of what a process printed, the end."""
    if isinstance(failure, grpc.aio.AioRpcError):
        return f"{failure.code().name}: {failure.details()}"
    text = str(failure) if isinstance(failure, (Unexpected, PeerFailed, NotBuilt)) else repr(failure)
    return "\n".join(text.splitlines()[-TAIL:])


def _clean_up_on_sigterm() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _in(style: str, text: str) -> str:
    """The text in a style, where that can be seen and is wanted."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{style}m{text}\x1b[{PLAIN}m"


def _short(version: str) -> str:
    """'Valkey server v=9.1.2' as people write it."""
    return version.replace(" server v=", " ")


if __name__ == "__main__":
    try:
        sys.exit(0 if asyncio.run(main()) else 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
