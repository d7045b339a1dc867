"""A real HTTP or HTTPS server that webhooks are sent to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Self

import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from tests.gateway.certificates import PEM

SECONDS = 30.0


class Posted(NamedTuple):
    """One request that came."""

    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    def check(self, *secrets: str) -> None:
        """Each of these secrets has signed it, and nobody else, just now."""
        name, timestamp = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        assert abs(int(timestamp) - time.time()) < 60
        signatures: list[str] = []
        for secret in secrets:
            key = base64.b64decode(secret.removeprefix("whsec_"))
            digest = hmac.new(key, f"{name}.{timestamp}.".encode() + self.body, hashlib.sha256).digest()
            signatures.append(f"v1,{base64.b64encode(digest).decode()}")
        assert self.headers["webhook-signature"].split() == signatures


Answers = Callable[[Posted], Response]


class Receiver:
    """Keeps what came; `answers` says what each gets."""

    def __init__(self, *, tls: bool = False) -> None:
        self.posted: list[Posted] = []
        self.answers: Answers = lambda posted: Response(status_code=204)
        self.pause = 0.0
        self._news = asyncio.Condition()
        config = uvicorn.Config(self._serve, interface="asgi3", lifespan="off", ws="none", log_config=None)
        if tls:
            config.ssl_certfile, config.ssl_keyfile = str(PEM / "server.pem"), str(PEM / "server.key")
        self._server = _Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._server.serve([self._socket]))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._running is not None
        self._server.should_exit = self._server.force_exit = True
        await self._running

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        posted = Posted(dict(request.headers), await request.body(), time.monotonic())
        async with self._news:
            self.posted.append(posted)
            self._news.notify_all()
        answer = self.answers(posted)
        await asyncio.sleep(self.pause)
        await answer(scope, receive, send)

    async def first(self, count: int) -> list[Posted]:
        """Wait for so many."""
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.posted) >= count)
        return self.posted


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def one_after_the_other(*answers: Response) -> Answers:
    """These, and then 204."""
    left = list(answers)
    return lambda _: left.pop(0) if left else Response(status_code=204)
