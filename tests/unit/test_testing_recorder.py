"""The recorder: what was published and requested, in order, and what its assertions say when they fail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import ANY

import pytest

from tieline import EventSystem, InvalidPayloadError, InvalidTopicError, NoRespondersError, UnavailableError, testing


@pytest.fixture(params=[False, True], ids=["local", "remote"])
async def events(request: pytest.FixtureRequest) -> AsyncIterator[testing.System]:
    """A shop whose handlers publish and call in turn."""
    async with testing.system(remote=request.param) as system:

        @system.subscribe("order.placed")
        async def bill(order: dict[str, Any]) -> None:
            await system.publish_and_wait("stock.reserve", order["id"])
            await system.publish("invoice.sent", {"order": order["id"]}, headers={"tenant": "a", "x": "1"})

        @system.subscribe("stock.reserve")
        async def reserve() -> str:  # in the loop, so that the order of two invoices is certain
            return "reserved"

        yield system


def failure(function: Any, *arguments: Any, **options: Any) -> str:
    """What an assertion says when it fails."""
    with pytest.raises(AssertionError) as caught:
        function(*arguments, **options)
    return str(caught.value)


async def test_everything_is_recorded_in_the_order_of_the_program(events: testing.System) -> None:
    recorder = events.recorder
    await events.publish("order.placed", {"id": 7})
    await events.clock.settle()
    assert [(record.kind, record.topic, record.data) for record in recorder.records] == [
        ("event", "order.placed", {"id": 7}),
        ("request", "stock.reserve", 7),
        ("event", "invoice.sent", {"order": 7}),
    ]
    assert recorder.published("invoice.*")[0].headers == {"tenant": "a", "x": "1"}
    assert [record.data for record in recorder.requested()] == [7]
    recorder.assert_order("order.placed", "invoice.sent")
    recorder.clear()
    recorder.assert_not_published()


async def test_assertions_hold_for_what_happened(events: testing.System) -> None:
    recorder = events.recorder
    for number in (1, 2, 2):
        await events.publish("order.placed", {"id": number, "at": number * 1.5})
    await events.clock.settle()
    recorder.assert_published("order.placed")
    recorder.assert_published("order.placed", times=3)
    recorder.assert_published("order.placed", {"id": 2, "at": ANY}, times=2)
    recorder.assert_published("order.placed", {"id": 1, "at": pytest.approx(1.5)})
    recorder.assert_published("invoice.sent", lambda data: data["order"] == 1, times=1, headers={"tenant": "a"})
    recorder.assert_requested("stock.reserve", 2, times=2)
    recorder.assert_not_published("order.placed", {"id": 3})
    recorder.assert_not_requested("order.placed")


async def test_a_failed_assertion_tells_what_was_published_instead(events: testing.System) -> None:
    for number in (1, 2):
        await events.publish("order.placed", {"id": number})
    await events.clock.settle()
    recorder = events.recorder
    assert failure(recorder.assert_published, "order.placed", {"id": 3}) == (
        "'order.placed' was never published with {'id': 3}. It was published twice:\n"
        "  1. published 'order.placed' with {'id': 1}\n"
        "  2. published 'order.placed' with {'id': 2}"
    )
    assert failure(recorder.assert_published, "order.placed", {"id": 1}, times=2).startswith(
        "'order.placed' was published once with {'id': 1}, expected twice. It was published twice:\n"
    )
    assert failure(recorder.assert_published, "order.place", {"id": 1}) == (
        "'order.place' was never published.\n"
        "There was: 'order.placed' published twice, 'stock.reserve' requested twice, 'invoice.sent' published twice."
    )
    assert "headers {'tenant': 'b'}" in failure(recorder.assert_published, "invoice.sent", headers={"tenant": "b"})
    assert "headers {'tenant': 'a', 'x': '1'}" in failure(recorder.assert_published, "invoice.sent", headers={"y": ""})
    assert failure(recorder.assert_not_published, "order.placed", {"id": 1}).startswith(
        "'order.placed' was published once with {'id': 1}, expected never."
    )
    assert "'stock.reserve' was requested twice, expected never." in failure(
        recorder.assert_not_requested, "stock.reserve"
    )
    assert failure(recorder.assert_order, "order.*", "order.placed", "order.placed").startswith(
        "'order.placed' did not come after 'order.*', 'order.placed'. In order there was:\n"
        "  1. published 'order.placed' with {'id': 1}\n"
    )


async def test_a_failed_assertion_says_when_there_was_nothing(events: testing.System) -> None:
    expected = "'t' was never requested, expected 3 times.\nNothing was published or requested at all."
    assert failure(events.recorder.assert_requested, "t", times=3) == expected


async def test_a_failed_assertion_is_not_longer_than_can_be_read(events: testing.System) -> None:
    for _ in range(50):
        await events.publish("t", "x" * 10_000)
    said = failure(events.recorder.assert_published, "t", 1)
    assert len(said) < 8_000
    assert "… and 40 more" in said
    assert "… (10002 characters)" in said


async def test_one_can_wait_for_what_will_be_published(events: testing.System) -> None:
    waiting = asyncio.create_task(events.recorder.wait_for("invoice.sent", times=2))
    for number in (1, 2):
        assert not waiting.done()
        await events.publish("order.placed", {"id": number})
    assert [record.data["order"] for record in await waiting] == [1, 2]


async def test_waiting_in_vain_ends_with_what_there_was(events: testing.System) -> None:
    await events.publish("order.placed", {"id": 1})
    expected = "'invoice.sent' was not published or requested twice within 0.05 s.\nThere was: 'order.placed' published"
    with pytest.raises(AssertionError, match=re.escape(expected)):
        await events.recorder.wait_for("invoice.sent", times=2, timeout=0.05)


async def test_streams_gathers_and_calls_that_nobody_answers_are_requests(events: testing.System) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    events.subscribe("numbers", numbers)
    assert [item async for item in events.publish_and_stream("numbers", 1)] == [1]
    await events.publish_and_gather("stock.reserve", 2)
    with pytest.raises(NoRespondersError):
        await events.publish_and_wait("nobody", 3)
    assert [record.data for record in events.recorder.requested()] == [1, 2, 3]


@dataclass
class Order:
    id: int


async def test_payloads_are_compared_as_they_were_given_or_as_they_arrive(events: testing.System) -> None:
    order, changing = Order(7), {"id": 1}
    await events.publish("t", order)
    await events.publish("u", changing)
    changing["id"] = 2
    events.recorder.assert_published("t", Order(7))
    events.recorder.assert_published("t", {"id": 7})
    events.recorder.assert_not_published("t", Order(8))
    events.recorder.assert_published("u", {"id": 1})


async def test_what_was_refused_or_never_left_was_not_published(events: testing.System) -> None:
    with pytest.raises(InvalidTopicError):
        await events.publish("no good topic")
    with pytest.raises(InvalidPayloadError):
        await events.publish("t", object())
    await events.faults.cut()
    with pytest.raises(UnavailableError):
        await events.publish("t")
    with pytest.raises(UnavailableError):
        await events.publish_and_wait("t")
    events.recorder.assert_not_published()
    events.recorder.assert_not_requested()


async def test_a_stream_that_was_refused_or_never_left_was_not_requested(events: testing.System) -> None:
    with pytest.raises(NoRespondersError):
        await anext(events.publish_and_stream("nobody", 1))
    events.recorder.assert_requested("nobody", 1, times=1)
    events.recorder.clear()
    with pytest.raises(InvalidPayloadError):
        await anext(events.publish_and_stream("t", object()))
    await events.faults.cut()
    with pytest.raises(UnavailableError):
        await anext(events.publish_and_stream("t", 1))
    events.recorder.assert_not_requested()


async def test_a_request_that_the_handler_refuses_was_made(events: testing.System) -> None:
    async def count(numbers: list[int]) -> int:
        return len(numbers)

    events.subscribe("count", count)
    with pytest.raises(InvalidPayloadError):
        await events.publish_and_wait("count", 7)
    events.recorder.assert_requested("count", 7)
    with pytest.raises(InvalidPayloadError):
        await events.publish_and_wait("count", object())
    assert len(events.recorder.requested()) == 1


async def test_a_recorder_listens_to_a_system_of_the_programs_own() -> None:
    recorder = testing.Recorder()
    async with EventSystem("memory://", middleware=[recorder]) as events:
        await events.publish("t", 1)
    recorder.assert_published("t", 1)
