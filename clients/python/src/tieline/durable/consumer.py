"""The claims of one durable subscription: lease, hand to the handler, settle. Rules: SPEC.md, section 14.

Nothing polls: it claims when it is woken, when the last claim said that there is more, when what it holds has become
little, and when the broker said that something will be due.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from tieline._contract import contract
from tieline.clock import Clock, Timer
from tieline.context import CURRENT
from tieline.delivery import Around
from tieline.durable.durability import Durability
from tieline.durable.enrolling import Enrolling
from tieline.durable.holding import Claim, Holding
from tieline.durable.lease import Lease
from tieline.durable.mail import Entry, Mail, Settlement, Verdict
from tieline.durable.redriver import Redriver
from tieline.durable.settling import Settling
from tieline.durable.steps import DurableSteps
from tieline.eager import start_now
from tieline.errors import TielineError
from tieline.figures.tally import DURABLE, Tally
from tieline.observe import StepName
from tieline.trouble import Trouble

if TYPE_CHECKING:
    from tieline.explain.trail import Record
    from tieline.subscription import Subscription

log = logging.getLogger("tieline")

_QUICK_SECONDS, _SLOW_SECONDS = 0.05, 0.25
_AT_ONCE = 32
_MOST_HELD = 4 * contract.LIMIT_CLAIM_SLOTS
_REST_SECONDS = 0.5


class House(Protocol):
    """Where a consumer lives."""

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    @property
    def service(self) -> str:
        """Name of the service."""
        ...

    @property
    def mail(self) -> Mail:
        """Where durable events are."""
        ...

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts without being extended."""
        ...

    @property
    def around(self) -> Around | None:
        """Middleware."""
        ...

    @property
    def steps(self) -> DurableSteps:
        """Where each step of an event is noted."""
        ...

    @property
    def tally(self) -> Tally:
        """Where everything is counted."""
        ...


