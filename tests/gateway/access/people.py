"""Gateways that know people: a configuration with principals, and a token for each."""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.gateway.raw_link import RawLink
from tests.gateway.up import Client, Up, bearer
from tieline._contract import gateway_pb2 as wire


def token_of(name: str) -> str:
    """The token of somebody in these tests."""
    return f"tl_the-token-of-{name}-which-nobody-guesses"


def table(name: str, rules: str) -> str:
    """The table of one principal."""
    told = hashlib.sha256(token_of(name).encode()).hexdigest()
    return f'[principals.{name}]\ntokens_sha256 = ["{told}"]\n{rules}\n'


class Town:
    """One gateway and the people it knows.

    Args:
        stack: closes what is opened.
        folder: for the configuration.
        people: rules in TOML, by name.
        more: more of the configuration, before the tables.
        options: of `tieline up`.
        http: serve HTTP too.

    """

    def __init__(
        self,
        stack: AsyncExitStack,
        folder: Path,
        people: dict[str, str],
        *options: str,
        more: str = "",
        http: bool = False,
    ) -> None:
        self.stack = stack
        self.file = folder / "tieline.toml"
        self.file.write_text(more + "".join(table(*each) for each in people.items()))
        self.up = Up("--config", str(self.file), *options, http=http)

    async def open(self) -> Town:
        """Start the gateway."""
        await self.stack.enter_async_context(self.up)
        return self

    async def link(self, name: str, service: str = "") -> tuple[RawLink, str]:
        """A raw Link of somebody that has said hello; and its instance."""
        link = await self.stack.enter_async_context(RawLink(self.up.address, token_of(name)))
        return link, (await link.hello(service or name)).instance

    async def stub(self, name: str) -> Caller:
        """Plain stubs of somebody."""
        return Caller((await self.stack.enter_async_context(Client(self.up.address))).stub, token_of(name))


class Caller:
    """Calls methods with a token, and tells how they end."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub = stub
        self._metadata = bearer(token)

    async def __call__(self, method: str, request: Any) -> Any:
        """Return the answer, or the first item of a stream; raises as gRPC does."""
        call = getattr(self._stub, method)(request, metadata=self._metadata, timeout=20.0)
        return await (call if hasattr(call, "__await__") else call.read())

    async def code(self, method: str, request: Any) -> str:
        """The name of the status with which the call ends, and OK."""
        try:
            await self(method, request)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"


async def register(link: RawLink, route: int, pattern: str, group: str = "") -> str:
    """Register; returns what was wrong, empty for nothing."""
    interest = wire.Interest(route=route, pattern=pattern, group=group)  # type: ignore[arg-type]
    await link.say(register=wire.Register(ref=7, interests=[interest]))
    return (await link.hear("done")).error.message
