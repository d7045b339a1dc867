"""Topics, patterns and groups: what is allowed, and what matches (SPEC.md, section 4)."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from tieline._contract.contract import (
    LIMIT_GROUP_BYTES,
    LIMIT_TOPIC_BYTES,
    LIMIT_TOPIC_TOKENS,
    RESERVED_TOPICS,
    TOPICS_APART,
)
from tieline.errors import InvalidArgumentError, InvalidTopicError

_WORD: Final = r"[A-Za-z0-9_\-/]+"
_WILD: Final = rf"(?:{_WORD}|\*)"
_ONE: Final = "*"
_REST: Final = ">"
_MORE: Final = LIMIT_TOPIC_TOKENS - 1

# Everything these accept is ASCII, so characters are bytes. Tokens cannot contain the dot: no backtracking.
_is_topic = re.compile(rf"{_WORD}(?:\.{_WORD}){{0,{_MORE}}}").fullmatch
_is_pattern = re.compile(rf"{_WILD}(?:\.{_WILD}){{0,{_MORE}}}|(?:{_WILD}\.){{0,{_MORE}}}>").fullmatch
_is_group = re.compile(rf"[A-Za-z0-9_\-/.]{{1,{LIMIT_GROUP_BYTES}}}").fullmatch
_strange = re.compile(r"[^A-Za-z0-9_\-/.]").search


def check_topic(topic: str) -> str:
    """Return the topic, as a plain `str`.

    Raises:
        InvalidTopicError: it is no concrete topic; the message says what is wrong and where.

    """
    try:
        if _is_topic(topic) and len(topic) <= LIMIT_TOPIC_BYTES:
            return topic if type(topic) is str else str.__str__(topic)
    except TypeError:
        pass
    raise _topic_error(topic, "topic")


def check_pattern(pattern: str) -> str:
    """Return the topic or pattern, as a plain `str`.

    Raises:
        InvalidTopicError: it is neither; the message says what is wrong and where.

    """
    try:
        if _is_pattern(pattern) and len(pattern) <= LIMIT_TOPIC_BYTES:
            return pattern if type(pattern) is str else str.__str__(pattern)
    except TypeError:
        pass
    raise _topic_error(pattern, "pattern")


def check_group(group: str) -> str:
    """Return the group's name, as a plain `str`.

    Raises:
        InvalidArgumentError: it is no name for a group; the message says what is wrong and where.

    """
    try:
        if _is_group(group):
            return group if type(group) is str else str.__str__(group)
    except TypeError:
        pass
    raise InvalidArgumentError(_say("group", group, _fault_of_text(group, "group", LIMIT_GROUP_BYTES)))


def is_pattern(pattern: str) -> bool:
    """Whether it has wildcards; it is taken to be valid."""
    return "*" in pattern or ">" in pattern


def is_reserved(topic: str) -> bool:
    """Whether only the system may publish on the topic."""
    return topic.startswith(RESERVED_TOPICS)


def matches(pattern: str, topic: str) -> bool:
    """Whether the pattern covers the concrete topic; both are taken to be valid.

    What the system says of itself (`system.…`) is covered only by patterns whose first token is no wildcard.
    """
    if not is_pattern(pattern):
        return pattern == topic
    if pattern[0] in "*>" and topic.startswith(TOPICS_APART):
        return False
    wanted, given = pattern.split("."), topic.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        given[len(wanted) + 1 :] = []
        wanted.append("*")
    return len(wanted) == len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=True))


def _say(what: str, value: object, fault: str) -> str:
    shown = ascii(value)
    return f"{what} {shown if len(shown) <= LIMIT_TOPIC_BYTES + 2 else shown[:60] + '…'}: {fault}"


def _topic_error(value: object, what: str) -> InvalidTopicError:
    fault = _fault_of_text(value, what, LIMIT_TOPIC_BYTES, wildcards=True) or _fault_of_tokens(str(value), what)
    return InvalidTopicError(_say(what, value, fault))


def _fault_of_text(value: object, what: str, limit: int, *, wildcards: bool = False) -> str:
    """What is wrong with the text as a whole, or with one of its characters; "" if nothing is."""
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    if not value:
        return f"must not be empty; a {what} has 1 to {limit} bytes"
    strange = _strange(value.translate({42: "x", 62: "x"}) if wildcards else value)
    if strange:
        at = strange.start()
        allowed = "A-Z a-z 0-9 _ - / and dots"
        return f"character {value[at]!a} at position {at} is not allowed; allowed are {allowed}"
    if len(value) > limit:
        return f"is {len(value)} bytes long, at most {limit} are allowed"
    return ""


def _fault_of_tokens(value: str, what: str) -> str:
    """What is wrong with the first wrong token of a topic or pattern, or with their number."""
    tokens, position = value.split("."), 0
    if len(tokens) > LIMIT_TOPIC_TOKENS:
        return f"has {len(tokens)} tokens, at most {LIMIT_TOPIC_TOKENS} are allowed"
    for number, token in enumerate(tokens, 1):
        fault = _fault_of_token(token, what, last=number == len(tokens))
        if fault:
            return f"token {number} at position {position} {fault}"
        position += len(token) + 1
    raise AssertionError(value)


def _fault_of_token(token: str, what: str, *, last: bool) -> str:
    if not token:
        return "is empty; dots stand between tokens, one at a time"
    if not is_pattern(token):
        return ""
    if what == "topic":
        return f"is {token!r}: a concrete topic is needed, wildcards are for subscriptions"
    if len(token) > 1:
        return f"is {token!r}: a wildcard must be a whole token"
    return "is '>', which is allowed only as the last token" if token == _REST and not last else ""


T = TypeVar("T", bound=Hashable)


class _Node(Generic[T]):
    """One token deep in the trie; values that end here, and values of a '>' after this point, by value."""

    __slots__ = ("children", "ends", "rests", "star")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.star: _Node[T] | None = None
        self.ends: dict[T, tuple[str, T]] = {}
        self.rests: dict[T, tuple[str, T]] = {}

    def step(self, token: str) -> _Node[T] | None:
        return self.star if token == _ONE else self.children.get(token)

    def grow(self, token: str) -> _Node[T]:
        if token != _ONE:
            return self.children.setdefault(token, _Node())
        self.star = self.star or _Node()
        return self.star

    def cut(self, token: str) -> None:
        if token == _ONE:
            self.star = None
        else:
            self.children.pop(token)

    @property
    def empty(self) -> bool:
        return not (self.children or self.star or self.ends or self.rests)


class PatternTrie(Generic[T]):
    """Values by topic or pattern; finds all that match a topic.

    A look-up visits each node of the trie at most once and at most 16 levels, whatever the patterns are.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._size = 0

    def __len__(self) -> int:
        """Count pairs of pattern and value."""
        return self._size

    def insert(self, pattern: str, value: T) -> bool:
        """Add a value under a valid pattern; False if it was there."""
        slot = self._slot(self._path(pattern, grow=True)[-1], pattern)
        if value in slot:
            return False
        slot[value] = (pattern, value)
        self._size += 1
        return True

    def remove(self, pattern: str, value: T) -> bool:
        """Take a value away from a pattern; False if it was not there."""
        path = self._path(pattern, grow=False)
        if not path or self._slot(path[-1], pattern).pop(value, None) is None:
            return False
        self._size -= 1
        tokens = pattern.split(".")
        for index in range(len(path) - 1, 0, -1):
            if path[index].empty:
                path[index - 1].cut(tokens[index - 1])
        return True

    def match(self, topic: str) -> list[tuple[str, T]]:
        """Find (pattern, value) for all patterns that match a concrete topic, longer and more literal ones first."""
        level, rests = [self._root], list[dict[T, tuple[str, T]]]()
        tokens = topic.split(".")
        if topic.startswith(TOPICS_APART):  # a wildcard does not stand for the first token
            first = self._root.children.get(tokens.pop(0))
            level = [first] if first is not None else []
        for token in tokens:
            deeper: list[_Node[T]] = []
            for node in level:
                if node.rests:
                    rests.append(node.rests)
                if (child := node.children.get(token)) is not None:
                    deeper.append(child)
                if node.star is not None:
                    deeper.append(node.star)
            level = deeper
        found = [pair for node in level for pair in node.ends.values()]
        for slot in reversed(rests):
            found += slot.values()
        return found

    def _path(self, pattern: str, *, grow: bool) -> list[_Node[T]]:
        """All nodes from the root to the one that holds the pattern; [] if it does not exist."""
        path = [self._root]
        for token in pattern.split("."):
            if token == _REST:
                break
            node = path[-1].grow(token) if grow else path[-1].step(token)
            if node is None:
                return []
            path.append(node)
        return path

    @staticmethod
    def _slot(node: _Node[T], pattern: str) -> dict[T, tuple[str, T]]:
        return node.rests if pattern.endswith(">") else node.ends
