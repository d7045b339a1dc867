"""Answers in as many items as they take: a message that is sent has its bounds (SPEC.md, section 8)."""

from __future__ import annotations

from typing import Generic, TypeVar

from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline._contract.agenda_pb2 import AgendaResponse
from tieline._contract.durable_pb2 import MailResponse
from tieline_gateway.links.downlink import Downlink

_ROOM_EACH = 64

T = TypeVar("T", MailResponse, AgendaResponse)


class Answer(Generic[T]):
    """What a client is told: an item of this name, with the ref of the message."""

    def __init__(self, name: str, message: T, down: Downlink) -> None:
        self.message = message
        self._name = name
        self._down = down
        self._size = 0

    async def grow(self, size: int) -> None:
        """There is more to tell: send what there is before it gets too large, and wait for a client that is slow."""
        if self._size and self._size + size > contract.LIMIT_FRAME_BYTES:
            self.message.more = True
            self._down.put(wire.GatewayItem(**{self._name: self.message}))  # pyright: ignore[reportArgumentType]
            ref = self.message.ref
            self.message.Clear()
            self.message.ref = ref
            self._size = 0
            await self._down.outbox.room()
        self._size += size + _ROOM_EACH
