"""What arrives is what was sent, here as elsewhere, and nobody's object is changed by somebody else."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.suite.seen import Seen
from tests.suite.world import World
from tieline import Event, EventSystem, InvalidPayloadError, PayloadTooLargeError, Timestamp
from tieline.envelope import REQUEST

VALUES: dict[str, Any] = {
    "nothing": None,
    "flags": [True, False],
    "integers": [0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 2**53 + 1],
    "doubles": [0.5, -0.0, 1e308, math.inf, -math.inf],
    "text": "Grüße, 世界 \U0001f600\0",
    "bytes": b"\x00\xff",
    "map": {"": [], "nested": {"deep": [{"er": {}}]}},
    "moment": datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
    "old": datetime(1, 1, 1, tzinfo=UTC),
    "fine": Timestamp(1, 1),
}
places = pytest.mark.parametrize("here", [False, True], ids=["elsewhere", "here"])


async def _echo(world: World, topic: str, here: bool, **options: Any) -> tuple[EventSystem, Seen]:
    """A caller, and what arrives at the responder, which returns it."""
    system, seen = await world.system(), Seen()

    async def echo(data: Any, event: Event) -> Any:
        seen.append((data, event.content_type, event.schema_version))
        return data

    await system.subscribe(topic, echo, **options).ready()
    return (system if here else await world.system()), seen


@places
@pytest.mark.parametrize("name", VALUES)
async def test_a_value_arrives_as_it_was_sent_both_ways(world: World, topic: str, here: bool, name: str) -> None:
    caller, seen = await _echo(world, topic, here)
    answer = await caller.publish_and_wait(topic, VALUES[name])
    for value in (seen[0][0], answer):
        assert value == VALUES[name]
        assert repr(value) == repr(VALUES[name])


@places
async def test_not_a_number_arrives(world: World, topic: str, here: bool) -> None:
    caller, seen = await _echo(world, topic, here)
    assert math.isnan(await caller.publish_and_wait(topic, math.nan))
    assert math.isnan(seen[0][0])


@places
async def test_tuples_arrive_as_lists(world: World, topic: str, here: bool) -> None:
    caller, seen = await _echo(world, topic, here)
    assert await caller.publish_and_wait(topic, (1, (2, 3))) == [1, [2, 3]]
    assert seen[0][0] == [1, [2, 3]]


@places
@pytest.mark.parametrize(
    ("content_type", "sent", "arrives"),
    [
        ("application/json", {"a": [1, 2.5, None, "ü"]}, {"a": [1, 2.5, None, "ü"]}),
        ("application/json; charset=utf-8", [1], [1]),
        ("application/json", b'{"raw": true}', {"raw": True}),
        ("text/plain", "Grüße", "Grüße"),
        ("application/octet-stream", b"\x00\x01", b"\x00\x01"),
        ("application/x-protobuf", b"\x08\x01", b"\x08\x01"),
        ("image/png", b"\x89PNG", b"\x89PNG"),
    ],
)
async def test_content_types_travel(
    world: World, topic: str, here: bool, content_type: str, sent: Any, arrives: Any
) -> None:
    caller, seen = await _echo(world, topic, here)
    answer = await caller.publish_and_wait(topic, sent, content_type=content_type, schema_version="7")
    assert seen == [(arrives, content_type, "7")]
    assert answer == arrives


@places
async def test_a_json_request_is_answered_in_json_where_that_can_say_it(world: World, topic: str, here: bool) -> None:
    system = await world.system()
    await system.subscribe(topic, lambda data: b"\xff" if data else {"json": True}).ready()
    caller = system if here else await world.system()
    assert await caller.publish_and_wait(topic, 0, content_type="application/json") == {"json": True}
    assert await caller.publish_and_wait(topic, 1, content_type="application/json") == b"\xff"


async def test_replies_to_json_are_json_on_the_wire(world: World, topic: str) -> None:
    raw, system = await world.raw(), await world.system()
    await system.subscribe(topic, lambda data: data).ready()
    raw.port.dispatch(raw.envelope(REQUEST, topic, content_type="application/json", data=b'{"a": 1}'), "")
    await raw.answers.reach(1)
    assert (raw.answers[0].content_type, raw.answers[0].data) == ("application/json", b'{"a":1}')


@places
async def test_events_carry_content_types_too(world: World, topic: str, here: bool) -> None:
    publisher, seen = await _echo(world, topic, here)
    await publisher.publish(topic, "Grüße", content_type="text/plain", schema_version="2", headers={"who": "me"})
    await seen.reach(1)
    assert seen == [("Grüße", "text/plain", "2")]


@places
async def test_headers_arrive(world: World, topic: str, here: bool) -> None:
    system = await world.system()

    async def tell(data: Any, event: Event) -> dict[str, str]:
        return dict(event.headers)

    await system.subscribe(topic, tell).ready()
    caller = system if here else await world.system()
    assert await caller.publish_and_wait(topic, headers={"who": "me", "ä": "ö"}) == {"who": "me", "ä": "ö"}


# --- isolation ------------------------------------------------------------------------------------------------------


async def test_what_a_handler_does_to_its_payload_does_not_reach_the_caller(world: World, topic: str) -> None:
    system = await world.system()

    async def spoil(data: dict[str, Any]) -> int:
        data["list"].append("spoilt")
        return len(data.pop("list"))

    await system.subscribe(topic, spoil).ready()
    mine = {"list": [1]}
    assert await system.publish_and_wait(topic, mine) == 2
    await system.publish(topic, mine, wait_local=True)
    assert mine == {"list": [1]}


async def test_each_local_subscriber_has_a_copy_of_its_own(world: World, topic: str) -> None:
    system, seen = await world.system(), Seen()

    async def spoil(data: list[int]) -> None:
        data.append(2)
        seen.append(data)

    for _ in range(3):
        await system.subscribe(topic, spoil).ready()
    await system.publish(topic, [1], wait_local=True)
    assert seen == [[1, 2]] * 3


async def test_what_a_caller_does_to_a_local_reply_does_not_reach_the_handler(world: World, topic: str) -> None:
    system, kept = await world.system(), {"list": [1]}
    await system.subscribe(topic, lambda data: kept).ready()
    (await system.publish_and_wait(topic))["list"].append(2)
    assert kept == {"list": [1]}


async def test_what_the_publisher_changes_afterwards_does_not_reach_the_handler(world: World, topic: str) -> None:
    system, seen, mine = await world.system(), Seen(), [1]
    await system.subscribe(topic, seen.take).ready()
    publishing = system.publish(topic, mine)
    await publishing
    mine.append(2)
    await seen.reach(1)
    assert seen == [[1]]


async def test_by_reference_hands_over_the_objects_themselves(world: World, topic: str) -> None:
    system, seen, mine, reply = await world.system(), Seen(), {"a": 1}, {"b": 2}

    async def keep(data: Any) -> Any:
        seen.append(data)
        return reply

    await system.subscribe(topic, keep, by_reference=True).ready()
    assert await system.publish_and_wait(topic, mine) is reply
    await system.publish(topic, mine, wait_local=True)
    assert seen[0] is mine
    assert seen[1] is mine


async def test_by_reference_changes_nothing_for_callers_elsewhere(world: World, topic: str) -> None:
    caller, seen = await _echo(world, topic, False, by_reference=True)
    mine = {"a": (1, 2)}
    assert await caller.publish_and_wait(topic, mine) == {"a": [1, 2]}
    assert seen[0][0] == {"a": [1, 2]}


@pytest.mark.parametrize("by_reference", [False, True], ids=["copy", "by-reference"])
async def test_what_cannot_travel_is_refused_before_a_local_handler_sees_it(
    world: World, topic: str, by_reference: bool
) -> None:
    system, ran = await world.system(), Seen()
    await system.subscribe(topic, ran.take, by_reference=by_reference).ready()
    with pytest.raises(InvalidPayloadError, match=r"\$\.items\[1\]"):
        await system.publish_and_wait(topic, {"items": [1, object()]})
    with pytest.raises(InvalidPayloadError):
        await system.publish(topic, object())
    await ran.stay(0)


@places
async def test_payloads_up_to_1_mib_travel_and_larger_ones_are_refused(world: World, topic: str, here: bool) -> None:
    caller, seen = await _echo(world, topic, here)
    fits = b"x" * (2**20 - 5)
    assert await caller.publish_and_wait(topic, fits) == fits
    with pytest.raises(PayloadTooLargeError):
        await caller.publish_and_wait(topic, fits + b"y")
    assert len(seen) == 1
