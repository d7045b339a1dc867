"""The leases that a consumer holds. Rules: SPEC.md, section 14."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tieline.clock import Timer
from tieline.durable.lease import Lease
from tieline.errors import TielineError

if TYPE_CHECKING:
    from tieline.durable.consumer import Consumer, House

log = logging.getLogger("tieline")

_TICK_SECONDS = 0.1


class Claim:
    """Leases that were claimed together: how soon they are done says how many to claim next."""

    __slots__ = ("at", "full", "left")

    def __init__(self, at: float, left: int, *, full: bool) -> None:
        self.at = at
        self.left = left
        self.full = full


class Holding:
    """While leases are here they are extended, and handlers that take too long are stopped.

    What cannot begin soon is given back.
    """

    def __init__(self, consumer: Consumer, house: House) -> None:
        self._consumer = consumer
        self._house = house
        self._leases: dict[Lease, Claim] = {}
        self._members: dict[bytes, Lease] = {}  # the latest of each
        self._ticker: Timer | None = None
        self._extended = 0.0

    def __len__(self) -> int:
        """Members that are leased."""
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease]:
        """The leases; one that ends meanwhile disturbs nobody."""
        return iter(list(self._leases))

    def add(self, lease: Lease, claim: Claim) -> None:
        """Hold one more."""
        before = self._members.get(lease.member)
        if before is not None:  # this process stood still for longer than its lease
            before.lose()
        self._members[lease.member] = lease
        self._leases[lease] = claim
        if self._ticker is None:
            self._extended = claim.at
            self._tick_later()

    def remove(self, lease: Lease) -> Claim:
        """It is over; returns what it was claimed with."""
        if self._members.get(lease.member) is lease:
            del self._members[lease.member]
        return self._leases.pop(lease)

    def close(self) -> None:
        """Extend nothing any more."""
        if self._ticker is not None:
            self._ticker.cancel()

    def forget(self) -> None:
        """The loop is gone, and all that ran on it."""
        self._leases.clear()
        self._members.clear()
        self._ticker = None

    def _tick_later(self) -> None:
        seconds = min(_TICK_SECONDS, self._consumer.policy.timeout / 2)
        self._ticker = self._house.clock.call_later(seconds, self._tick)

    def _tick(self) -> None:
        """Stop handlers that take too long, and extend the leases."""
        self._ticker = None
        if not self._leases:
            return
        now = self._house.clock.monotonic()
        for lease in self:
            if lease.delivery is not None and not lease.timed_out and now - lease.begun > self._consumer.policy.timeout:
                lease.time_out()
        if now - self._extended >= self._house.lease_seconds / 3:
            self._extended = now
            self._consumer.spawn(self.extend(list(self)))
        self._consumer.give_back(now)
        self._tick_later()

    async def extend(self, leases: list[Lease]) -> None:
        """Begin leases anew; those that somebody else has by now are lost."""
        topic, group = self._consumer.topic, self._consumer.policy.group
        names = [(lease.member, lease.token) for lease in leases]
        try:
            kept = await self._house.mail.extend(topic, group, names, self._house.lease_seconds)
        except TielineError as error:
            log.info("extending leases of %r failed: %s", topic, error)
            return
        for lease, ours in zip(leases, kept, strict=True):
            if not ours and lease in self._leases:
                log.warning("the lease of %r of %r was lost; others have it", lease.key or "an event", topic)
                lease.lose()
