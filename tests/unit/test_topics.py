"""Topics, patterns, groups and the trie: all vectors, and the trie against the plain rule."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.errors import InvalidArgumentError, InvalidTopicError, TielineError
from tieline.topics import PatternTrie, check_group, check_pattern, check_topic, is_pattern, is_reserved, matches

VECTORS: dict[str, list[Any]] = json.loads(
    (Path(__file__).parents[2] / "proto/vectors/topics.json").read_text(encoding="utf-8")
)
SAYS = {
    "empty": "must not be empty",
    "empty token": "is empty; dots stand between tokens",
    "too long": "at most 255 are allowed",
    "too many tokens": "at most 16 are allowed",
    "character": "is not allowed; allowed are",
    "wildcard": ": a concrete topic is needed, wildcards are for subscriptions",
    "wildcard inside a token": "a wildcard must be a whole token",
    "> is not last": "allowed only as the last token",
}


def refused(check: Callable[[Any], str], value: Any, error: type[TielineError], why: str, position: int | None) -> None:
    with pytest.raises(error) as caught:
        check(value)
    message = caught.value.message
    assert SAYS[why] in message
    assert len(message) < 500
    assert ("position" in message) is (position is not None)
    assert position is None or f"position {position} " in message


@pytest.mark.parametrize("topic", VECTORS["topics"])
def test_a_good_topic_is_a_good_pattern(topic: str) -> None:
    assert check_topic(topic) == check_pattern(topic) == topic
    assert not is_pattern(topic)
    assert matches(topic, topic)


@pytest.mark.parametrize("case", VECTORS["bad_topics"], ids=lambda case: ascii(case["topic"])[:40])
def test_a_bad_topic_is_refused_with_the_reason(case: dict[str, Any]) -> None:
    refused(check_topic, case["topic"], InvalidTopicError, case["why"], case["position"])


@pytest.mark.parametrize("pattern", VECTORS["patterns"])
def test_a_good_pattern(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize("case", VECTORS["bad_patterns"], ids=lambda case: ascii(case["pattern"])[:40])
def test_a_bad_pattern_is_refused_with_the_reason(case: dict[str, Any]) -> None:
    refused(check_pattern, case["pattern"], InvalidTopicError, case["why"], case["position"])


@pytest.mark.parametrize("group", VECTORS["groups"])
def test_a_good_group(group: str) -> None:
    assert check_group(group) == group


@pytest.mark.parametrize("case", VECTORS["bad_groups"], ids=lambda case: ascii(case["group"])[:40])
def test_a_bad_group_is_refused_with_the_reason(case: dict[str, Any]) -> None:
    refused(check_group, case["group"], InvalidArgumentError, case["why"], case["position"])


@pytest.mark.parametrize("case", VECTORS["matches"], ids=lambda case: f"{case['pattern'][:20]} {case['topic'][:20]}")
def test_what_matches(case: dict[str, Any]) -> None:
    pattern, topic = check_pattern(case["pattern"]), check_topic(case["topic"])
    trie: PatternTrie[int] = PatternTrie()
    trie.insert(pattern, 1)
    assert matches(pattern, topic) is case["matches"]
    assert trie.match(topic) == ([(pattern, 1)] if case["matches"] else [])


@pytest.mark.parametrize("case", VECTORS["reserved"], ids=lambda case: case["topic"])
def test_what_is_reserved(case: dict[str, Any]) -> None:
    assert is_reserved(case["topic"]) is case["reserved"]


@pytest.mark.parametrize("value", [None, 5, b"a.b", ["a"], 1.5, object()], ids=lambda value: type(value).__name__)
def test_what_is_no_text_is_refused_by_its_type(value: Any) -> None:
    for check, error in (
        (check_topic, InvalidTopicError),
        (check_pattern, InvalidTopicError),
        (check_group, InvalidArgumentError),
    ):
        with pytest.raises(error, match=f"must be text, not {type(value).__name__}"):
            check(value)


class Topic(str, Enum):  # noqa: UP042 - the old kind, whose str() is not its value
    CREATED = "orders.created"


def test_a_subclass_of_text_becomes_plain_text() -> None:
    for check in (check_topic, check_pattern, check_group):
        plain = check(Topic.CREATED)
        assert type(plain) is str
        assert plain == "orders.created"


def test_a_pattern_without_wildcards_is_none() -> None:
    assert [is_pattern(p) for p in ("a.b", "a.*", ">", "*")] == [False, True, True, True]


# --- the trie -------------------------------------------------------------------------------------------------------


def test_a_value_counts_once_for_each_pattern() -> None:
    trie: PatternTrie[str] = PatternTrie()
    assert [trie.insert("a.*", "x"), trie.insert("a.*", "x"), trie.insert("a.>", "x")] == [True, False, True]
    assert len(trie) == 2
    assert trie.match("a.b") == [("a.*", "x"), ("a.>", "x")]
    assert [trie.remove("a.*", "x"), trie.remove("a.*", "x"), trie.remove("a.*.c", "x")] == [True, False, False]
    assert trie.match("a.b") == [("a.>", "x")]
    assert len(trie) == 1


def test_literal_and_long_patterns_come_first() -> None:
    trie: PatternTrie[int] = PatternTrie()
    for value, pattern in enumerate([">", "a.>", "*.*", "a.*", "*.b", "a.b", "a.b.>", "c"]):
        trie.insert(pattern, value)
    trie.insert("a.b", 99)
    found = [pattern for pattern, _ in trie.match("a.b")]
    assert found == ["a.b", "a.b", "a.*", "*.b", "*.*", "a.>", ">"]
    assert [value for _, value in trie.match("a.b")][:2] == [5, 99]


def test_a_match_is_a_copy() -> None:
    trie: PatternTrie[int] = PatternTrie()
    trie.insert("a", 1)
    for pattern, value in trie.match("a"):
        trie.remove(pattern, value)
    assert trie.match("a") == []


def test_false_values_are_values() -> None:
    trie: PatternTrie[Any] = PatternTrie()
    assert trie.insert("a", 0)
    assert trie.insert("a", None)
    assert trie.remove("a", None)
    assert trie.match("a") == [("a", 0)]


TOKEN = st.sampled_from("ab")
TOPIC = st.lists(TOKEN, min_size=1, max_size=4).map(".".join)
PATTERN = st.builds(
    lambda tokens, rest: ".".join(tokens + rest),
    st.lists(st.sampled_from("ab*"), min_size=1, max_size=4),
    st.sampled_from([[], [], [">"]]),
) | st.just(">")


@given(st.lists(st.tuples(PATTERN, st.integers(0, 3), st.booleans())), TOPIC)
def test_the_trie_agrees_with_the_plain_rule(steps: list[tuple[str, int, bool]], topic: str) -> None:
    trie: PatternTrie[int] = PatternTrie()
    model: set[tuple[str, int]] = set()
    for pattern, value, add in steps:
        pair = (pattern, value)
        assert (trie.insert if add else trie.remove)(pattern, value) is ((pair in model) is not add)
        (model.add if add else model.discard)(pair)
    found = trie.match(topic)
    assert len(found) == len(set(found))
    assert set(found) == {(pattern, value) for pattern, value in model if matches(pattern, topic)}
    assert len(trie) == len(model)


@given(st.lists(st.tuples(PATTERN, st.integers(0, 3)), unique=True))
def test_an_emptied_trie_keeps_nothing(pairs: list[tuple[str, int]]) -> None:
    trie: PatternTrie[int] = PatternTrie()
    for pattern, value in pairs:
        trie.insert(pattern, value)
    for pattern, value in reversed(pairs):
        trie.remove(pattern, value)
        trie.remove(f"{pattern.removesuffix('>')}zzz", value)
    assert trie._root.empty
    assert len(trie) == 0


def test_hostile_patterns_cost_no_more_than_their_number() -> None:
    trie: PatternTrie[int] = PatternTrie()
    for number, tokens in enumerate(itertools.product("a*", repeat=12)):
        trie.insert(".".join(tokens) + ".b.c.d", number)
    start = time.process_time()
    assert trie.match(".".join("a" * 16)) == []
    assert len(trie.match(".".join("a" * 12) + ".b.c.d")) == 4096
    assert time.process_time() - start < 2.0


def test_hostile_texts_are_refused_fast() -> None:
    start = time.process_time()
    for text in ("a." * 500_000, "a" * 1_000_000, "a.*." * 8 + "!", ".".join(["*"] * 15 + [">", ">"])):
        for check in (check_topic, check_pattern, check_group):
            with pytest.raises(TielineError):
                check(text)
    assert time.process_time() - start < 2.0