class Consumer:
    """Handles what is stored for one subscription, as much at a time as it may."""

    def __init__(self, subscription: Subscription, policy: Durability, concurrency: int, house: House) -> None:
        self.subscription = subscription
        self.policy = policy
        self.topic = subscription.topic
        self.series = house.tally.series(self.topic, policy.group, DURABLE)
        self.steps = house.steps
        self._house = house
        self._concurrency = concurrency
        self._window = self._least = concurrency
        self._patience = _SLOW_SECONDS
        self._holding = Holding(self, house)
        self._settling = Settling(self, house, self._progressed)
        self._acknowledged: set[Lease] = set()
        self._trouble = Trouble(f"claiming events of {self.topic!r} failed, and is tried again")
        self.store_trouble = Trouble(f"events of {self.topic!r} wait for their idempotency store")
        self._ready: deque[Lease] = deque()
        self._running = 0
        self._more = False
        self._claiming = False
        self._stopped = True
        self._flushing = False
        self._again: Timer | None = None
        self._enrolling = Enrolling(self, house)
        self._redriver = Redriver(subscription.topic, policy, house)
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        return self._house.clock

    @property
    def around(self) -> Around | None:
        """Middleware."""
        return self._house.around

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts without being extended."""
        return self._house.lease_seconds

    @property
    def held(self) -> int:
        """Members that are leased."""
        return len(self._holding)

    @property
    def handling(self) -> int:
        """Handlers that run."""
        return self._running

    @property
    def stopped(self) -> bool:
        """Whether it claims nothing new."""
        return self._stopped

    def at_work(self) -> Iterator[Record]:
        """What there is to tell of the events that handlers have now."""
        for lease in self._holding:
            if lease.event is not None and lease.delivery is not None:
                yield self.steps.running(lease, lease.event.envelope, lease.waiting[0].id)

    async def enroll(self, mail: Mail) -> None:
        """Have events wait for the group from now on."""
        await self._enrolling.begin(mail)

    # --- claim ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to claim. Idempotent."""
        if not self._stopped:
            return
        self._stopped = False
        self._enrolling.start()
        self._redriver.start()
        self.wake()

    def wake(self) -> None:
        """There may be something to claim."""
        self._more = not self._stopped
        self._pump()

    def _pump(self) -> None:
        if self._stopped or self._claiming or not self._more or self._settling.under_way > self._window:
            return
        room = min(self._window - len(self._holding), contract.LIMIT_CLAIM_SLOTS)
        if room > 0 and (room * 2 >= self._window or room * 2 >= contract.LIMIT_CLAIM_SLOTS or not self._ready):
            self._claiming, self._more = True, False  # whoever wakes us from here on means the next one
            self.spawn(self._claim(room))

    async def _claim(self, room: int) -> None:
        try:
            entries = min(contract.LIMIT_CLAIM_ENTRIES, room * 16)
            claimed = await self._house.mail.claim(
                self.topic, self.policy.group, room, entries, self._house.lease_seconds
            )
        except TielineError as error:
            self._trouble.told(error)
            if not self._stopped:
                self._look_again(_REST_SECONDS)
            return
        finally:
            self._claiming = False
            self._tell_idle()
        self._trouble.over()
        if claimed.lost:
            log.error("%d events of %r were deleted while they were handled", claimed.lost, self.topic)
        claim = Claim(self.clock.monotonic(), len(claimed.members), full=len(claimed.members) >= room)
        for member in claimed.members:
            lease = Lease(self, member, claimed.token, claim.at)
            self._holding.add(lease, claim)
            self._ready.append(lease)
        if claimed.again == 0:
            self._more = not self._stopped
        elif claimed.again is not None and not self._stopped:
            self._look_again(claimed.again)
        self._begin()
        self._pump()
        self._hand_on()

    def _hand_on(self) -> None:
        """What was settled before it stopped woke nobody, as it was to claim next; what it gives back now does."""
        if self._stopped and self._more and not self._claiming:
            self._claiming, self._more = True, False
            self.spawn(self._claim(1))

    def _look_again(self, seconds: float) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = self.clock.call_later(seconds, self._due)

    def _due(self) -> None:
        self._again = None
        self.wake()

    def _begin(self) -> None:
        """Hand on as much as may run."""
        if self._stopped:
            self._free_waiting()
        loop = asyncio.get_running_loop()
        begun = 0
        while self._ready and self._running < self._concurrency:
            if begun == _AT_ONCE:  # what is done is settled, and more is claimed, while the rest is handled
                self.flush_soon()
                break
            begun += 1
            lease = self._ready.popleft()
            self._running += 1
            task = start_now(loop, lease.run())
            if not task.done():
                lease.task = task

    # --- settle ---------------------------------------------------------------------------------------------------

    def ended(self, lease: Lease, verdict: Verdict, argument: bytes) -> None:
        """A lease is over, and its handler has ended."""
        self._running -= 1
        self.let_go(lease, verdict, argument)

    def let_go(self, lease: Lease, verdict: Verdict, argument: bytes) -> None:
        """A lease is over."""
        lease.task = None
        claim = self._holding.remove(lease)
        settlement = lease.settlement(verdict, argument)
        if not lease.lost:
            self._settling.add(settlement)
        claim.left -= 1
        if claim.left == 0:
            self._adapt(claim)
        self.flush_soon()

    async def begins(self, lease: Lease) -> bool:
        """Say that a lease begins with an event that failed before; returns whether it may.

        From here on it counts if this process is lost. What the broker did not hear of does not begin: an answer to a
        claim that was lost is no failure.
        """
        return await self._settling.begins(lease)

    def acknowledged(self, lease: Lease) -> None:
        """A lease has handled an event."""
        self._acknowledged.add(lease)
        self.flush_soon()

    def tell(self, settlement: Settlement) -> None:
        """A part of a lease is over."""
        self._settling.add(settlement)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Settle when this turn of the loop ends."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._begin()
        if self._settling.ends_leases and not self._stopped:
            self._more = True
        for lease in self._acknowledged:
            if lease.handled:  # and not over
                self._settling.add(lease.settlement(Verdict.KEEP))
        self._acknowledged.clear()
        self._settling.send()
        self._progressed()

    def _progressed(self) -> None:
        """The broker was told something, or has heard of something."""
        self._pump()
        self._tell_idle()

    def _adapt(self, claim: Claim) -> None:
        """Hold what is done within a moment, and not much more: others may have nothing to do."""
        seconds = self.clock.monotonic() - claim.at
        if claim.full and seconds < _QUICK_SECONDS:
            self._window = min(_MOST_HELD, self._window * 2)
        elif seconds > _SLOW_SECONDS:
            self._window = max(self._least, self._window // 2)

    def give_back(self, now: float) -> None:
        """What waits here for longer than a moment is for others, who may have nothing to do."""
        if self._ready and now - self._ready[0].begun > self._patience:
            self._window = self._least
            self._free_waiting()

    # --- end ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Claim nothing new, and give back what is not being handled."""
        self._stop()
        for lease in self._holding:
            lease.stop()

    async def drain(self) -> None:
        """Claim nothing new, finish the events that are being handled, and give the rest back.

        At once inside a handler of its own.
        """
        self.stop()
        self._hand_on()
        while not self.is_caller and not self._is_idle:
            self._idle.clear()
            await self._idle.wait()

    @property
    def is_caller(self) -> bool:
        """Whether whoever asks is a handler that runs here: it would wait for itself."""
        event = CURRENT.get()
        said = event.delivery if event is not None else None
        return said is not None and any(lease.delivery is said for lease in self._holding)

    @property
    def _is_idle(self) -> bool:
        return not (self._holding or self._claiming) and self._settling.done

    def interrupt(self) -> None:
        """Stop at once and give everything back."""
        self._stop()
        self._more = False
        self._settling.close()
        for lease in self._holding:
            lease.interrupt()

    def close(self) -> None:
        """The broker will not be asked any more."""
        self._stop()
        self._holding.close()
        for task in self._tasks:
            task.cancel()

    def forget(self) -> None:
        """The loop is gone, and all that ran on it."""
        self._holding.forget()
        self._acknowledged.clear()
        self._settling.forget()
        self._ready.clear()
        self._running = 0
        self._window = self._least
        self._claiming = self._flushing = self._more = False
        self._stopped = True
        self._again = None
        self._enrolling.forget()
        self._redriver.forget()
        self._tasks.clear()
        self._idle = asyncio.Event()

    def _stop(self) -> None:
        self._stopped = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._enrolling.stop()
        self._redriver.stop()
        self._free_waiting()

    def _free_waiting(self) -> None:
        """Give back what has not begun."""
        while self._ready:
            self.let_go(self._ready.popleft(), Verdict.FREE, b"")

    def _tell_idle(self) -> None:
        if self._stopped:
            self._idle.set()  # whoever waits looks again

    # --- what is told ---------------------------------------------------------------------------------------------

    def failed(self, lease: Lease, entry: Entry, attempt: int, error: TielineError, pause: float) -> None:
        """An event is to be tried again."""
        detail = {"after_ms": int(pause * 1000), "code": error.code, "attempt": attempt}
        self.steps.failed(lease, entry, attempt, error, StepName.RETRIED, detail)
        of, when, most = self._named(lease), _shown(pause), self.policy.retry.max_attempts
        log.info("an event of %s is tried again in %s, after attempt %d of %d: %s", of, when, attempt, most, error)

    def known(self) -> None:
        """An event was handled before."""
        self._house.tally.count("events_deduplicated")

    def gave_up(self, lease: Lease, what: str, error: TielineError) -> None:
        """An event is not tried again."""
        log.error("an event of %s is given up, %s: %s", self._named(lease), what, error)

    def _named(self, lease: Lease) -> str:
        """Where an event is from, for people."""
        return f"{self.topic!r} with key {lease.key!r}" if lease.key else repr(self.topic)

    def spawn(self, coroutine: object) -> None:
        """Run something in the background."""
        task = asyncio.get_running_loop().create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _shown(seconds: float) -> str:
    """A pause, for people."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
