"""Batches of durable events: a handler that takes a list, by size or time, whichever comes first. SPEC.md, section 14.

A batch has events of many leases, those of a key in their order, and a lease is in one batch at a time. An event that
failed before comes alone, so that others need not fail with it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from tieline._contract import contract
from tieline.clock import Timer
from tieline.context import CURRENT, Event
from tieline.delivery import passes
from tieline.durable.consumer import Consumer, House
from tieline.durable.durability import Durability
from tieline.durable.lease import Lease, failure_in
from tieline.durable.mail import Entry, Verdict
from tieline.eager import start_now
from tieline.errors import CallTimeoutError, Outcome, TielineError

if TYPE_CHECKING:
    from tieline.subscription import Subscription

log = logging.getLogger("tieline")


class _Taken(NamedTuple):
    """What a batch has of a lease: its first so many entries, and those of them that the handler gets."""

    lease: Lease
    entries: int
    events: list[tuple[Event, Any]]


class BatchConsumer(Consumer):
    """Handles what is stored for one subscription in lists; `concurrency` is how many batches run at a time."""

    def __init__(
        self, subscription: Subscription, policy: Durability, concurrency: int, house: House, batch: tuple[int, float]
    ) -> None:
        super().__init__(subscription, policy, concurrency, house)
        self._size, self._seconds = int(batch[0]), float(batch[1])
        self._collecting: Timer | None = None
        self._batches: set[Batch] = set()
        self._patience += self._seconds
        self._window = self._least = min(contract.LIMIT_CLAIM_SLOTS, self._size * concurrency)

    def _begin(self) -> None:
        """Hand on as many batches as are full or have waited long enough."""
        if self._stopped:
            self._free_waiting()
        loop = asyncio.get_running_loop()
        while self._running < self._concurrency and (leases := self._next()):
            batch = Batch(self, leases, self._size)
            self._running += 1
            self._batches.add(batch)
            task = start_now(loop, batch.run())
            for lease in leases:
                if not task.done():
                    lease.task = task

    def _next(self) -> list[Lease]:
        """The leases of the next batch; none if it is not time yet."""
        ready = self._ready
        for lease in [lease for lease in ready if lease.stopping or lease.failures]:
            ready.remove(lease)
            if not lease.stopping:
                return [lease]
            self.let_go(lease, Verdict.FREE, b"")  # others have it
        if not ready:
            return []
        count, number = 0, 0
        for lease in ready:
            number += 1
            count += len(lease.waiting)
            if count >= self._size:
                break
        if count < self._size and (left := ready[0].begun + self._seconds - self.clock.monotonic()) > 0:
            self._look_at_ready(left)
            return []
        return [ready.popleft() for _ in range(number)]

    def _look_at_ready(self, seconds: float) -> None:
        if self._collecting is None:
            self._collecting = self.clock.call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self._collecting = None
        self.flush_soon()

    @property
    def is_caller(self) -> bool:
        """See `Consumer.is_caller`."""
        event = CURRENT.get()
        return event is not None and any(batch.event is event for batch in self._batches)

    def forget(self) -> None:
        """See `Consumer.forget`."""
        super().forget()
        self._batches.clear()
        self._collecting = None

    def batch_ended(self, batch: Batch) -> None:
        """A batch is over, and its leases were told so."""
        self._running -= 1
        self._batches.discard(batch)
        self.flush_soon()

    def put_back(self, lease: Lease) -> None:
        """A lease has more for another batch."""
        lease.task = None
        if self._stopped or lease.stopping:
            self.let_go(lease, Verdict.FREE, b"")
        else:
            lease.begun = self.clock.monotonic()
            self._ready.append(lease)


class Batch:
    """Events that are handled together. Returning acknowledges all of them; raising fails the first one of each key.

    Attributes:
        event: what its handler, while it runs, knows as the current event: the first one.

    """

    def __init__(self, consumer: BatchConsumer, leases: list[Lease], size: int) -> None:
        self._consumer = consumer
        self._leases = deque(leases)
        self._size = size
        self._taken: list[_Taken] = []
        self._began = 0.0
        self.event: Event | None = None

    async def run(self) -> None:
        """Read, handle, and say what becomes of each lease."""
        try:
            if not await self._begins():
                return
            self._take_all()
            raised = await self._handle() if any(taken.events for taken in self._taken) else None
            self._conclude(raised)
        except asyncio.CancelledError:
            self._consumer.series.cancelled += sum(len(taken.events) for taken in self._taken)
            if not any(lease.stopping or lease.lost for lease in self._all):
                raise
        except Exception:  # a defect of ours must not keep the keys from being handled
            log.exception("handling a batch of %r failed", self._consumer.topic)
            self._end_all(Verdict.RETRY, b"1000")
        finally:
            self._end_all(Verdict.FREE, b"")
            self._consumer.batch_ended(self)

    def _end_all(self, verdict: Verdict, argument: bytes) -> None:
        """Let go of what is still here."""
        leases = self._all
        self._leases.clear()
        self._taken = []
        for lease in leases:
            self._consumer.let_go(lease, verdict, argument)

    @property
    def _all(self) -> list[Lease]:
        """The leases that are not over."""
        return [*self._leases, *(taken.lease for taken in self._taken)]

    # --- what is in it --------------------------------------------------------------------------------------------

    async def _begins(self) -> bool:
        """Whether it may; what failed before comes alone."""
        lease = self._leases[0]
        return not lease.failures or await self._consumer.begins(lease)

    def _take_all(self) -> None:
        room = self._size
        while self._leases:
            taken = self._take(self._leases.popleft(), room)
            if taken is not None:
                self._taken.append(taken)
                room -= len(taken.events)

    def _take(self, lease: Lease, room: int) -> _Taken | None:
        """As much of a lease as there is room for; nothing if that ended the lease.

        What is not for the handler is settled when it comes first; until then it stays, with all behind it.
        """
        count, events = 0, list[tuple[Event, Any]]()
        while count < len(lease.waiting) and len(events) < room:
            entry = lease.waiting[count]
            settled = None
            try:
                found = self._read(lease, entry)
                if found is not None:
                    events.append(found)
                if events:
                    count += 1
                    continue
                lease.acknowledge()
            except TielineError as error:
                if events:
                    break
                settled = lease.refuse(entry, error)
            if not self._go_on(lease, settled):
                return None
        return _Taken(lease, count, events)

    def _read(self, lease: Lease, entry: Entry) -> tuple[Event, Any] | None:
        """An event and its payload; nothing if it is not for this handler."""
        consumer, subscription = self._consumer, self._consumer.subscription
        if entry.group and entry.group != consumer.policy.group:
            return None
        event = Event(lease.envelope_of(entry), consumer.clock)
        if event.replay and not subscription.replays:
            return None
        data = event.data if subscription.versions is None else subscription.versions.lift(event)
        if not passes(subscription, data):
            return None
        if subscription.handler.convert is not None:
            subscription.handler.convert([data])  # lest one that does not fit fails all
        return event, data

    # --- handling it ----------------------------------------------------------------------------------------------

    async def _handle(self) -> Exception | None:
        """Run the handler; returns what it raised."""
        seconds = self._consumer.policy.timeout
        try:
            async with self._consumer.clock.timeout(seconds):
                return await self._attempt([each for taken in self._taken for each in taken.events])
        except TimeoutError:
            return CallTimeoutError(f"the handler took longer than {seconds:g} s", outcome=Outcome.MAY_HAVE_RUN)

    async def _attempt(self, events: list[tuple[Event, Any]]) -> Exception | None:
        subscription = self._consumer.subscription
        handler, first = subscription.handler, events[0][0]
        self.event = first
        self._began = self._consumer.clock.monotonic()
        CURRENT.set(first)
        payloads = [data for _, data in events]
        try:
            data = payloads if handler.convert is None else handler.convert(payloads)
            if subscription.around_batch is None:
                await handler.invoke(data, first)
            else:
                await subscription.around_batch([event for event, _ in events], lambda: handler.invoke(data, first))
        except asyncio.CancelledError as cancelled:
            return self._raised(failure_in(cancelled))
        except Exception as raised:
            return self._raised(raised)
        finally:
            self.event = None
        return None

    def _raised(self, raised: Exception) -> Exception:
        subscription = self._consumer.subscription
        attempt = self._taken[0].lease.failures + 1  # what failed before is in a list of its own
        name, topic = subscription.name, subscription.topic
        log.error("handler %r of %r raised (attempt %d)", name, topic, attempt, exc_info=raised)
        return raised

    def _conclude(self, raised: Exception | None) -> None:
        taken, self._taken = self._taken, []
        for lease, count, events in taken:
            settled = None
            for at, (event, _) in enumerate(events if raised is None else events[:1]):  # the others come again
                lease.count(event, self._began, first=at == 0)
            if raised is None:
                for event, _ in events:
                    self._consumer.steps.handled(lease, event.envelope)
            if raised is not None and count:
                settled = lease.fail(lease.waiting[0], raised, nacked=len(taken) > 1)
                count = 1
            for _ in range(count):
                if raised is None:
                    lease.acknowledge()
                if not self._go_on(lease, settled):
                    break
            else:
                self._consumer.put_back(lease)

    def _go_on(self, lease: Lease, settled: tuple[Verdict, bytes] | None) -> bool:
        """The first entry of a lease is settled; returns whether there is another one."""
        if settled is None:
            lease.waiting.popleft()
            lease.failures = 0
            if lease.waiting:
                return True
        self._consumer.let_go(lease, *(settled or (Verdict.DONE, b"")))
        return False
