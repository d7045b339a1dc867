"""The seam between an event system and what carries its envelopes.

A `Transport` is a way to a broker. An instance opens a `Port` on it, and the port tells the instance's `Receiver` what
arrives. An event system opens one port; a gateway opens one for each of its Links. The guarantees below hold for every
transport, and one suite of tests proves them for all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.durable.mail import Mail
from tieline.errors import TielineError
from tieline.history.tape import Tape
from tieline.schedules.agenda import Agenda


class Route(IntEnum):
    """How an envelope reaches an instance (numbers as in gateway.proto)."""

    __hash__ = int.__hash__  # that of enums is written in Python, and interests are looked up for every envelope

    REQUEST = 1
    EVENT = 2
    GROUP = 3
    OBSERVER = 4
    INBOX = 5
    MAIL = 6


class Interest(NamedTuple):
    """One thing an instance wants to receive: a route, a topic or pattern, and for GROUP and MAIL the group's name."""

    route: Route
    pattern: str
    group: str = ""


class Gap(NamedTuple):
    """Live events may have been lost between two moments (ms since 1970, broker clock)."""

    since: int
    until: int
    reason: str


class Probed(NamedTuple):
    """Answer to a probe: instances that do not listen now, and instances whose lease ended."""

    silent: frozenset[str]
    expired: frozenset[str]


class Place(NamedTuple):
    """An instance that answers requests on a topic, its service, and the groups it has there."""

    service: str
    instance: str
    groups: tuple[str, ...]


class Receiver(Protocol):
    """What an instance offers its port. All methods are called on the event loop, never block and never raise."""

    def on_request(self, envelope: Envelope) -> None:
        """A request was dispatched to this instance."""

    def on_event(self, interest: Interest, envelope: Envelope) -> None:
        """A copy of an event (EVENT, GROUP) or an observed envelope (OBSERVER) arrived by this interest."""

    def on_answer(self, envelope: Envelope) -> None:
        """Something arrived in the inbox: REPLY, ACCEPTED, CANCEL or a stream frame."""

    def on_dispatched(self, call_id: bytes, instance: str, error: TielineError | None) -> None:
        """Who took a request: an instance; empty when nobody did; or why that is not known."""

    def on_joined(self, call_id: bytes, until: int, instance: str) -> None:
        """Instead of `on_dispatched`: the request waits for the run of another one with the same idempotency key.

        The run is at that instance and ends at `until` (ms since 1970, broker clock) at the latest; its result comes by
        `on_answer`.
        """

    def under_way(self) -> set[bytes]:
        """Ids of the calls this instance made or was given that have not ended.

        Asked by a port that goes on at another place while these come to their end at the old one.
        """
        ...

    def on_left(self, calls: set[bytes]) -> None:
        """An old place is gone: these calls, which were to end there, get no answer now."""

    def on_mail(self, topic: str, group: str) -> None:
        """A subscription group of this instance has something to claim."""

    def on_connected(self, gap: Gap | None) -> None:
        """The broker is there; everything is registered. `gap` is None where none was, as the first time."""

    def on_disconnected(self, reason: str) -> None:
        """The broker is gone; what was under way is unknown."""


class Unmoved:
    """The part of a `Receiver` whose port never goes on at another place: it is not asked for, nor told."""

    def under_way(self) -> set[bytes]:
        """See `Receiver`."""
        return set()

    def on_left(self, calls: set[bytes]) -> None:
        """See `Receiver`."""


class Port(Protocol):
    """One instance's place at a broker."""

    @property
    def instance(self) -> str:
        """This instance's name."""
        ...

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached now."""
        ...

    @property
    def in_process(self) -> bool:
        """Whether it reaches nobody outside of this process; errors say so."""
        ...

    @property
    def observing(self) -> bool:
        """Whether anybody elsewhere may be observing; while nobody is, `observe` need not be called."""
        ...

    async def register(self, interests: Sequence[Interest]) -> None:
        """Return when the broker has confirmed the interests; the port registers them again after each reconnect.

        While the broker is away it waits for the reconnect.
        """
        ...

    async def unregister(self, interests: Sequence[Interest]) -> None:
        """Return when nothing more can arrive by the interests. All that was dispatched before has been delivered."""
        ...

    async def publish(self, envelope: Envelope, served: Collection[str]) -> None:
        """Hand an event to the broker: a copy for everyone else, one for each group that is not in `served`.

        Raises:
            UnavailableError: the broker is away (NOT_DELIVERED) or went away (MAY_HAVE_RUN).

        """
        ...

    def dispatch(self, envelope: Envelope, avoid: str = "", to: str = "") -> bytes:
        """Hand a request to one responder, answered by `Receiver.on_dispatched`, once.

        Not to the instance `avoid`; if `to` is given, to that instance or to nobody. With an idempotency key it may be
        answered by `Receiver.on_joined` instead, or at once by `Receiver.on_answer` with what was stored.

        Returns what was sent, which takes less memory than the envelope; empty where the envelope itself was handed on.
        """
        ...

    def answer(self, to: str, envelope: Envelope) -> None:
        """Send REPLY, ACCEPTED, CANCEL or a stream frame to an instance; kept for a while if the broker is away.

        A REPLY with an idempotency key is stored first, and goes to everyone who waits for it.
        """
        ...

    def release(self, request: Envelope, error: TielineError) -> None:
        """Give up the claim of a request with an idempotency key; who joined it gets the error."""
        ...

    async def responders(self, topic: str) -> list[Place]:
        """Who answers requests on a topic now, this instance included.

        Raises:
            UnavailableError: the broker could not be asked.

        """
        ...

    def keep_trail(self, correlation_id: str, trail: bytes) -> None:
        """Keep the steps of something that failed (a serialized Trail) for a while; lost while the broker is away."""

    async def find_trail(self, correlation_id: str) -> bytes:
        """The steps that were kept (a serialized Trail); empty for none.

        Raises:
            UnavailableError: the broker could not be asked.

        """
        ...

    def observe(self, envelope: Envelope) -> None:
        """Give a copy of a request to the observers elsewhere. Called once a request, wherever it is answered."""
        ...

    async def probe(self, instances: Collection[str]) -> Probed:
        """Ask after the life of instances.

        Raises:
            UnavailableError: the broker could not be asked; nothing is known.

        """
        ...

    @property
    def agenda(self) -> Agenda:
        """What is planned; where nothing can be, everything it offers is an UnsupportedError."""
        ...

    @property
    def mail(self) -> Mail:
        """Durable events; where there are none, everything it offers is an UnsupportedError."""
        ...

    @property
    def tape(self) -> Tape:
        """What recorders read; where there is none, everything it offers is an UnsupportedError."""
        ...

    async def aclose(self) -> None:
        """Give up the inbox, the lease and all interests. Idempotent."""
        ...


class Transport(Protocol):
    """A way to one broker."""

    async def open(self, service: str, receiver: Receiver) -> Port:
        """Connect if need be, and give a new instance its place.

        Raises:
            UnavailableError: nobody there, within 5 s; the message names the host and what to do.
            UnauthenticatedError: the broker refused the credentials.
            UnsupportedError: the server is of a kind or version this transport cannot use.

        """
        ...

    async def aclose(self) -> None:
        """Close all ports and the connection. Idempotent."""
        ...

    def abandon(self) -> None:
        """Let go of what outlives the event loop, which is gone, and with it every connection. Idempotent."""
