"""An instance at a broker that is no client of ours: it reads bytes as they travel, and says whatever a case wants.

`raw_redis.py` speaks RESP, `raw_link.py` plain gRPC; neither uses the code that is being tested, only the generated
messages, keys and scripts of the agreement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from tieline._contract.envelope_pb2 import Envelope, Error

Hear = Callable[[Envelope], None]


class Interest(NamedTuple):
    """What to hear: a route by its number in gateway.proto, a topic or pattern, a group."""

    route: int
    topic: str
    group: str = ""


class Raw(Protocol):
    """What the runner needs of both kinds. An error is what the broker refused it with."""

    instance: str

    async def listen(self, interest: Interest, hear: Hear) -> None:
        """Return when the broker has registered it."""
        ...

    async def publish(self, topic: str, envelope: bytes) -> Error | None:
        """Hand an event to the broker."""
        ...

    async def request(self, topic: str, envelope: bytes, call_id: bytes) -> Error | None:
        """Hand a request to the broker; what answers it comes to the inbox."""
        ...

    async def answer(self, to: str, envelope: bytes) -> None:
        """Send something to an instance's inbox."""
        ...

    async def garbage(self, topic: str, data: bytes) -> None:
        """Put bytes where the events of a topic travel."""
        ...

    async def close(self) -> None:
        """Leave."""
        ...


def now_ms() -> int:
    """The clock of this machine, which is that of its brokers."""
    return time.time_ns() // 1_000_000
