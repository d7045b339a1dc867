"""Live events that come over two Links at a time (SPEC.md, section 8)."""

from __future__ import annotations

from collections.abc import Iterable

from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.transport import Route
from tieline.transports.grpc_link import ClientLink

_MOST = 100_000

Copy = tuple[bytes, str, bytes]
"""What makes two copies the same: interest, id and call_id."""


class Overlap:
    """While an old link and a new one are both registered, live events come over both, and count once.

    They are taken from the old link; what comes over the new one is held back until the old one is registered no more,
    and is then handed on unless it has come already: so the order stays. The new link may be the slower one: what was
    taken from the old one is still known for a while after that.

    Args:
        old: the link that is left; an attribute, too.
        before: the last such time, if its copies may still come.

    """

    def __init__(self, old: ClientLink, before: Overlap | None = None) -> None:
        self.old = old
        self._taken: set[Copy] = set()
        self._late = before._late if before is not None else set[Copy]()
        self._held: dict[Copy, tuple[wire.Interest, Envelope]] = {}
        self._over = False

    def lets(self, link: ClientLink, interest: wire.Interest, envelope: Envelope) -> bool:
        """Whether this is to be handed on now."""
        if interest.route == Route.GROUP:
            return True
        copy = (interest.SerializeToString(), envelope.id, envelope.call_id)
        if copy in self._late:
            self._late.discard(copy)
            return False
        if self._over or len(self._taken) + len(self._held) > _MOST:
            return True
        if link is self.old:
            if self._held.pop(copy, None) is None:
                self._taken.add(copy)
            return True
        if copy in self._taken:
            self._taken.discard(copy)
        else:
            self._held[copy] = (interest, envelope)
        return False

    def end(self) -> Iterable[tuple[wire.Interest, Envelope]]:
        """The old link is registered no more; returns what came over the new one only, in its order."""
        held, self._held, self._over = self._held, {}, True
        self._late |= self._taken
        self._taken = set()
        return held.values()
