"""What HTTP clients see of a gateway that is about to stop: they are told to leave, before anything is closed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.gateway.http.raw import connect
from tests.gateway.up import Up, WebClient
from tests.support.servers import RedisServer

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"


async def test_connections_end_with_their_next_answer_and_what_has_begun_is_answered(
    stack: AsyncExitStack, redis_server: RedisServer
) -> None:
    up = await stack.enter_async_context(Up("--url", redis_server.url, "--farewell", "3", http=True))
    web = await stack.enter_async_context(WebClient(up))
    kept, half = await connect(up.web), await connect(up.web)
    await kept.send(REQUEST + b"\r\n")
    assert "connection" not in (await kept.answer()).headers
    up.terminate()
    async with asyncio.timeout(30):
        while (await web.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.02)
    await kept.send(REQUEST + b"\r\n")
    told = await kept.answer()
    assert (told.status, told.headers["connection"]) == (200, "close")
    await kept.closed()
    assert (await web.get("/healthz")).headers["connection"] == "close"  # new ones are still taken
    await half.send(REQUEST)
    await asyncio.sleep(3.5)  # the farewell is over, and what is idle is closed
    await half.send(b"\r\n")
    told = await half.answer()
    assert (told.status, told.headers["connection"]) == (200, "close")
    assert await up.wait() == 0
    for raw in (kept, half):
        raw.close()
