"""What a consumer tells the broker of its leases. Rules: SPEC.md, section 14."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tieline.durable.mail import Settlement, Verdict
from tieline.errors import TielineError
from tieline.trouble import Trouble

if TYPE_CHECKING:
    from tieline.durable.consumer import Consumer, House
    from tieline.durable.lease import Lease

log = logging.getLogger("tieline")

_REST_SECONDS = 0.5
_PARTS = (Verdict.KEEP, Verdict.DEAD)


class Settling:
    """Settlements on their way, in their order; what the broker did not hear is told again.

    Args:
        consumer: whose they are.
        house: where it lives.
        progressed: called when something was answered.

    """

    def __init__(self, consumer: Consumer, house: House, progressed: Callable[[], None]) -> None:
        self._consumer = consumer
        self._house = house
        self._progressed = progressed
        self._outgoing: list[Settlement] = []
        self._unsettled: deque[list[Settlement]] = deque()
        self._trouble = Trouble(f"settling events of {consumer.topic!r} failed, and is tried again")
        self._over = False
        self.under_way = 0
        """How many were sent and are not answered."""

    @property
    def done(self) -> bool:
        """Whether the broker has heard of everything."""
        return not (self._outgoing or self.under_way or self._unsettled)

    @property
    def ends_leases(self) -> bool:
        """Whether a lease ends by what is to be sent."""
        return any(settlement.verdict not in _PARTS for settlement in self._outgoing)

    def add(self, settlement: Settlement) -> None:
        """To be sent with the others of this turn."""
        self._outgoing.append(settlement)

    def send(self) -> None:
        """Send what was added."""
        settlements, self._outgoing = self._outgoing, []
        if settlements:
            self.under_way += len(settlements)
            self._consumer.spawn(self._settle(settlements))

    async def begins(self, lease: Lease) -> bool:
        """See `Consumer.begins`."""
        try:
            (ours,) = await self._ask([Settlement(lease.member, lease.token, Verdict.BEGIN, b"", ())])
        except TielineError as error:
            log.info("beginning with an event of %r failed: %s", self._consumer.topic, error)
            return False
        lease.lost = lease.lost or not ours
        return ours

    def close(self) -> None:
        """Nothing is tried again any more."""
        self._over = True

    def forget(self) -> None:
        """The loop is gone, and all that ran on it."""
        self._outgoing.clear()
        self._unsettled.clear()
        self._over = False
        self.under_way = 0

    async def _settle(self, settlements: list[Settlement]) -> None:
        try:
            if self._unsettled or not await self._settled(settlements):
                self._unsettled.append(settlements)  # what comes later waits behind it
                if len(self._unsettled) == 1:
                    await self._settle_again()
        finally:
            self.under_way -= len(settlements)
            self._progressed()

    async def _settled(self, settlements: list[Settlement], *, again: bool = False) -> bool:
        """Whether the broker has heard of it; whose leases were ours is not told if it may have heard it twice."""
        topic = self._consumer.topic
        try:
            kept = await self._ask(settlements)
        except TielineError as error:
            self._trouble.told(error)
            return False
        self._trouble.over()
        lost = sum(not ours for ours in kept)
        if lost and not again:
            whose = "others have them, or their group was removed"
            log.warning("leases of %r were lost before they were settled (%d): %s", topic, lost, whose)
        return True

    async def _settle_again(self) -> None:
        """Settle what waits, in its order, until all of it is settled or the system is gone."""
        while self._unsettled and not self._over:
            if await self._settled(self._unsettled[0], again=True):
                self._unsettled.popleft()
            else:
                await self._house.clock.sleep(_REST_SECONDS)
        self._unsettled.clear()
        self._consumer.wake()

    async def _ask(self, settlements: Sequence[Settlement]) -> list[bool]:
        consumer, house = self._consumer, self._house
        topic, group, claims = consumer.topic, consumer.policy.group, not consumer.stopped
        return await house.mail.settle(topic, group, settlements, house.lease_seconds, claims=claims)
