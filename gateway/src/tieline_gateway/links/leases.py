"""Which durable events a principal was given through this gateway, so that it puts no others in their place.

What becomes a dead letter can be put back later, as an event: so it has to be the event that was given out. Whose a
lease is the broker knows, for all gateways. Of those who may do everything nothing is kept.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tieline._contract import durable_pb2 as wire
from tieline.durable.mail import Member, Settlement, Verdict
from tieline_gateway.access.principal import Principal

_DIGEST_BYTES = 16
_TIDY_ABOVE = 10_000
_LATE_SECONDS = 5.0
_OVER = (Verdict.DONE, Verdict.FREE, Verdict.RETRY, Verdict.PARK)
_WITH_LETTER = (Verdict.DEAD, Verdict.PARK)


class Place(NamedTuple):
    """A subscription group of a topic, as a principal sees it."""

    principal: str
    topic: str
    group: str


class _Lease(NamedTuple):
    token: bytes
    until: float
    entries: dict[str, bytes]


class Leases:
    """What was given to whom, until it is settled or the lease has ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[tuple[Place, bytes], _Lease] = {}
        self._tidy_at = _TIDY_ABOVE

    def given(self, place: Place, token: bytes, members: Iterable[Member], seconds: float) -> None:
        """A claim was answered."""
        until = self._until(seconds)
        for member in members:
            entries = {entry.id.decode("latin-1"): _digest(entry.envelope) for entry in member.entries}
            self._held[place, member.name] = _Lease(token, until, entries)
        if len(self._held) > self._tidy_at:
            self._tidy()

    def may_settle(self, place: Place, settlement: Settlement) -> bool:
        """Whether the letter that is to be written, if any, is of an event that was given out here with the lease."""
        if settlement.verdict not in _WITH_LETTER:
            return True
        lease = self._find(place, settlement.member, settlement.token)
        return lease is not None and _is_true(settlement, lease)

    def extended(self, place: Place, member: bytes, seconds: float) -> None:
        """A lease began anew."""
        lease = self._held.get((place, member))
        if lease is not None:
            self._held[place, member] = lease._replace(until=self._until(seconds))

    def settled(self, place: Place, settlement: Settlement, seconds: float) -> None:
        """The broker did what was asked."""
        if settlement.verdict in _OVER:
            self._held.pop((place, settlement.member), None)
        else:
            self.extended(place, settlement.member, seconds)

    def _until(self, seconds: float) -> float:
        return self._clock() + 2 * seconds + _LATE_SECONDS

    def _find(self, place: Place, member: bytes, token: bytes) -> _Lease | None:
        lease = self._held.get((place, member))
        return lease if lease is not None and lease.token == token and lease.until > self._clock() else None

    def _tidy(self) -> None:
        now = self._clock()
        self._held = {name: lease for name, lease in self._held.items() if lease.until > now}
        self._tidy_at = max(_TIDY_ABOVE, 2 * len(self._held))


def place_of(principal: Principal, topic: str, group: str) -> Place | None:
    """Where something is kept of a principal; None for who may do everything."""
    return Place(principal.name, topic, group) if principal.restricted else None


def _is_true(settlement: Settlement, lease: _Lease) -> bool:
    letter = wire.DeadLetter.FromString(settlement.argument)
    return lease.entries.get(letter.entry) == _digest(letter.envelope)


def _digest(envelope: bytes) -> bytes:
    return hashlib.blake2b(envelope, digest_size=_DIGEST_BYTES).digest()
