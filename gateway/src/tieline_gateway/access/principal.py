"""Who does something, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field

from tieline.errors import PermissionDeniedError
from tieline_gateway.access.limits import Meter
from tieline_gateway.access.permissions import Action, Permissions

__all__ = ["ANYBODY", "Action", "Principal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """One who was let in; unrestricted unless said.

    Attributes:
        name: for people, in errors, and in the source of what it publishes and asks without a Link.
        known: this is somebody: one of several, with a name of their own.
        permissions: rules; None: everything is allowed.
        services: the names it may have as a service; None for any.
        meter: what it uses now; one for all connections of this name.

    """

    name: str
    known: bool = True
    permissions: Permissions | None = None
    services: frozenset[str] | None = None
    meter: Meter = field(default_factory=Meter, compare=False, repr=False)

    @property
    def signature(self) -> str:
        """What stands in the source of its events and calls: its name, empty for who has none."""
        return self.name if self.known else ""

    @property
    def restricted(self) -> bool:
        """Whether there is something it may not do."""
        return self.permissions is not None

    def check(self, action: Action, topic: str) -> None:
        """Return if this is allowed.

        Args:
            action: what is to be done.
            topic: a topic, or a pattern: then all of it has to be allowed.

        Raises:
            PermissionDeniedError: it is not.

        """
        if not self.may(action, topic):
            raise PermissionDeniedError(f"{self.name} may not {action} {topic!r:.300}")

    def may(self, action: Action, topic: str) -> bool:
        """Whether this is allowed; see `check`."""
        return self.permissions is None or self.permissions.allow(action, topic)

    def check_service(self, service: str) -> None:
        """Return if it may be a service of this name.

        Raises:
            PermissionDeniedError: it may not.

        """
        if self.services is not None and service not in self.services:
            allowed = ", ".join(sorted(self.services)) or "none"
            raise PermissionDeniedError(f"{self.name} may not be the service {service!r:.80}; it may be {allowed}")


ANYBODY = Principal(name="anybody", known=False)
"""Who comes to a gateway that asks nobody who they are."""
