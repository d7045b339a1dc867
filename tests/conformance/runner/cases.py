"""Reading the cases: strictly, so that a typo is an error and a case that observes nothing is one too."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.conformance._contract import case_pb2 as schema
from tests.conformance.runner.vectors import cases_of
from tieline import Outcome
from tieline._contract.contract import ERRORS

CASES = Path(__file__).parents[1] / "cases"
_OBSERVING = ("expect", "deliveries", "ordered", "endings", "exchange", "heard", "call", "inner", "end")


class BadCaseError(Exception):
    """A file of cases breaks the rules."""


class Listed(NamedTuple):
    """A case and the row of the matrix it counts in."""

    group: str
    case: schema.Case

    @property
    def name(self) -> str:
        """Group and id."""
        return f"{self.group}/{self.case.id}"


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise BadCaseError(f"{', '.join(map(str, twice))} twice{node.start_mark}")
        return super().construct_mapping(node, deep)


_BOOL = "tag:yaml.org,2002:bool"
_StrictLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(_BOOL, re.compile("true|false"), list("tf"))  # "on" and "no" are words


def load_all(folder: Path = CASES) -> list[Listed]:
    """All cases of a folder, in the order of the files' names.

    Raises:
        BadCaseError: a file is not what the schema says, or a case cannot prove anything.
    """
    listed = [one for path in sorted(folder.glob("*.yaml")) for one in load(path.read_text(), path.name)]
    names = [one.name for one in listed]
    if len(set(names)) < len(names):
        raise BadCaseError(f"two cases have one name: {sorted({name for name in names if names.count(name) > 1})}")
    return listed


def load(text: str, where: str) -> list[Listed]:
    """The cases of one file."""
    suite = schema.Suite()
    try:
        json_format.ParseDict(yaml.load(text, _StrictLoader), suite)
    except (json_format.ParseError, yaml.YAMLError, BadCaseError) as error:
        raise BadCaseError(f"{where}: {error}") from None
    cases = [*suite.cases, *(case for vectors in suite.vectors for case in cases_of(vectors))]
    for case in cases:
        for fault in _faults(case):
            raise BadCaseError(f"{where}: {case.id or 'a case without an id'}: {fault}")
    return [Listed(suite.name, case) for case in cases]


def _faults(case: schema.Case) -> Iterator[str]:
    if not case.id or not case.steps:
        yield "a case has an id and steps"
    if not any(step.HasField(name) for step in case.steps for name in _OBSERVING):  # type: ignore[arg-type]
        yield "it observes nothing, so it cannot fail"
    begun = [step.begin for step in case.steps if step.begin]
    ended = [step.end.call for step in case.steps if step.HasField("end")]
    if sorted(begun) != sorted(ended):
        yield f"begun: {begun}, but ended: {ended}"
    known = {step.subscribe.id for step in case.steps if step.HasField("subscribe")}
    for step in case.steps:
        yield from _faults_of_step(step, known)


def _faults_of_step(step: schema.Step, known: set[str]) -> Iterator[str]:
    if step.WhichOneof("do") is None:
        yield "a step does nothing"
    meant = {*step.deliveries.at, *step.endings.at, *step.ordered.at, *([step.inner.at] if step.inner.at else [])}
    if meant - known:
        yield f"nobody subscribed as {meant - known}"
    if step.expect.HasField("error"):
        error = step.expect.error
        if error.code not in ERRORS or error.outcome not in Outcome.__members__:
            yield f"an error has a code and an outcome of the closed lists, not {error.code!r} and {error.outcome!r}"


def with_own_topics(message: Message, prefix: str) -> None:
    """Put the case's prefix in the place of "~" in every topic."""
    for field, value in message.ListFields():
        if field.name in ("topic", "to", "to_topic") and isinstance(value, str) and value.startswith("~"):
            setattr(message, field.name, prefix + value[1:])
        elif field.name == "types":
            value[:] = [prefix + each[1:] if each.startswith("~") else each for each in value]
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in [value] if isinstance(value, Message) else value:
                with_own_topics(each, prefix)
