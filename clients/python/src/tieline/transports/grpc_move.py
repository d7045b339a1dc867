"""From a gateway that is about to stop to another one: two Links at a time, for a moment (SPEC.md, section 8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.transport import Route
from tieline.transports.grpc_link import ClientLink

_MOST = 100_000


@dataclass(slots=True)
class Beside:
    """A link on which calls have to be answered though it is not the one in use.

    Attributes:
        link: it.
        calls: their ids.

    """

    link: ClientLink
    calls: set[bytes] = field(default_factory=set)

    def takes(self, call_id: bytes) -> bool:
        """Whether what is said of this call has to be said here."""
        return call_id in self.calls and not self.link.broken


@dataclass(slots=True)
class Leaving(Beside):
    """A link whose gateway is about to stop: calls that were under way when the next one began end here.

    Attributes:
        since: when the next link began (seconds, of the port's clock).
        task: waits for the end.

    """

    since: float = 0.0
    task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Wait no longer."""
        if self.task is not None:
            self.task.cancel()


class Overlap:
    """While an old link and a new one are both registered, live events come over both, and count once.

    They are taken from the old link; what comes over the new one is held back until the old one is registered no more,
    and is then handed on unless it has come already: so the order stays.
    """

    def __init__(self, old: ClientLink) -> None:
        self.held: dict[tuple[bytes, str, bytes], tuple[wire.Interest, Envelope]] = {}
        self._old = old
        self._seen: set[tuple[bytes, str, bytes]] = set()

    def lets(self, link: ClientLink, interest: wire.Interest, envelope: Envelope) -> bool:
        """Whether this is to be handed on now."""
        if interest.route == Route.GROUP or len(self._seen) + len(self.held) > _MOST:
            return True
        copy = (interest.SerializeToString(), envelope.id, envelope.call_id)
        if link is self._old:
            self._seen.add(copy)
            self.held.pop(copy, None)
            return True
        if copy not in self._seen:
            self.held[copy] = (interest, envelope)
        return False
