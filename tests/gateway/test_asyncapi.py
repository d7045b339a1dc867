"""The AsyncAPI document, held against AsyncAPI's own schema (npm: @asyncapi/specs), and what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import jsonschema
import msgspec
import pytest

from tests.gateway.commands import command
from tests.gateway.test_services import serve, shop  # noqa: F401 - a fixture
from tieline import EventSystem
from tieline.handler import bind
from tieline.services import Service, Subscribed
from tieline_gateway.asyncapi import asyncapi, server

NODE = Path(__file__).parents[2] / "clients" / "node" / "node_modules"
SPECIFICATION = json.loads((NODE / "@asyncapi" / "specs" / "schemas" / "3.0.0.json").read_text())
URL = "redis://127.0.0.1:6379/0"


def references(document: Any, key: str = "") -> Iterator[str]:
    """All references in a document; what is called so among properties or in values is none."""
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str) and key not in ("properties", "enum"):
            yield document["$ref"]
        for name, value in document.items():
            yield from references(value, name)
    elif isinstance(document, list):
        for value in document:
            yield from references(value, key)


def follow(document: Any, reference: str) -> Any:
    """What a reference points to; a KeyError if there is nothing."""
    assert reference.startswith("#/"), reference
    for part in reference[2:].split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def check(document: Any) -> None:
    """It is AsyncAPI 3.0, every reference leads somewhere, and operations use the messages of their channels."""
    jsonschema.Draft7Validator(SPECIFICATION).validate(document)
    for reference in references(document):
        follow(document, reference)
    for operation in document["operations"].values():
        for side in (operation, operation.get("reply", {})):
            for message in side.get("messages", ()):
                assert message["$ref"].startswith(f"{side['channel']['$ref']}/messages/")


def accepts(document: Any, topic: str, value: Any) -> bool:
    """Whether a payload fits the messages of a topic, by a validator of JSON Schema draft 7."""
    (channel,) = [channel for channel in document["channels"].values() if channel["address"] == topic]
    schemas = [message["payload"] for message in channel["messages"].values()]
    schema = {"components": document["components"], "anyOf": schemas}
    return jsonschema.Draft7Validator(schema).is_valid(value)


def document_of(*subscribed: Subscribed, url: str = URL) -> Any:
    """The document of one service."""
    return asyncapi([Service("shop", {"1": "python/0.1.0"}, list(subscribed))], url)


def subscribed(topic: str, schema: Any = None, output: Any = None, **more: Any) -> Subscribed:
    """A subscription as it is told."""
    told = {"name": "handle", "group": "", "kind": "handler", "streams": False, "schema_version": "", **more}
    return Subscribed(topic, input=schema, output=output, **told)


# --- the command ------------------------------------------------------------------------------------------------------


async def test_the_command_writes_a_document_that_is_asyncapi(shop: EventSystem, redis_url: str) -> None:  # noqa: F811
    printed = await command("services", "--asyncapi", "--url", redis_url)
    assert (printed.code, printed.err) == (0, "")
    document = json.loads(printed.out)
    check(document)
    place = document["operations"]["shop.order.place"]
    assert (place["action"], place["x-tieline-group"], place["x-tieline-schema-version"]) == ("receive", "workers", "2")
    assert follow(document, place["reply"]["messages"][0]["$ref"])["payload"] == {
        "type": "array", "items": {"type": "string"},
    }  # fmt: skip
    lines = document["operations"]["shop.order.lines"]
    assert lines["x-tieline-streams"] is True
    assert follow(document, lines["reply"]["channel"]["$ref"])["address"] is None
    assert "reply" not in document["operations"]["shop.order.placed"], "it returns nothing"
    assert "reply" not in document["operations"]["shop.user.any"], "requests have a topic, not a pattern"
    channels = document["channels"]
    assert (channels["user.any"]["address"], list(channels["user.any"]["parameters"])) == ("user.{token2}", ["token2"])
    assert (channels["audit.rest"]["address"], channels["audit.rest"]["x-tieline-pattern"]) == (
        "audit.{rest}",
        "audit.>",
    )
    assert list(channels["order.placed"]["messages"]) == ["message"], "a batch and a handler take the same"
    assert accepts(document, "order.place", {"sku": "A-1", "count": 1})
    assert not accepts(document, "order.place", {"sku": "A-1"})


async def test_the_document_does_not_change_with_the_number_of_instances(shop: EventSystem, redis_url: str) -> None:  # noqa: F811
    first = await command("services", "--asyncapi", "--url", redis_url)
    more = await serve(redis_url, "shop")
    second = await command("services", "--asyncapi", "--url", redis_url)
    await more.aclose()
    assert first.out == second.out


def test_the_check_finds_what_is_wrong() -> None:
    document = document_of(subscribed("a", {"type": "integer"}))
    check(document)
    for wrong in ({"type": "what"}, {"$ref": "#/components/schemas/Nobody"}):
        document["channels"]["a"]["messages"]["message"]["payload"] = wrong
        with pytest.raises((jsonschema.ValidationError, KeyError)):
            check(document)


# --- servers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6379/0", {"host": "127.0.0.1:6379", "protocol": "redis", "pathname": "/0"}),
        ("rediss://me:hush@cache.example:6380", {"host": "cache.example:6380", "protocol": "rediss"}),
        ("grpcs://:hush@gate.example:50051?ca=/etc/ca.pem", {"host": "gate.example:50051", "protocol": "grpcs"}),
        ("redis://:hu@sh@[::1]:6379", {"host": "[::1]:6379", "protocol": "redis"}),
    ],
)
def test_a_server_has_no_password(url: str, expected: Any) -> None:
    assert server(url) == expected
    document = document_of(url=url)
    check(document)
    assert "hush" not in json.dumps(document)


def test_a_unix_socket_is_a_server() -> None:
    told = server("unix://:hush@/run/redis.sock?db=0")
    assert (told["protocol"], told["pathname"]) == ("redis", "/run/redis.sock")
    assert "hush" not in json.dumps(told)


# --- schemas ----------------------------------------------------------------------------------------------------------


class Cat(msgspec.Struct, tag="cat"):
    """One of two."""

    lives: int


class Dog(msgspec.Struct, tag="dog"):
    """The other one."""

    friends: list[Dog] = []


class Tree(TypedDict):
    """Contains itself, and a list with a place for each item."""

    pair: tuple[int, str]
    branches: list[Tree]
    weight: Annotated[float, msgspec.Meta(ge=0)]


def told_by(topic: str, annotation: Any, **more: Any) -> Subscribed:
    """As a handler with this annotation is told."""

    def handle(data: Any) -> None: ...

    handle.__annotations__["data"] = annotation
    return subscribed(topic, bind(handle).input_schema, **more)


def test_schemas_of_python_keep_their_meaning() -> None:
    document = document_of(told_by("pet", Cat | Dog), told_by("tree", Tree), told_by("when", dict[str, int] | None))
    check(document)
    assert set(document["components"]["schemas"]) == {"Cat", "Dog", "Tree"}
    tree = {"pair": [1, "a"], "branches": [{"pair": [2, "b"], "branches": [], "weight": 1}], "weight": 0}
    for topic, value, fits in (
        ("pet", {"type": "dog", "friends": [{"type": "dog"}]}, True),
        ("pet", {"type": "dog", "friends": [{"type": "cat", "lives": 7}]}, False),
        ("tree", tree, True),
        ("tree", {**tree, "pair": ["a", 1]}, False),
        ("tree", {**tree, "pair": [1, "a", 2]}, False),
        ("tree", {**tree, "branches": [{}]}, False),
        ("tree", {**tree, "weight": -1}, False),
        ("when", {"a": 1}, True),
        ("when", {"a": "b"}, False),
    ):
        assert accepts(document, topic, value) is fits, (topic, value)


def test_parts_of_the_same_name_stay_apart_where_they_differ() -> None:
    def part(kind: str) -> dict[str, Any]:
        return {"$ref": "#/$defs/Order", "$defs": {"Order": {"type": kind}}}

    document = document_of(
        subscribed("a", part("string")), subscribed("b", part("integer")), subscribed("c", part("string"))
    )
    check(document)
    assert set(document["components"]["schemas"]) == {"Order", "Order-2"}
    assert [accepts(document, topic, 1) for topic in "abc"] == [False, True, False]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, [[None]], [1]),
        ({"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}}, {"b": 1}, {"b": "x"}),
        ({"definitions": {"a/b": {"type": "null"}}, "items": {"$ref": "#/definitions/a~1b"}}, [None], [1]),
        ({"$ref": "#/$defs/N", "maximum": 9, "$defs": {"N": {"type": "integer"}}}, 9, 10),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x", "type": "string"}, "a", 1),
        ({"prefixItems": [], "items": {"type": "integer"}}, [1], ["a"]),
        ({"properties": {"$ref": {"type": "integer"}}}, {"$ref": 1}, {"$ref": "a"}),
        ({"enum": [{"$ref": "#/nowhere"}]}, {"$ref": "#/nowhere"}, 1),
    ],
)
def test_schemas_of_others_keep_their_meaning(schema: Any, good: Any, bad: Any) -> None:
    document = document_of(subscribed("a", schema))
    check(document)
    assert accepts(document, "a", good)
    assert not accepts(document, "a", bad)


@pytest.mark.parametrize(("schema", "fits"), [(True, True), (False, False), (7, True)])
def test_a_payload_of_anything_or_of_nothing_can_be_said(schema: Any, fits: bool) -> None:
    document = document_of(subscribed("a", schema))
    check(document)
    assert accepts(document, "a", 1) is fits


@pytest.mark.parametrize("reference", ["#/$defs/Nobody", "https://example.org/schema.json", 7])
def test_a_reference_that_leads_nowhere_allows_anything(reference: Any) -> None:
    document = document_of(subscribed("a", {"type": "array", "items": {"$ref": reference}}))
    check(document)
    assert accepts(document, "a", [1, "x"])
    assert not accepts(document, "a", 1)


# --- channels and operations ------------------------------------------------------------------------------------------


def test_names_that_would_be_the_same_get_numbers() -> None:
    document = document_of(*(subscribed(topic, {"type": "integer"}) for topic in ("a/b", "a_b", "a.*", "a.any")))
    check(document)
    assert {channel["address"] for channel in document["channels"].values() if channel["address"]} == {
        "a/b", "a_b", "a.{token2}", "a.any",
    }  # fmt: skip
    assert len(document["operations"]) == 4


def test_each_version_is_a_message_and_who_declares_nothing_takes_them_all() -> None:
    document = document_of(
        subscribed("a", {"type": "integer"}, schema_version="1"),
        subscribed("a", {"type": "string"}, schema_version="2"),
        subscribed("a", kind="observer"),
    )
    check(document)
    assert set(document["channels"]["a"]["messages"]) == {"message.v1", "message.v2"}
    operations = list(document["operations"].values())
    assert [len(operation.get("messages", ())) for operation in operations] == [1, 1, 0]
    assert ["reply" in operation for operation in operations] == [True, True, False]
