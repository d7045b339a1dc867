"""Schemas of the OpenAPI document: those of msgspec, with what the docstrings of fields say."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from tieline_gateway.http.operation import Nothing, Operation
from tieline_gateway.http.problems import Problem

_SCHEMAS = "#/components/schemas/"


class Schemas:
    """Schemas of all that goes in and out, by their types."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = list(dict.fromkeys([Problem, *(each for one in operations for each in _types(one))]))
        found, components = msgspec.json.schema_components(types, ref_template=f"{_SCHEMAS}{{name}}")
        self._found = dict(zip(types, found, strict=True))
        self.components = components
        for struct in _structs(types):
            describe(components.get(struct.__name__, {}), struct)

    def of(self, kind: Any) -> dict[str, Any]:
        """What is put where a schema is wanted."""
        return self._found[kind]


def _types(operation: Operation) -> Iterator[Any]:
    if operation.body is not Nothing:
        yield operation.body
    yield from operation.also.values()
    yield from operation.streams.values()
    if isinstance(operation.answer, tuple):
        yield from cast("tuple[Any, ...]", operation.answer)
    elif operation.answer is not None:
        yield operation.answer


def _structs(types: Iterable[Any]) -> Iterator[type[msgspec.Struct]]:
    """All structs that these types are made of."""
    seen: set[Any] = set()
    waiting = [msgspec.inspect.type_info(kind) for kind in types]
    while waiting:
        found = waiting.pop()
        if isinstance(found, msgspec.inspect.StructType):
            if found.cls in seen:
                continue
            seen.add(found.cls)
            yield found.cls
            waiting += [field.type for field in found.fields]
        else:
            parts = [getattr(found, name, None) for name in ("item_type", "key_type", "value_type", "type")]
            waiting += [part for part in parts if isinstance(part, msgspec.inspect.Type)]
            waiting += getattr(found, "types", ())


def describe(schema: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Put the docstrings of fields into a schema."""
    for each in reversed(struct.__mro__):
        if issubclass(each, msgspec.Struct) and each is not msgspec.Struct:
            for name, text in _documented(each):
                if name in schema.get("properties", {}):
                    schema["properties"][name] = {**schema["properties"][name], "description": text}


def _documented(struct: type) -> Iterator[tuple[str, str]]:
    """The docstrings below the fields of a class."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(struct)))
    except OSError:  # it was delivered without its source
        return
    body = cast("ast.ClassDef", tree.body[0]).body
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            yield field.target.id, inspect.cleandoc(str(ast.literal_eval(below.value)))
