"""JSON Schemas of what handlers take and give, from their annotations."""

from __future__ import annotations

import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Sequence
from typing import Any

import msgspec

_STREAMS = (AsyncGenerator, AsyncIterator, AsyncIterable, Generator, Iterator, Iterable)


def json_schema(annotation: Any) -> dict[str, Any] | None:
    """The schema of an annotation; None where it says nothing, or nothing that JSON Schema can say."""
    if annotation is Any or annotation is object:
        return None
    if hasattr(annotation, "model_json_schema"):  # pydantic
        return annotation.model_json_schema()
    try:
        return msgspec.json.schema(annotation)
    except (TypeError, NotImplementedError):
        return None


def payload_of_batch(annotation: Any) -> Any:
    """One payload of a batch, by the annotation of the list of them."""
    given = typing.get_args(annotation)
    return given[0] if given and typing.get_origin(annotation) in (list, Sequence, *_STREAMS) else Any


def item_of(annotation: Any) -> Any:
    """What a generator yields, by its return annotation."""
    if typing.get_origin(annotation) in _STREAMS:
        return typing.get_args(annotation)[0]
    return Any
