"""Both clients do their work through a gateway with rules: no more is asked of them than the rules for their topics."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.gateway.access import redis_work
from tests.gateway.access.people import Town, token_of
from tieline import EventSystem, Settings

MINE = "".join(f'{action} = ["acl.>"]\n' for action in ("publish", "subscribe", "call", "serve"))
PEOPLE = {"worker": MINE, "keeper": MINE + 'admin = [">"]\n'}
ROOT = Path(__file__).parents[3]
SECONDS = 120.0


async def test_python(stack: AsyncExitStack, tmp_path: Path) -> None:
    town = await Town(stack, tmp_path, PEOPLE).open()

    async def system(name: str) -> EventSystem:
        url = f"grpc://:{token_of(name)}@{town.up.address}"
        return await stack.enter_async_context(EventSystem(url, service=name, settings=Settings(drain=0.1)))

    keeper, worker = await system("keeper"), await system("worker")
    await redis_work.live(keeper, worker)
    await redis_work.durable(keeper, worker)
    await redis_work.planned(keeper)


async def test_node(stack: AsyncExitStack, tmp_path: Path) -> None:
    town = await Town(stack, tmp_path, PEOPLE).open()
    process = await asyncio.create_subprocess_exec(
        "node",
        str(ROOT / "tests/gateway/access/redis_work.mjs"),
        *(f"grpc://:{token_of(name)}@{town.up.address}" for name in ("keeper", "worker")),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
