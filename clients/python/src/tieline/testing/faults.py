"""What networks do: delay, lose and duplicate what travels between instances, cut links, kill processes.

Faults act where envelopes arrive from the broker, so they are the same over every transport. What a system handles
itself does not travel and is not touched.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, get_args

from tieline import topics
from tieline._contract.envelope_pb2 import Envelope
from tieline.errors import InvalidArgumentError
from tieline.events import EventSystem
from tieline.testing.wire import Fate, FaultyPort, FaultyTransport
from tieline.transport import Transport

Kind = Literal["event", "request", "accepted", "reply", "cancel", "stream_item", "stream_end", "credit", "observed"]
"""What travels (SPEC.md, section 2); `observed` is the copy of an event or request for an observer."""

_KINDS: tuple[str, ...] = get_args(Kind)
_REMEMBERED = 10_000


@dataclass(slots=True, eq=False)
class Rule:
    """What happens to some of what travels; `hits` counts to how many it has happened."""

    effect: Literal["delay", "lose", "duplicate"]
    seconds: float
    topic: str
    kind: str | None
    to: EventSystem | None
    times: int | None
    share: float
    hits: int = 0


class Faults:
    """The faults of one broker's wire. Rules hold until `clear`; the later one comes after the earlier one.

    Args:
        seed: of the dice that `share` throws; the same seed throws the same.

    """

    def __init__(self, seed: int = 0) -> None:
        self._rules: list[Rule] = []
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._calls: OrderedDict[bytes, str] = OrderedDict()
        self._ports: list[FaultyPort] = []
        self._away = False

    # --- on the way -----------------------------------------------------------------------------------------------

    def delay(
        self, seconds: float, topic: str = ">", *, kind: Kind | None = None, to: EventSystem | None = None,
        times: int | None = None, share: float = 1.0,
    ) -> Rule:  # fmt: skip
        """Have it arrive later, perhaps after what was sent later.

        Args:
            seconds: by the broker's clock; the delays of several rules add up.
            topic: topic or pattern; of what answers a call, the topic of the call.
            kind: only this kind; everything but observers' copies unless given.
            to: only what arrives at this system.
            times: so often, then no more.
            share: the part of it that is concerned: 0.1 is one in ten, by chance.

        Raises:
            InvalidArgumentError: an argument is outside of what is allowed.

        """
        if not 0 < seconds < float("inf"):
            raise InvalidArgumentError(f"a delay is in seconds, above 0, not {seconds!r}")
        return self._add(Rule("delay", seconds, topic, kind, to, times, share))

    def lose(
        self, topic: str = ">", *, kind: Kind | None = None, to: EventSystem | None = None, times: int | None = None,
        share: float = 1.0,
    ) -> Rule:  # fmt: skip
        """Have it never arrive; arguments as for `delay`."""
        return self._add(Rule("lose", 0.0, topic, kind, to, times, share))

    def duplicate(
        self, topic: str = ">", *, kind: Kind | None = None, to: EventSystem | None = None, times: int | None = None,
        share: float = 1.0,
    ) -> Rule:  # fmt: skip
        """Have it arrive twice; arguments as for `delay`."""
        return self._add(Rule("duplicate", 0.0, topic, kind, to, times, share))

    def clear(self) -> None:
        """Forget all rules; what is delayed already comes all the same."""
        self._rules.clear()

    # --- links and processes --------------------------------------------------------------------------------------

    async def cut(self, events: EventSystem | None = None) -> None:
        """Break the link of a system, or take the broker away from all of them: each is told, and sends nothing.

        After 15 s by the clock (the lease) the others take it for gone.
        """
        self._away = self._away or events is None
        for port in self._of(events):
            await port.cut()

    async def restore(self, events: EventSystem | None = None) -> None:
        """Mend the link of a system, or all links; subscribers are told of the gap."""
        self._away = self._away and events is not None
        back = self._of(events)
        for port in back:
            await port.come_back()
        for port in back:
            port.restored()

    async def kill(self, events: EventSystem) -> None:
        """Have a process die, as by `kill -9`: nothing leaves it any more and nothing reaches it, for good."""
        for port in self._of(events):
            await port.kill()

    def around(self, transport: Transport) -> Transport:
        """A transport with these faults: `EventSystem(transport=faults.around(transport))`; one for each system."""
        return FaultyTransport(transport, self)

    # --- what the wire asks ---------------------------------------------------------------------------------------

    @property
    def away(self) -> bool:
        """Whether the broker cannot be reached by anybody."""
        return self._away

    def opened(self, port: FaultyPort) -> None:
        """A system has its place."""
        self._ports = [other for other in self._ports if not other.closed]
        self._ports.append(port)

    def called(self, request: Envelope) -> None:
        """A request leaves; what answers it bears its id only."""
        self._calls[request.call_id] = request.topic
        if len(self._calls) > _REMEMBERED:
            self._calls.popitem(last=False)

    def ports(self) -> list[FaultyPort]:
        """All places."""
        return self._ports

    def fate(self, envelope: Envelope, instance: str, *, observed: bool) -> Fate:
        """What becomes of an envelope that arrives at an instance."""
        fate = Fate(1, 0.0)
        kind = "observed" if observed else _KINDS[envelope.kind - 1]
        topic = envelope.topic or self._calls.get(envelope.call_id, "")
        for rule in self._rules:
            if _concerns(rule, kind, topic, instance) and self._dice.random() < rule.share:
                rule.hits += 1
                fate = _changed(fate, rule)
        return fate

    def _add(self, rule: Rule) -> Rule:
        topics.check_pattern(rule.topic)
        if rule.kind is not None and rule.kind not in _KINDS:
            raise InvalidArgumentError(f"kind is one of {', '.join(_KINDS)}, not {rule.kind!r}")
        if not 0 < rule.share <= 1:
            raise InvalidArgumentError(f"share is above 0 and at most 1, not {rule.share!r}")
        if rule.times is not None and rule.times < 1:
            raise InvalidArgumentError(f"times is a number of at least 1, not {rule.times!r}")
        self._rules.append(rule)
        return rule

    def _of(self, events: EventSystem | None) -> list[FaultyPort]:
        found = [port for port in self._ports if events is None or port.instance == events.instance]
        if events is not None and not found:
            raise InvalidArgumentError(
                "this system has no link with these faults: make it with this broker, and start it"
            )
        return found


def _concerns(rule: Rule, kind: str, topic: str, instance: str) -> bool:
    if rule.times is not None and rule.hits >= rule.times:
        return False
    if rule.kind != kind and (rule.kind is not None or kind == "observed"):
        return False
    if rule.to is not None and rule.to.instance != instance:
        return False
    return rule.topic == ">" or bool(topic and topics.matches(rule.topic, topic))


def _changed(fate: Fate, rule: Rule) -> Fate:
    if rule.effect == "lose":
        return Fate(0, fate.seconds)
    if rule.effect == "duplicate":
        return Fate(fate.copies * 2, fate.seconds)
    return Fate(fate.copies, fate.seconds + rule.seconds)
