"""`tieline services`: who is there, what they take and give, and where they differ."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import msgspec
import pytest

from tests.gateway.commands import command, on_terminal
from tests.gateway.test_explain import RESPONDER
from tests.support.processes import Peer
from tieline import EventSystem, Settings

ORDER = "{count: integer, sku: string}"


class Order(TypedDict):
    """What a shop is asked for."""

    sku: str
    count: int


class OldOrder(TypedDict):
    """What it was asked for in the last release."""

    sku: str


class Part(msgspec.Struct):
    """Contains itself."""

    name: str
    parts: list[Part] = []


async def place(data: Order) -> list[str]:
    return []


async def place_as_before(data: OldOrder) -> list[str]:
    return []


async def placed(data: Order) -> None:
    pass


async def digest(data: list[Order]) -> None:
    pass


async def lines(data: int) -> AsyncIterator[Part]:
    yield Part("")


async def anything(data: Any) -> Any:
    pass


async def serve(url: str, service: str, *subscriptions: tuple[str, Any, dict[str, Any]], **options: Any) -> EventSystem:
    """A service with these subscriptions."""
    system = EventSystem(url, service=service, settings=Settings(drain=0.1), **options)
    for topic, handler, how in subscriptions:
        system.subscribe(topic, handler, **how)
    await system.start()
    for subscription in system.subscriptions:
        await subscription.ready()
    return system


@pytest.fixture
async def shop(redis_url: str) -> AsyncIterator[EventSystem]:
    """One service with one subscription of each kind."""
    system = await serve(
        redis_url,
        "shop",
        ("order.place", place, {"group": "workers", "schema_version": "2"}),
        ("order.placed", placed, {}),
        ("order.placed", digest, {"batch": (50, 1.0)}),
        ("order.lines", lines, {}),
        ("audit.>", anything, {"observe": True}),
        ("user.*", anything, {"group": "mailers"}),
    )
    yield system
    await system.aclose()


async def test_services_are_told_with_what_they_take_and_give(shop: EventSystem, redis_url: str) -> None:
    printed = await command("services", "--url", redis_url)
    assert (printed.code, printed.err) == (0, "")
    assert "\x1b" not in printed.out
    name, instances, heads, *rows = printed.lines
    assert name == "shop"
    assert instances == f"  instances: {shop.instance} (python/0.1.0)"
    assert heads.split() == ["TOPIC", "GROUP", "KIND", "VERSION", "SCHEMA"]
    starts = [heads.index(head) for head in heads.split()]
    cells = [tuple(row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)) for row in rows]
    assert cells == [
        ("audit.>", "", "observer", "", ""),
        ("order.lines", "", "stream", "", "integer → {name: string, parts?: [Part]}*"),
        ("order.place", "workers", "handler", "2", f"{ORDER} → [string]"),
        ("order.placed", "", "batch", "", ORDER),
        ("order.placed", "", "handler", "", ORDER),
        ("user.*", "mailers", "handler", "", ""),
    ]


@pytest.mark.parametrize("columns", [80, 50])
async def test_on_a_terminal_no_line_is_too_long(shop: EventSystem, redis_url: str, columns: int) -> None:
    printed = await on_terminal(columns, "services", "--url", redis_url)
    assert max(map(len, printed.lines)) <= columns, printed.out
    joined = " ".join(" ".join(printed.lines).split())
    for text in (shop.instance, "order.lines", f"{ORDER} → [string]", "integer → {name: string, parts?: [Part]}*"):
        assert text in joined


async def test_programs_get_json(shop: EventSystem, redis_url: str) -> None:
    document = json.loads((await command("services", "--json", TIELINE_URL=redis_url)).out)
    (service,) = document["services"]
    assert service["instances"] == [{"instance": shop.instance, "client": "python/0.1.0"}]
    (told,) = [one for one in service["subscriptions"] if one["topic"] == "order.place"]
    assert told["output"] == {"type": "array", "items": {"type": "string"}}
    assert {key: told[key] for key in told if key not in ("input", "output")} == {
        "topic": "order.place", "name": "place", "group": "workers", "kind": "handler", "streams": False,
        "schema_version": "2",
    }  # fmt: skip
    assert document["differences"] == []


async def test_instances_of_one_service_that_differ_are_warned_of(shop: EventSystem, redis_url: str) -> None:
    old = await serve(redis_url, "shop", ("order.place", place_as_before, {"group": "workers", "schema_version": "1"}))
    printed = await command("services", "--url", redis_url)
    document = json.loads((await command("services", "--url", redis_url, "--json")).out)
    await old.aclose()
    text = printed.out[printed.out.index("warning") :]
    versions, schemas = text.strip().split("\n\n")
    assert versions.splitlines()[0] == "warning: order.place: not all have the same schema version"
    assert {line.strip() for line in versions.splitlines()[1:]} == {"shop:  1", "shop:  2"}
    assert schemas.splitlines()[0] == "warning: order.place: not all have the same input"
    assert {line.strip() for line in schemas.splitlines()[1:]} == {f"shop:  {ORDER}", "shop:  {sku: string}"}
    told = {(difference["topic"], difference["about"]) for difference in document["differences"]}
    assert told == {("order.place", "schema version"), ("order.place", "input")}


async def test_services_that_differ_are_warned_of_by_name(shop: EventSystem, redis_url: str) -> None:
    async def limited(data: Annotated[int, msgspec.Meta(gt=0)]) -> str:
        return ""

    others = [
        await serve(redis_url, "billing", ("order.lines", limited, {}), ("order.placed", place_as_before, {})),
        await serve(redis_url, "mail", ("order.placed", placed, {}), ("order.place", anything, {})),
    ]
    document = json.loads((await command("services", "--url", redis_url, "--json")).out)
    printed = await command("services", "--url", redis_url)
    for other in others:
        await other.aclose()
    sides = {
        (difference["topic"], difference["about"]): sorted(side["services"] for side in difference["sides"])
        for difference in document["differences"]
    }
    assert sides == {
        ("order.lines", "input"): [["billing"], ["shop"]],
        ("order.lines", "output"): [["billing"], ["shop"]],
        ("order.placed", "input"): [["billing"], ["mail", "shop"]],
        ("order.placed", "output"): [["billing"], ["mail", "shop"]],
    }
    assert "billing:  integer (only limits differ, see --json)" in printed.out


async def test_where_nobody_is_it_says_so_and_does_not_count_itself(redis_url: str) -> None:
    printed = await command("services", "--url", redis_url)
    assert (printed.code, printed.lines) == (
        0,
        ["Nobody is there: no service has joined this broker (in this namespace)."],
    )
    assert json.loads((await command("services", "--url", redis_url, "--json")).out)["services"] == []


async def test_who_does_not_answer_is_named(redis_url: str) -> None:
    async with Peer.python(RESPONDER, json.dumps({"url": redis_url, "topic": "frozen"})) as peer:
        instance = (await peer.line("READY")).split()[1]
        peer.stop()
        printed = await command("services", "--url", redis_url, "--ttl", "0.5")
        document = json.loads((await command("services", "--url", redis_url, "--ttl", "0.5", "--json")).out)
        peer.cont()
    assert printed.lines == ["peer", f"  instances: {instance} (did not answer)"]
    assert document["services"][0]["instances"] == [{"instance": instance, "client": ""}]


async def test_a_namespace_is_a_world_of_its_own(shop: EventSystem, redis_url: str) -> None:
    other = await serve(redis_url, "other", ("a", anything, {}), namespace="test")
    printed = await command("services", "--url", redis_url, "--namespace", "test")
    again = await command("services", TIELINE_URL=redis_url, TIELINE_NAMESPACE="test")
    await other.aclose()
    assert printed.lines == again.lines
    assert printed.lines[0] == "other"
    assert "shop" not in printed.out


async def test_a_reader_that_leaves_early_ends_it_quietly(shop: EventSystem, redis_url: str) -> None:
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m tieline_gateway services --json --url {redis_url} | true",
        stderr=asyncio.subprocess.PIPE,
    )
    assert (await process.communicate())[1] == b""


async def test_what_the_output_cannot_show_is_replaced(shop: EventSystem, redis_url: str) -> None:
    printed = await command("services", "--url", redis_url, PYTHONIOENCODING="latin-1")
    assert printed.code == 0
    assert "? [string]" in printed.out


async def test_two_documents_at_once_are_refused(redis_url: str) -> None:
    printed = await command("services", "--url", redis_url, "--json", "--asyncapi")
    assert (printed.code, printed.out) == (2, "")
    assert printed.err.startswith("tieline: --json and --asyncapi")
