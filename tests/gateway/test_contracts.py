"""Comparing schemas, and saying them in a few words."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import pytest

from tests.gateway.test_asyncapi import SPECIFICATION, document_of, subscribed
from tieline.services import Service, Subscribed
from tieline_gateway.contracts import differences, fingerprint
from tieline_gateway.shapes import shape

ORDER = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["sku", "n"],
}
CHAIN = {
    "$ref": "#/$defs/N0",
    "$defs": {f"N{i}": {"prefixItems": [{"$ref": f"#/$defs/N{i + 1}"}] * 2} for i in range(60)},
}
DEEP: Any = {
    "$ref": "#/$defs/N0",
    "$defs": {f"N{i}": {"type": "array", "items": {"$ref": f"#/$defs/N{i + 1}"}} for i in range(5000)},
}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (None, "any"),
        (True, "any"),
        (False, "never"),
        ({}, "any"),
        (7, "any"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({"type": "string", "format": "strange"}, "string"),
        ({"type": "string", "contentEncoding": "base64"}, "bytes"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}, {"type": "integer"}]}, "integer | null"),
        ({"allOf": [{"type": "integer"}, {"enum": [1, 2]}]}, "integer & 1 | 2"),
        ({"enum": ["a", None]}, '"a" | null'),
        ({"const": "ü"}, '"ü"'),
        ({"type": "array"}, "[any]"),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {}], "items": False}, "(integer, any)"),
        ({"items": [{"type": "integer"}]}, "(integer)"),
        ({"type": "object"}, "object"),
        ({"properties": {"a": {}}}, "{a?: any}"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "{*: number}"),
        ({**ORDER, "additionalProperties": False}, "{sku: string, n: integer}"),
        ({"type": "array", "items": {"$ref": "#"}}, "[[#]]"),
        ({"$ref": "#/$defs/Nobody"}, "any"),
        ({"$ref": ["#"]}, "any"),
        ({"type": "object", "properties": ["sku"], "required": 7}, "object"),
    ],
)
def test_a_schema_in_a_few_words(schema: Any, text: str) -> None:
    assert shape(schema) == text


@pytest.mark.parametrize("schema", [CHAIN, DEEP], ids=["doubling", "deep"])
def test_a_schema_that_would_never_end_has_an_end(schema: Any) -> None:
    began = time.monotonic()
    assert len(shape(schema)) <= 400
    assert fingerprint(schema) == fingerprint(dict(schema))
    jsonschema.Draft7Validator(SPECIFICATION).validate(document_of(subscribed("a", schema)))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "same",
    [
        {**ORDER, "title": "Order", "description": "What is asked for", "examples": [{}]},
        {**ORDER, "required": ["n", "sku"]},
        {"$ref": "#/$defs/Order", "$defs": {"Order": ORDER}},
        {"$ref": "#/definitions/O", "definitions": {"O": {**ORDER, "$comment": "x"}}, "$schema": "y"},
    ],
)
def test_what_allows_the_same_is_the_same(same: Any) -> None:
    assert fingerprint(same) == fingerprint(ORDER)


def test_schemas_that_contain_themselves_can_be_the_same() -> None:
    def tree(name: str, leaf: str = "string") -> dict[str, Any]:
        part = {"title": name, "properties": {"leaf": {"type": leaf}, "more": {"items": {"$ref": f"#/$defs/{name}"}}}}
        return {"$ref": f"#/$defs/{name}", "$defs": {name: part}}

    assert fingerprint(tree("Tree")) == fingerprint(tree("Node"))
    assert fingerprint(tree("Tree")) != fingerprint(tree("Tree", "integer"))


@pytest.mark.parametrize(
    "other",
    [
        {**ORDER, "required": ["sku"]},
        {**ORDER, "additionalProperties": False},
        {**ORDER, "properties": {"sku": {"type": "string"}, "n": {"type": "number"}}},
        {**ORDER, "properties": {**ORDER["properties"], "title": {"type": "string"}}},  # type: ignore[dict-item]
    ],
)
def test_what_allows_something_else_differs(other: Any) -> None:
    assert fingerprint(other) != fingerprint(ORDER)


def told(*of_services: list[Subscribed]) -> list[tuple[str, str]]:
    """About what services of these subscriptions differ."""
    services = [Service(f"s{n}", {"i": "python"}, subscriptions) for n, subscriptions in enumerate(of_services)]
    return [(difference.topic, difference.about) for difference in differences(services)]


def test_who_declares_nothing_agrees_with_everybody() -> None:
    assert told([subscribed("a", ORDER, schema_version="2")], [subscribed("a")]) == []


def test_observers_and_batches_differ_about_what_comes_in_but_give_nothing() -> None:
    number = {"type": "integer"}
    assert told([subscribed("a", ORDER, number)], [subscribed("a", number, {"type": "null"}, kind="batch")]) == [
        ("a", "input")
    ]
    assert told([subscribed("a", None, number)], [subscribed("a", None, ORDER)]) == [("a", "output")]


def test_other_topics_are_other_contracts() -> None:
    assert told([subscribed("a", ORDER)], [subscribed("b", {"type": "integer"})]) == []
