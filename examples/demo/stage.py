"""What a round is played on: a gateway, the two services, a Python client and a plain gRPC stub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc.aio
from tests.suite.gateways import GatewayProcess
from tests.support.processes import Peer

from examples.node_package import provide
from tieline import EventSystem
from tieline._contract.gateway_pb2 import SubscribeRequest
from tieline._contract.gateway_pb2_grpc import EventGatewayStub

HERE = Path(__file__).resolve().parent
EVERYBODY = ("Python", "Node", "gRPC")
BROADCAST, HEARD = "news.flash", "news.heard"


@dataclass
class Stage:
    """Everybody who takes part in a round."""

    client: EventSystem
    stub: Any
    services: Sequence[Peer]
    heard: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def said(self, lines: int) -> str:
        """The end of what the services printed."""
        tails = [f"{peer}\n" + "\n".join(f"    {line}" for line in peer.output[-lines:]) for peer in self.services]
        return "\n".join(tails)


@asynccontextmanager
async def stage(redis_url: str = "") -> AsyncIterator[Stage]:
    """Set up a round: everyone at one embedded gateway, or services at Redis and the stub at a gateway before it.

    Raises:
        PeerFailed: a service did not start; the message holds what it printed.
    """
    provide(HERE)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        history = f"sqlite:///{folder}/history.db"
        gateway = stack.enter_context(GatewayProcess("--url", redis_url or "memory://", "--history", history))
        url = redis_url or gateway.url
        services = await _services(stack, url)
        client = await stack.enter_async_context(EventSystem(url, service="demo"))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.url.removeprefix("grpc://")))
        made = Stage(client, EventGatewayStub(channel), services)
        await _listen(stack, made)
        yield made


async def _services(stack: AsyncExitStack, url: str) -> Sequence[Peer]:
    environment = {"TIELINE_URL": url}
    python = Peer.python(HERE / "python_service.py", env=environment)
    node = Peer.node(HERE / "node_service.mjs", env=environment)
    for peer in (python, node):
        stack.push_async_callback(peer.close)
    await asyncio.gather(python.start(), node.start())
    return python, node


async def _listen(stack: AsyncExitStack, made: Stage) -> None:
    """Learn who hears the broadcast: the services say so with an event, the stub is told by `Subscribe`."""

    async def tell(data: dict[str, str]) -> None:
        made.heard.put_nowait(data["by"])

    await made.client.subscribe(HEARD, tell).ready()
    stream = made.stub.Subscribe(SubscribeRequest(topic=BROADCAST))
    first = await stream.read()
    if not first.HasField("subscribed"):
        raise RuntimeError(f"the first item of Subscribe is {first}")
    reading = asyncio.create_task(_read(stream, made.heard))
    stack.callback(stream.cancel)
    stack.callback(reading.cancel)


async def _read(stream: Any, heard: asyncio.Queue[str]) -> None:
    while (item := await stream.read()) is not grpc.aio.EOF:
        if item.HasField("event"):
            heard.put_nowait("gRPC")
