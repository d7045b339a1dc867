"""What a handler can know of the event it handles, and what its own calls and events inherit from it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tieline import codec
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.envelope import REQUEST, new_id

if TYPE_CHECKING:
    from tieline.durable.delivery import DurableDelivery

_NEVER = float("inf")


class Event:
    """An event or request, as its handler sees it.

    `cancelled` turns true when the caller gave up: synchronous handlers look at it, asynchronous ones are cancelled.
    `delivery` is what the handler of a durable event may say of it; None for a live one. `clock` is the broker's: a
    handler that sleeps by it, `await event.clock.sleep(5)`, can be hurried in a test.
    """

    __slots__ = ("_data", "_decoded", "cancelled", "clock", "delivery", "envelope")

    def __init__(self, envelope: Envelope, clock: Clock) -> None:
        self.envelope = envelope
        self.cancelled = False
        self.clock = clock
        self.delivery: DurableDelivery | None = None
        self._decoded = False

    @property
    def topic(self) -> str:
        """Concrete topic it was published on."""
        return self.envelope.topic

    @property
    def id(self) -> str:
        """UUIDv7 text."""
        if not self.envelope.id:
            self.envelope.id = new_id()
        return self.envelope.id

    @property
    def is_request(self) -> bool:
        """Whether somebody waits for the reply."""
        return self.envelope.kind == REQUEST

    @property
    def source(self) -> str:
        """`service/instance` of the publisher."""
        return self.envelope.source

    @property
    def correlation_id(self) -> str:
        """Names the chain of everything one act caused."""
        return self.envelope.correlation_id or self.id

    @property
    def causation_id(self) -> str:
        """Id of the event whose handler published this one; empty at the root."""
        return self.envelope.causation_id

    @property
    def headers(self) -> Mapping[str, str]:
        """The publisher's headers."""
        return self.envelope.headers

    @property
    def content_type(self) -> str:
        """Media type of the payload as it travelled."""
        return self.envelope.content_type or codec.MSGPACK

    @property
    def schema_version(self) -> str:
        """Version of the payload's schema, as the publisher said it."""
        return self.envelope.schema_version

    @property
    def key(self) -> str:
        """Ordering key; empty for none."""
        return self.envelope.key

    @property
    def priority(self) -> int:
        """1 low, 5 normal, 8 high, 10 critical."""
        return self.envelope.priority or 5

    @property
    def hops(self) -> int:
        """How many handlers led here."""
        return self.envelope.hops

    @property
    def time(self) -> datetime:
        """When it was published, by the broker's clock."""
        return datetime.fromtimestamp(self.envelope.time / 1000, UTC)

    @property
    def scheduled(self) -> datetime | None:
        """When it was planned to be published, by the broker's clock; None if it was published at once."""
        scheduled = self.envelope.scheduled
        return datetime.fromtimestamp(scheduled / 1000, UTC) if scheduled else None

    @property
    def expires_at(self) -> datetime | None:
        """When it expires, by the broker's clock; None for never."""
        expires = self.envelope.expires_at
        return datetime.fromtimestamp(expires / 1000, UTC) if expires else None

    @property
    def replay(self) -> str:
        """Id of the replay that delivers it again; empty otherwise."""
        return self.envelope.replay

    @property
    def data(self) -> Any:
        """The payload, decoded.

        Raises:
            InvalidPayloadError: the payload cannot be read.

        """
        if not self._decoded:
            self._data = codec.decode(self.envelope.data, self.envelope.content_type)
            self._decoded = True
        return self._data

    def set_data(self, data: Any) -> None:
        """Replace the payload that filters and the handler will see (for middleware)."""
        self._data = data
        self._decoded = True

    def remaining(self) -> float:
        """Seconds until it expires; infinite for never, negative when it has. What streams does not expire."""
        expires = self.envelope.expires_at
        return (expires - self.clock.now()) / 1000 if expires and not self.streams else _NEVER

    @property
    def expired(self) -> bool:
        """Whether it is too late to begin handling it."""
        return 0 < self.envelope.expires_at <= self.clock.now()

    @property
    def streams(self) -> bool:
        """Whether the caller reads a stream of replies."""
        return self.envelope.HasField("stream")


CURRENT: ContextVar[Event | None] = ContextVar("tieline_event", default=None)


def current_event() -> Event | None:
    """The event that the running handler handles; None outside handlers. Works in synchronous handlers too."""
    return CURRENT.get()
