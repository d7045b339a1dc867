"""Who does something, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tieline.errors import PermissionDeniedError


class Action(StrEnum):
    """What may be allowed over a topic, or over a pattern of topics."""

    PUBLISH = "publish"
    """Publish, store and plan events; see, move and cancel what was planned for the topic."""
    SUBSCRIBE = "subscribe"
    """Get events, live or durable, also those of history."""
    CALL = "call"
    """Send requests."""
    SERVE = "serve"
    """Answer requests."""
    ADMIN = "admin"
    """Look after what belongs to others: groups, dead letters, parked keys, cron tasks, `explain`, `services`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """One who was let in; unrestricted unless said."""

    name: str

    def check(self, action: Action, topic: str) -> None:
        """Return if this is allowed.

        Args:
            action: what is to be done.
            topic: a topic, or a pattern: then all of it has to be allowed.

        Raises:
            PermissionDeniedError: it is not.

        """
        if not self.may(action, topic):
            raise PermissionDeniedError(f"{self.name} may not {action} {topic!r}")

    def may(self, action: Action, topic: str) -> bool:
        """Whether this is allowed; see `check`."""
        return bool(action and topic)


ANYBODY = Principal(name="anybody")
"""Who comes to a gateway that asks nobody who they are."""
