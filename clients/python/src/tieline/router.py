"""Which local subscriptions get an envelope. Rules: SPEC.md, section 5."""

from __future__ import annotations

from collections.abc import Iterator

from tieline import topics
from tieline.subscription import Subscription
from tieline.transport import Interest, Route


class Turn:
    """Subscriptions that take turns."""

    __slots__ = ("_next", "members")

    def __init__(self) -> None:
        self.members: list[Subscription] = []
        self._next = 0

    def pick(self) -> Subscription | None:
        """The next one that has room; None when none has."""
        members = self.members
        if len(members) == 1:
            only = members[0]
            return only if only.mailbox.has_room() else None
        for _ in range(len(members)):
            self._next = at = (self._next + 1) % len(members)
            if members[at].mailbox.has_room():
                return members[at]
        return None


class Router:
    """All subscriptions of one event system."""

    def __init__(self) -> None:
        self._at: dict[Interest, Turn] = {}
        self._responders: dict[str, Turn] = {}
        self._leaving: dict[Interest, list[Subscription]] = {}
        self._events: dict[str, set[Interest]] = {}
        self._patterns: topics.PatternTrie[Interest] = topics.PatternTrie()
        self._observed: topics.PatternTrie[Interest] = topics.PatternTrie()
        self._wild = 0
        self.observing = 0

    def __iter__(self) -> Iterator[Subscription]:
        return iter({id(s): s for turn in self._at.values() for s in turn.members}.values())

    def add(self, subscription: Subscription) -> list[Interest]:
        """Take it in; returns the interests nobody had before."""
        return [interest for interest in subscription.interests if self._add(interest, subscription)]

    def remove(self, subscription: Subscription) -> list[Interest]:
        """Choose it no more; returns the interests nobody has any more.

        It still takes what was sent here before the broker knew, until it is forgotten.
        """
        for interest in subscription.interests:
            self._leaving.setdefault(interest, []).append(subscription)
        return [interest for interest in subscription.interests if self._remove(interest, subscription)]

    def forget(self, subscription: Subscription) -> None:
        """Nothing comes for one that was removed any more."""
        for interest in subscription.interests:
            left = [other for other in self._leaving.pop(interest, ()) if other is not subscription]
            if left:
                self._leaving[interest] = left

    def responder(self, topic: str, group: str = "") -> Subscription | None:
        """The next local responder with room; of this group, if one is given."""
        turn = self._responders.get(topic)
        if turn is None:
            return None
        if not group:
            return turn.pick()
        return next((one for one in turn.members if one.group == group and one.mailbox.has_room()), None)

    def can_answer(self, topic: str) -> bool:
        """Whether a local responder has room; nobody's turn is taken."""
        turn = self._responders.get(topic)
        return turn is not None and any(member.mailbox.has_room() for member in turn.members)

    def has_responder(self, topic: str, group: str = "") -> bool:
        """Whether anybody here (of this group) answers this topic, with room or without."""
        turn = self._responders.get(topic)
        return turn is not None and (not group or any(member.group == group for member in turn.members))

    def listeners(self, topic: str) -> tuple[list[Subscription], dict[str, Turn]]:
        """Subscriptions that each get a copy of an event, and of each group here those that take turns.

        A group's members on the topic itself come before those on patterns.
        """
        each: list[Subscription] = []
        groups: dict[str, Turn] = {}
        exact = self._events.get(topic)
        if exact is None and not self._wild:
            return each, groups
        found = list(exact or ())
        if self._wild:
            found += [interest for _, interest in self._patterns.match(topic)]
        for interest in found:
            turn = self._at[interest]
            if interest.route == Route.EVENT:
                each += turn.members
            elif interest.group not in groups:
                groups[interest.group] = turn
        return each, groups

    def observers(self, topic: str) -> list[Subscription]:
        """Local observers of a topic."""
        if not self.observing:
            return []
        return [s for _, interest in self._observed.match(topic) for s in self._at[interest].members]

    # --- what was sent here -----------------------------------------------------------------------------------------

    def taker(self, topic: str, group: str = "") -> Subscription | None:
        """Who answers a request that was dispatched to this instance; None when nobody has room."""
        return self.responder(topic, group) or self._late(Interest(Route.REQUEST, topic))

    def member(self, interest: Interest) -> Subscription | None:
        """Who takes an event that was sent to a group's members here, in turn; None when nobody has room."""
        turn = self._at.get(interest)
        return (turn.pick() if turn is not None else None) or self._late(interest)

    def takers(self, interest: Interest) -> list[Subscription]:
        """Everybody whom what arrives by an interest concerns."""
        turn = self._at.get(interest)
        return [*(turn.members if turn is not None else ()), *self._leaving.get(interest, ())]

    def _late(self, interest: Interest) -> Subscription | None:
        return next((one for one in self._leaving.get(interest, ()) if one.mailbox.has_room()), None)

    # --- adding and removing ----------------------------------------------------------------------------------------

    def _add(self, interest: Interest, subscription: Subscription) -> bool:
        turn = self._at.get(interest)
        new = turn is None
        if turn is None:
            turn = self._at[interest] = Turn()
            self._index(interest, turn)
        turn.members.append(subscription)
        return new

    def _index(self, interest: Interest, turn: Turn) -> None:
        if interest.route == Route.REQUEST:
            self._responders[interest.pattern] = turn
        elif interest.route == Route.OBSERVER:
            self._observed.insert(interest.pattern, interest)
            self.observing += 1
        elif interest.route == Route.MAIL:
            return
        elif topics.is_pattern(interest.pattern):
            self._patterns.insert(interest.pattern, interest)
            self._wild += 1
        else:
            self._events.setdefault(interest.pattern, set()).add(interest)

    def _remove(self, interest: Interest, subscription: Subscription) -> bool:
        turn = self._at.get(interest)
        if turn is None or subscription not in turn.members:
            return False
        turn.members.remove(subscription)
        if turn.members:
            return False
        del self._at[interest]
        self._forget(interest)
        return True

    def _forget(self, interest: Interest) -> None:
        if interest.route == Route.REQUEST:
            del self._responders[interest.pattern]
        elif interest.route == Route.OBSERVER:
            self._observed.remove(interest.pattern, interest)
            self.observing -= 1
        elif interest.route == Route.MAIL:
            return
        elif topics.is_pattern(interest.pattern):
            self._patterns.remove(interest.pattern, interest)
            self._wild -= 1
        else:
            events = self._events[interest.pattern]
            events.discard(interest)
            if not events:
                del self._events[interest.pattern]
