"""Rules over patterns: which topics they cover, and that deny wins."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.topics import matches
from tieline_gateway.access.permissions import Action, Permissions, covers, overlap

WORDS = ("a", "b")
TOPICS = [".".join(words) for n in (1, 2, 3, 4) for words in itertools.product((*WORDS, "c"), repeat=n)]
tokens = st.lists(st.sampled_from((*WORDS, "*")), min_size=1, max_size=3)
patterns = st.builds(lambda words, rest: ".".join([*words, *rest]), tokens, st.sampled_from(([], [">"])))


@given(patterns, patterns)
def test_a_pattern_covers_another_if_it_has_all_its_topics(rule: str, asked: str) -> None:
    wanted = [topic for topic in TOPICS if matches(asked, topic)]
    assert covers(rule, asked) == all(matches(rule, topic) for topic in wanted)
    assert overlap(rule, asked) == any(matches(rule, topic) for topic in wanted) == overlap(asked, rule)


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("order.new", True),
        ("order", False),
        ("order.*", False),  # some of it is denied
        ("order.new.*", True),
        ("order.secret", False),
        ("order.>", False),
        (">", False),
        ("*", False),
        ("bank.new", False),
        ("system.error", False),
    ],
)
def test_deny_wins_and_what_is_not_allowed_is_denied(topic: str, *, allowed: bool) -> None:
    rules = Permissions({Action.PUBLISH: ["order.>"]}, {Action.PUBLISH: ["order.secret"]})
    for _ in range(2):  # the second time it is remembered
        assert rules.allow(Action.PUBLISH, topic) is allowed
    assert not rules.allow(Action.SUBSCRIBE, topic)


def test_topics_of_the_system_are_apart_but_for_admins() -> None:
    rules = Permissions({Action.SUBSCRIBE: [">"], Action.ADMIN: [">"], Action.CALL: ["system.>"]})
    assert rules.allow(Action.SUBSCRIBE, ">")
    assert not rules.allow(Action.SUBSCRIBE, "system.error")
    assert rules.allow(Action.ADMIN, "system.error")
    assert rules.allow(Action.CALL, "system.error")
