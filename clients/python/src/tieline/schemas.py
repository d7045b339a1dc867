"""JSON Schemas of what handlers take and give, from their annotations."""

from __future__ import annotations

import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tieline import codec

_STREAMS = (AsyncGenerator, AsyncIterator, AsyncIterable, Generator, Iterator, Iterable)


def json_schema(annotation: Any) -> dict[str, Any] | None:
    """The schema of an annotation; None where it says nothing, or nothing that JSON Schema can say."""
    if annotation is Any or annotation is object:
        return None
    try:
        pydantic = hasattr(annotation, "model_json_schema")
        schema = annotation.model_json_schema() if pydantic else msgspec.json.schema(annotation)
        codec.encode({"subscriptions": [{"input": schema}]})
    except Exception:  # of whatever library: one type that cannot be described must not hide all the others
        return None
    return schema if isinstance(schema, dict) else None


def payload_of_batch(annotation: Any) -> Any:
    """One payload of a batch, by the annotation of the list of them."""
    given = typing.get_args(annotation)
    return given[0] if given and typing.get_origin(annotation) in (list, Sequence, *_STREAMS) else Any


def item_of(annotation: Any) -> Any:
    """What a generator yields, by its return annotation."""
    given = typing.get_args(annotation)
    return given[0] if given and typing.get_origin(annotation) in _STREAMS else Any
