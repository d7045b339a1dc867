"""JSON Schemas of annotations: what can be said is said, and what cannot disturbs nothing else."""

from __future__ import annotations

import collections.abc
import typing
from typing import Any

import pytest

from tieline import EventSystem
from tieline.schemas import item_of, json_schema


class Model:
    """As pydantic's models, of which one field has no schema."""

    @classmethod
    def model_json_schema(cls) -> Any:
        raise ValueError("no JSON schema for this field")

    @classmethod
    def model_validate(cls, value: Any) -> Any:
        return value


class Unsendable(Model):
    """Its schema is none that could travel."""

    @classmethod
    def model_json_schema(cls) -> Any:
        return {"default": object()}


class Text(Model):
    """Its schema is no map."""

    @classmethod
    def model_json_schema(cls) -> Any:
        return "string"


@pytest.mark.parametrize("annotation", [Model, Unsendable, Text, list[Model], Any, object])
def test_what_cannot_be_described_has_no_schema(annotation: Any) -> None:
    assert json_schema(annotation) is None


@pytest.mark.parametrize("annotation", [typing.AsyncIterator, typing.Iterator, collections.abc.AsyncIterator])
def test_a_generator_that_does_not_say_of_what_yields_anything(annotation: Any) -> None:
    assert item_of(annotation) is Any
    assert item_of(annotation[int]) is int


async def test_one_handler_without_a_schema_does_not_hide_the_others() -> None:
    async with EventSystem("memory://", service="shop") as events:

        @events.subscribe("odd")
        async def odd(data: Model) -> int:
            return 1

        @events.subscribe("bare")
        async def bare() -> typing.AsyncIterator:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType]
            yield 1

        (shop,) = await events.services()
    told = {subscription.topic: (subscription.input, subscription.output) for subscription in shop.subscriptions}
    assert told == {"odd": (None, {"type": "integer"}), "bare": (None, None)}
