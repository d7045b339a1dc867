"""A JSON Schema in a few words: `{sku: string, count?: integer}`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tieline_gateway.contracts import resolve

_DEEPEST = 8
_MOST_PARTS = 200
_LONGEST = 400
_WORTH_SAYING = frozenset({"date-time", "date", "time", "duration", "uuid", "decimal", "email", "uri"})


def shape(schema: Any) -> str:
    """What a schema allows, leaving out limits and patterns; "any" where nothing is said.

    A `?` marks what may be absent, `{*: integer}` is a map, `(a, b)` a list with a place for each.
    """
    text = _Shape(schema).of(schema, 0)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


class _Shape:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._parts = 0
        self._inside: list[str] = []

    def of(self, schema: Any, depth: int) -> str:
        if schema is False:
            return "never"
        if not isinstance(schema, dict):
            return "any"
        self._parts += 1
        if depth > _DEEPEST or self._parts > _MOST_PARTS:
            return "…"
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]), depth)
        for key, between in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
            if isinstance(schema.get(key), list):
                return between.join(_once(self.of(each, depth + 1) for each in schema[key]))
        return self._typed(schema, depth)

    def _referred(self, reference: str, depth: int) -> str:
        if reference in self._inside:  # it contains itself: then its name must do
            return reference.rpartition("/")[2]
        self._inside.append(reference)
        text = self.of(resolve(self._root, reference), depth + 1)
        self._inside.pop()
        return text

    def _typed(self, schema: dict[str, Any], depth: int) -> str:
        if "const" in schema:
            return _said(schema["const"])
        if isinstance(schema.get("enum"), list):
            return " | ".join(_once(map(_said, schema["enum"])))
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return " | ".join(self._of_kind(str(kind), schema, depth) for kind in kinds)
        return self._of_kind(str(kinds or _guessed(schema)), schema, depth)

    def _of_kind(self, kind: str, schema: dict[str, Any], depth: int) -> str:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _string(schema)
        return kind

    def _object(self, schema: dict[str, Any], depth: int) -> str:
        properties, required = schema.get("properties"), schema.get("required") or ()
        parts: list[str] = []
        for name, value in properties.items() if isinstance(properties, dict) else ():
            parts.append(f"{name}{'' if name in required else '?'}: {self.of(value, depth + 1)}")
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict):
            parts.append(f"*: {self.of(rest, depth + 1)}")
        return "{" + ", ".join(parts) + "}" if parts else "object"

    def _array(self, schema: dict[str, Any], depth: int) -> str:
        places = schema.get("prefixItems")
        places = schema.get("items") if places is None else places
        if isinstance(places, list):
            return "(" + ", ".join(self.of(each, depth + 1) for each in places) + ")"
        return f"[{self.of(schema.get('items'), depth + 1)}]"


def _guessed(schema: dict[str, Any]) -> str:
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "any"


def _string(schema: dict[str, Any]) -> str:
    if schema.get("contentEncoding") == "base64":
        return "bytes"
    kind = schema.get("format")
    return kind if kind in _WORTH_SAYING else "string"


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
