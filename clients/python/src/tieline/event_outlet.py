"""Where live events end: recorded, never answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from tieline.delivery import Delivery
from tieline.errors import NoRespondersError, TielineError

log = logging.getLogger("tieline")

HANDLED = "handled"


class Teller(Protocol):
    """Who is told of all of them."""

    def handled(self, delivery: Delivery, how: str) -> None:
        """A delivery has ended."""

    def event_failed(self, delivery: Delivery, error: TielineError) -> None:
        """A handler raised or could not be run."""


class EventOutlet:
    """Outlet of the deliveries of events; `handled` hears of each that has ended."""

    __slots__ = ("_handled", "_teller")

    def __init__(self, teller: Teller, handled: Callable[[Delivery], None] | None = None) -> None:
        self._teller = teller
        self._handled = handled

    def succeeded(self, delivery: Delivery, result: Any) -> None:
        """The handler returned."""
        self._end(delivery, HANDLED)

    def failed(self, delivery: Delivery, error: TielineError) -> None:
        """The handler raised or could not be run."""
        told = error.__cause__ is not None  # with all that is known of it
        if not told and not isinstance(error, NoRespondersError):  # a filter that refuses is no failure
            log.warning("handler %r of %r failed: %s", delivery.subscription.name, delivery.event.topic, error)
        self._teller.event_failed(delivery, error)
        self._end(delivery, error.code)

    def interrupted(self, delivery: Delivery) -> None:
        """The handler was cancelled."""
        self._end(delivery, "cancelled")

    def _end(self, delivery: Delivery, how: str) -> None:
        self._teller.handled(delivery, how)
        if self._handled:
            self._handled(delivery)

    def item(self, delivery: Delivery, value: Any) -> None:
        """Nobody reads what the handler of an event yields."""

    def ended(self, delivery: Delivery) -> None:
        """The handler yielded for the last time."""
        self._end(delivery, HANDLED)
