"""Callers without a client of ours, which know two gateways; they do what docs/operations.md asks of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import httpx

from tieline._contract import gateway_pb2 as wire
from tieline._contract.gateway_pb2_grpc import EventGatewayStub

SECONDS = 30.0
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
SERVICE_CONFIG: str = OPERATIONS.read_text().partition("```json\n")[2].partition("```")[0]
"""As docs/operations.md has it."""


class PlainStub:
    """A stub on one channel; all else is in its service config."""

    def __init__(self, addresses: list[str], topic: str, config: str = SERVICE_CONFIG) -> None:
        self._topic = topic
        options = [("grpc.service_config", config), ("grpc.enable_http_proxy", 0)]
        self._channel = grpc.aio.insecure_channel(f"ipv4:{','.join(addresses)}", options=options)
        self._stub: Any = EventGatewayStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._channel.close()

    async def __call__(self, number: int) -> Any:
        """Call, once as far as we can see."""
        data = json.dumps(number).encode()
        request = wire.PublishAndWaitRequest(topic=self._topic, data=data, content_type="application/json")
        return json.loads((await self._stub.PublishAndWait(request, timeout=SECONDS)).data)


class Balanced:
    """An HTTP client behind a load balancer, which asks /readyz, and sends again what nobody was there to take."""

    def __init__(self, webs: list[str], topic: str) -> None:
        self.used: set[str] = set()
        self._clients = {web: httpx.AsyncClient(base_url=web, trust_env=False, timeout=SECONDS) for web in webs}
        self._ready = list(webs)
        self._topic = topic
        self._turn = 0

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._looking.cancel()
        for client in self._clients.values():
            await client.aclose()

    async def __call__(self, number: int) -> Any:
        """Call one that is ready; another one, if that cannot be connected to."""
        while True:
            while not self._ready:
                await asyncio.sleep(0.05)
            self._turn += 1
            web = self._ready[self._turn % len(self._ready)]
            try:
                answer = await self._clients[web].post("/v1/calls", json={"topic": self._topic, "data": number})
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            self.used.add(web)
            return answer.json()["data"]

    async def _look(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as probe:
            while True:
                ready = [web for web in self._clients if await _is_ready(probe, web)]
                self._ready = ready
                await asyncio.sleep(0.2)


async def _is_ready(probe: httpx.AsyncClient, web: str) -> bool:
    try:
        return (await probe.get(f"{web}/readyz")).is_success
    except httpx.HTTPError:
        return False
