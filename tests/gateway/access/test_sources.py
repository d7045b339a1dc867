"""Whoever publishes and calls without a Link is named in `source`, over both faces."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.gateway.access.people import Town, token_of
from tests.gateway.up import TOKEN, Client, Up, WebClient, bearer
from tests.suite.seen import until
from tieline import Event, EventSystem, Settings
from tieline._contract import gateway_pb2 as wire

RULES = 'publish = ["order.>"]\ncall = ["order.>"]'
PEOPLE = {"anna": RULES, '"team/bob@x"': RULES, "boss": "everything = true"}
CLOUD = {"specversion": "1.0", "source": "/mine", "id": "1", "type": "order.new", "data": 1}


async def listen(stack: AsyncExitStack, up: Up, token: str) -> tuple[EventSystem, list[Event]]:
    """Keep what comes on `order.>`, and answer requests on `order.sum`."""
    url = f"grpc://:{token}@{up.address}" if token else up.url
    events = await stack.enter_async_context(EventSystem(url, service="listener", settings=Settings(drain=0.1)))
    seen: list[Event] = []

    async def see(_data: Any, event: Event) -> int:
        seen.append(event)
        return 1

    await events.subscribe("order.new", see).ready()
    await events.subscribe("order.kept", see, durable=True).ready()
    await events.subscribe("order.sum", see).ready()
    return events, seen


async def all_ways(web: WebClient, client: Client, token: str) -> int:
    """Publish and call in each way there is; returns how many there are."""
    metadata = bearer(token)
    headers = dict(metadata)
    event = {"topic": "order.new", "data": 1}
    for body in (event, {"topic": "order.kept", "durable": True}, {**event, "delay_ms": 1}):
        assert (await web.post("/v1/events", json=body, headers=headers)).status_code == 202
    kind = {"content-type": "application/cloudevents-batch+json", **headers}
    assert (await web.post("/v1/events", json=[CLOUD], headers=kind)).status_code == 202
    asked = {"topic": "order.sum", "data": 1}
    for path in ("calls", "calls/gather", "calls/stream"):
        assert (await web.post(f"/v1/{path}", json=asked, headers=headers)).status_code == 200
    await client.stub.Publish(wire.PublishRequest(topic="order.new"), metadata=metadata)
    await client.stub.Publish(wire.PublishRequest(topic="order.new", delay_ms=1), metadata=metadata)
    await client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic="order.sum"), metadata=metadata)
    await client.stub.PublishAndGather(wire.PublishAndGatherRequest(topic="order.sum"), metadata=metadata)
    return 11


async def test_a_principal_is_named(stack: AsyncExitStack, tmp_path: Path) -> None:
    town = await Town(stack, tmp_path, PEOPLE, http=True).open()
    _, seen = await listen(stack, town.up, token_of("boss"))
    web = await stack.enter_async_context(WebClient(town.up))
    client = await stack.enter_async_context(Client(town.up.address))
    for name in ("anna", '"team/bob@x"'):
        seen.clear()
        count = await all_ways(web, client, token_of(name))
        await until(lambda count=count: len(seen) >= count)
        services = {event.source.rpartition("/")[0] for event in seen}
        plain = name.strip('"')
        assert services == {f"gateway:{plain}"}
        assert {len(event.source.rpartition("/")[2]) for event in seen} == {16}


async def test_where_nobody_has_a_name_it_is_the_gateway(stack: AsyncExitStack, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    for token, options in (("", ()), (TOKEN, ("--token-file", str(tmp_path / "token")))):
        up = await stack.enter_async_context(Up(*options, http=True))
        _, seen = await listen(stack, up, token)
        web = await stack.enter_async_context(WebClient(up))
        count = await all_ways(web, await stack.enter_async_context(Client(up.address)), token)
        await until(lambda count=count, seen=seen: len(seen) >= count)
        assert {event.source.rpartition("/")[0] for event in seen} == {"gateway"}
