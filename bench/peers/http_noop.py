"""A bare Starlette application on uvicorn that answers 202 to everything: what HTTP itself costs in Python."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.peers.load import play


async def serve(url: str) -> None:
    """Serve until killed."""

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(b"{}", 202, media_type="application/json")

    app = Starlette(routes=[Route("/v1/events", answer, methods=["POST"])])
    port = urlsplit(url).port or 0
    config = uvicorn.Config(app, port=port, lifespan="off", ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("READY", flush=True)
    await serving


if __name__ == "__main__":
    play(serve=serve)
