"""What somebody may do: rules over patterns of topics. Deny wins; what no rule allows is denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from tieline._contract.contract import TOPICS_APART

_MOST_KNOWN = 4_096


class Action(StrEnum):
    """What may be allowed over a topic, or over a pattern of topics."""

    PUBLISH = "publish"
    """Publish, store and plan events; see, move and cancel what was planned for the topic."""
    SUBSCRIBE = "subscribe"
    """Get events, live or durable, also those of history; watch requests."""
    CALL = "call"
    """Send requests."""
    SERVE = "serve"
    """Answer requests."""
    ADMIN = "admin"
    """Look after what belongs to others: groups, dead letters, parked keys, cron tasks, `explain`, `services`."""


class Permissions:
    """Rules of one principal.

    Args:
        allowed: patterns by action.
        denied: patterns by action; stronger than what is allowed.

    """

    __slots__ = ("_allowed", "_denied", "_known")

    def __init__(
        self, allowed: Mapping[Action, Iterable[str]], denied: Mapping[Action, Iterable[str]] | None = None
    ) -> None:
        self._allowed = {action: tuple(patterns) for action, patterns in allowed.items()}
        self._denied = {action: tuple(patterns) for action, patterns in (denied or {}).items()}
        self._known: dict[tuple[Action, str], bool] = {}

    def allow(self, action: Action, topic: str) -> bool:
        """Whether this is allowed; of a pattern, whether all of it is."""
        asked = (action, topic)
        known = self._known.get(asked)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[asked] = self._decide(action, topic)
        return known

    def patterns(self) -> Mapping[str, tuple[str, ...]]:
        """What the rules say, by `publish`, `deny_publish` and so on."""
        told = {str(action): patterns for action, patterns in self._allowed.items() if patterns}
        return told | {f"deny_{action}": patterns for action, patterns in self._denied.items() if patterns}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Permissions) and self.patterns() == other.patterns()

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def _decide(self, action: Action, topic: str) -> bool:
        if any(overlap(pattern, topic) for pattern in self._denied.get(action, ())):
            return False
        apart = topic.startswith(TOPICS_APART) and action is not Action.ADMIN
        rules = self._allowed.get(action, ())
        return any(covers(pattern, topic) and not (apart and pattern[0] in "*>") for pattern in rules)


def covers(pattern: str, asked: str) -> bool:
    """Whether all topics that `asked` (a topic or pattern) stands for belong to the pattern."""
    wanted, given = pattern.split("."), asked.split(".")
    for at, token in enumerate(wanted):
        if token == ">":  # noqa: S105 - of a pattern
            return len(given) > at
        if at >= len(given) or given[at] == ">" or token not in ("*", given[at]):
            return False
    return len(wanted) == len(given)


def overlap(one: str, other: str) -> bool:
    """Whether there is a topic that belongs to both patterns."""
    ours, theirs = one.split("."), other.split(".")
    for at in range(max(len(ours), len(theirs))):
        if at >= len(ours) or at >= len(theirs):
            return False
        if ">" in (ours[at], theirs[at]):
            return True
        if ours[at] != theirs[at] and "*" not in (ours[at], theirs[at]):
            return False
    return True
