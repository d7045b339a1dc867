"""Whether services agree about the schemas of what they exchange."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tieline.services import Service, Subscribed

MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
LISTS_OF_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SCHEMAS = frozenset(
    {"items", "additionalItems", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
     "unevaluatedItems", "unevaluatedProperties"}
)  # fmt: skip
_SAYS_NOTHING = frozenset(
    {"$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "title", "description", "examples", "deprecated"}
)
_IN_ANY_ORDER = frozenset({"required", "enum", "type"})


class Side(NamedTuple):
    """What some services say: a schema or a version."""

    services: list[str]
    says: Any


class Difference(NamedTuple):
    """Services, or instances of one service, differ about a topic.

    Attributes:
        topic: topic or pattern.
        about: "input", "output" or "schema version".
        sides: who says what, two or more.

    """

    topic: str
    about: str
    sides: list[Side]


def differences(services: Iterable[Service]) -> list[Difference]:
    """Topics about which those who declare something do not declare the same. Who declares nothing agrees with all."""
    by_topic: dict[str, list[tuple[str, Subscribed]]] = {}
    for service in services:
        for subscribed in service.subscriptions:
            by_topic.setdefault(subscribed.topic, []).append((service.name, subscribed))
    return [difference for topic, said in sorted(by_topic.items()) for difference in _about(topic, said)]


def fingerprint(schema: Any, root: Any = None) -> str:
    """The same for schemas that allow the same in the same words, wherever their parts are written down.

    Titles, descriptions and examples do not count. `root` is what the schema is a part of.
    """
    try:
        return _Fingerprints(schema if root is None else root).of(schema)
    except RecursionError:  # nobody writes such a thing by hand
        return _digest(schema)


def resolve(root: Any, reference: Any) -> Any:
    """What a reference within a schema points to; None where there is nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for part in reference[1:].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _about(topic: str, said: list[tuple[str, Subscribed]]) -> Iterator[Difference]:
    declared: dict[str, list[tuple[str, Any]]] = {
        "schema version": [(service, one.schema_version or None) for service, one in said],
        "input": [(service, one.input) for service, one in said],
        "output": [(service, one.output) for service, one in said if one.kind == "handler"],
    }
    for about, what in declared.items():
        sides = _sides(what)
        if len(sides) > 1:
            yield Difference(topic, about, sides)


def _sides(declared: list[tuple[str, Any]]) -> list[Side]:
    sides: dict[str, Side] = {}
    for service, says in declared:
        if says is not None:
            side = sides.setdefault(fingerprint(says), Side([], says))
            if service not in side.services:
                side.services.append(service)
    return list(sides.values())


class _Fingerprints:
    """Those of the parts of one schema. What a reference points to is looked at once, however often it is used."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[str, str] = {}

    def of(self, schema: Any) -> str:
        if not isinstance(schema, dict):
            return _digest(schema)
        if "$ref" in schema:
            return self._referred(schema["$ref"])
        return _digest({key: self._part(key, value) for key, value in schema.items() if key not in _SAYS_NOTHING})

    def _referred(self, reference: Any) -> str:
        name = str(reference)
        if name not in self._known:
            self._known[name] = "itself"
            self._known[name] = self.of(resolve(self._root, reference))
        return self._known[name]

    def _part(self, key: str, value: Any) -> Any:
        if key in MAPS_OF_SCHEMAS and isinstance(value, dict):
            return {name: self.of(schema) for name, schema in value.items()}
        if isinstance(value, list) and (key in LISTS_OF_SCHEMAS or key == "items"):
            return [self.of(schema) for schema in value]
        if key in SCHEMAS:
            return self.of(value)
        if key in _IN_ANY_ORDER and isinstance(value, list):
            return sorted(value, key=repr)
        return value


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
