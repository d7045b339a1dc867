"""JSON Schemas of subscriptions as AsyncAPI 3.0 has them: in the words of draft 7, with one home for shared parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tieline_gateway.contracts import LISTS_OF_SCHEMAS, MAPS_OF_SCHEMAS, SCHEMAS, fingerprint, resolve

HOME = "#/components/schemas/"
_LEFT_OUT = frozenset({"$schema", "$id", "$anchor", "$comment", "discriminator", "$defs", "definitions"})


class Unique:
    """Names of which no two are the same, of the characters that AsyncAPI allows."""

    def __init__(self) -> None:
        self._whose: dict[str, object] = {}

    def name(self, wanted: str, whose: object = None) -> str:
        """The wanted name, or one with a number behind it. The same owner gets the same name again."""
        wanted = re.sub(r"[^\w.-]", "_", wanted, flags=re.ASCII) or "_"
        number, name = 1, wanted
        while name in self._whose and (whose is None or self._whose[name] != whose):
            number += 1
            name = f"{wanted}-{number}"
        self._whose[name] = whose
        return name


class Schemas:
    """Collects what schemas define and refer to; `components` is what they share."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self._names = Unique()

    def payload(self, schema: Any, name: str) -> Any:
        """A schema for a document whose references lead into `components`; `name` is for one that refers to itself."""
        try:
            moved = _Moving(self, schema, name).schema(schema)
        except RecursionError:  # thousands of parts, each within the other
            return {}
        if isinstance(moved, bool):  # which a payload must not be
            return {} if moved else {"not": {}}
        return moved

    def home(self, wanted: str, part: Any, root: Any, move: Callable[[Any], Any]) -> str:
        """Where a part of a schema lives, which is moved there when it is first asked for."""
        name = self._names.name(wanted, fingerprint(part, root))
        if name not in self.components:
            self.components[name] = {}  # it may refer to itself
            self.components[name] = move(part)
        return HOME + name


class _Moving:
    """One schema on its way into the document."""

    def __init__(self, schemas: Schemas, root: Any, name: str) -> None:
        self._schemas = schemas
        self._root = root
        self._name = name

    def schema(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else {}
        if "$ref" in schema:
            return self._reference(schema)
        moved = {key: self._part(key, value) for key, value in schema.items() if key not in _LEFT_OUT}
        if "prefixItems" in moved:
            _as_draft_7(moved)
        return moved

    def _part(self, key: str, value: Any) -> Any:
        if key in MAPS_OF_SCHEMAS and isinstance(value, dict):
            return {name: self.schema(schema) for name, schema in value.items()}
        if isinstance(value, list) and (key in LISTS_OF_SCHEMAS or key == "items"):
            return [self.schema(schema) for schema in value]
        return self.schema(value) if key in SCHEMAS else value

    def _reference(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A reference. What stands beside one does not count in draft 7, so it is said in another way."""
        beside = {key: value for key, value in schema.items() if key != "$ref" and key not in _LEFT_OUT}
        moved = {"$ref": self._home(schema["$ref"])} if resolve(self._root, schema["$ref"]) is not None else {}
        return {"allOf": [moved], **self.schema(beside)} if beside else moved

    def _home(self, reference: str) -> str:
        wanted = reference.rpartition("/")[2] if reference.startswith(("#/$defs/", "#/definitions/")) else self._name
        return self._schemas.home(wanted, resolve(self._root, reference), self._root, self.schema)


def _as_draft_7(schema: dict[str, Any]) -> None:
    """A place for each item: `prefixItems` and `items` are `items` and `additionalItems` there."""
    places, rest = schema.pop("prefixItems"), schema.pop("items", None)
    if places:
        schema["items"] = places
        if rest is not None:
            schema["additionalItems"] = rest
    elif rest is not None:
        schema["items"] = rest
