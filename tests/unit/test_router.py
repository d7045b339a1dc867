"""Which local subscriptions get an envelope."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tieline import EventSystem, Subscription, topics
from tieline.router import Router
from tieline.transport import Interest, Route

SYSTEM = EventSystem("memory://")


def subscription(topic: str, **options: Any) -> Subscription:
    """A subscription that belongs to no router yet."""
    return SYSTEM.subscribe(topic, lambda: None, **options)


def router_of(*subscriptions: Subscription) -> Router:
    router = Router()
    for each in subscriptions:
        router.add(each)
    return router


def test_interests_are_new_once_and_gone_with_the_last() -> None:
    router, first, second = Router(), subscription("a"), subscription("a")
    interests = [Interest(Route.REQUEST, "a"), Interest(Route.EVENT, "a")]
    assert router.add(first) == interests
    assert router.add(second) == []
    assert router.remove(first) == []
    assert router.remove(first) == []
    assert router.remove(second) == interests
    assert list(router) == []


def test_what_a_subscription_is_interested_in_follows_from_what_it_is() -> None:
    assert subscription("a.*").interests == (Interest(Route.EVENT, "a.*"),)
    assert subscription("a", batch=(2, 1.0)).interests == (Interest(Route.EVENT, "a"),)
    assert subscription("a", observe=True).interests == (Interest(Route.OBSERVER, "a"),)
    assert subscription("a", group="g").interests == (Interest(Route.REQUEST, "a"), Interest(Route.GROUP, "a", "g"))
    assert subscription("a.>", group="g").interests == (Interest(Route.GROUP, "a.>", "g"),)


def test_responders_take_turns_and_full_ones_are_passed_over() -> None:
    one, full, two = subscription("a"), subscription("a", concurrency=1, queue=0), subscription("a")
    router = router_of(one, full, two)
    full.mailbox.running[object()] = None  # type: ignore[index]
    picked = [router.responder("a") for _ in range(4)]
    assert {id(p) for p in picked} == {id(one), id(two)}
    assert all(p is not q for p, q in itertools.pairwise(picked))


def test_without_room_anywhere_there_is_a_responder_but_none_to_pick() -> None:
    full = subscription("a", concurrency=1, queue=0)
    router = router_of(full)
    full.mailbox.running[object()] = None  # type: ignore[index]
    assert router.responder("a") is None
    assert router.has_responder("a")
    assert router.responder("b") is None
    assert not router.has_responder("b")


def test_patterns_observers_and_batches_do_not_respond() -> None:
    router = router_of(subscription("a.*"), subscription("a.b", observe=True), subscription("a.b", batch=(2, 1.0)))
    assert not router.has_responder("a.b")


def test_members_on_the_topic_come_before_those_on_patterns() -> None:
    wild, exact, other = subscription("a.*", group="g"), subscription("a.b", group="g"), subscription("a.>", group="h")
    _, groups = router_of(wild, exact, other).listeners("a.b")
    assert groups["g"].pick() is exact
    assert groups["h"].pick() is other
    _, groups = router_of(wild, exact, other).listeners("a.c")
    assert groups["g"].pick() is wild


def test_observers_are_found_by_topic_and_pattern_and_get_no_events() -> None:
    exact, wild = subscription("a.b", observe=True), subscription("a.>", observe=True)
    router = router_of(exact, wild)
    assert router.observers("a.b") == [exact, wild]
    assert router.observers("a.c") == [wild]
    assert router.observers("b") == []
    assert router.listeners("a.b") == ([], {})


def test_a_push_belongs_to_those_registered_under_exactly_its_interest() -> None:
    exact, wild = subscription("a.b"), subscription("a.*")
    router = router_of(exact, wild)
    assert router.takers(Interest(Route.EVENT, "a.*")) == [wild]
    assert router.takers(Interest(Route.EVENT, "a.>")) == []


def test_what_was_on_its_way_is_taken_by_those_who_leave_until_they_are_forgotten() -> None:
    one, two = subscription("a", group="g"), subscription("a", group="g", concurrency=1, queue=0)
    router, group = router_of(one, two), Interest(Route.GROUP, "a", "g")
    router.remove(one)
    assert [router.taker("a"), router.member(group)] == [two, two], "who stays comes first"
    router.remove(two)
    assert not router.has_responder("a")
    assert router.responder("a") is None
    assert router.listeners("a") == ([], {})
    assert [router.taker("a"), router.member(group)] == [one, one]
    assert router.takers(group) == [one, two]
    router.forget(one)
    assert [router.taker("a"), router.member(group)] == [two, two]
    two.mailbox.running[object()] = None  # type: ignore[index]
    assert [router.taker("a"), router.member(group)] == [None, None]
    router.forget(two)
    assert router.takers(group) == []


TOPICS = ["a", "a.b", "a.c", "a.b.c", "b"]
PATTERNS = [*TOPICS, "*", "a.*", "*.b", "a.>", ">", "a.*.c", "a.b.>"]


@given(
    st.lists(st.tuples(st.sampled_from(PATTERNS), st.sampled_from(["", "g", "h"]), st.booleans()), max_size=12),
    st.sampled_from(TOPICS),
)
def test_listeners_are_exactly_those_that_match(wanted: list[tuple[str, str, bool]], topic: str) -> None:
    subscriptions = [(subscription(pattern, group=group), keep) for pattern, group, keep in wanted]
    router = router_of(*(each for each, _ in subscriptions))
    for each, keep in subscriptions:
        if not keep:
            router.remove(each)
    left = [each for each, keep in subscriptions if keep and topics.matches(each.topic, topic)]
    each_one, groups = router.listeners(topic)
    assert sorted(map(id, each_one)) == sorted(id(s) for s in left if not s.group)
    assert set(groups) == {s.group for s in left if s.group}
    assert all(member in left for turn in groups.values() for member in turn.members)
    assert set(router) == {each for each, keep in subscriptions if keep}
