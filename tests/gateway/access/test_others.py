"""What one principal can do with the ids, keys and names of another: nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.access.people import Town, token_of
from tests.gateway.access.test_enforcement import ask_agenda, plan
from tests.gateway.up import WebClient
from tests.suite.seen import until
from tieline import Event, EventSystem, RetryPolicy, Settings
from tieline._contract import agenda_pb2 as agenda
from tieline._contract.envelope_pb2 import Envelope

ALL = ("publish", "subscribe", "call", "serve", "admin")
PEOPLE = {name: "\n".join(f'{action} = ["{name}.>"]' for action in ALL) for name in ("anna", "eve")}


@pytest.fixture
async def town(stack: AsyncExitStack, tmp_path: Path) -> Town:
    """A gateway with two people who have nothing to do with each other."""
    return await Town(stack, tmp_path, PEOPLE, http=True).open()


async def web_of(town: Town, name: str) -> WebClient:
    headers = {"authorization": f"Bearer {token_of(name)}"}
    return await town.stack.enter_async_context(WebClient(town.up, headers=headers))


async def system_of(town: Town, name: str) -> EventSystem:
    url = f"grpc://:{token_of(name)}@{town.up.address}"
    settings = Settings(drain=0.1, system_events=False)
    return await town.stack.enter_async_context(EventSystem(url, service=name, settings=settings))


async def test_ids_of_schedules_and_names_of_cron_tasks(town: Town) -> None:
    anna, eve = await web_of(town, "anna"), await web_of(town, "eve")
    event = {"topic": "anna.later", "data": 1, "delay_ms": 600_000}
    planned = (await anna.post("/v1/events", json=event)).json()["id"]
    task = {"name": "nightly", "topic": "anna.tick", "expression": "@daily"}
    assert (await anna.post("/v1/cron", json=task)).is_success
    for method, path, body in (
        ("GET", f"/v1/schedules/{planned}", None),
        ("DELETE", f"/v1/schedules/{planned}", None),
        ("PATCH", f"/v1/schedules/{planned}", {"delay_ms": 1}),
        ("POST", f"/v1/schedules/{planned}/retry", {}),
        ("GET", "/v1/cron/nightly", None),
        ("PATCH", "/v1/cron/nightly", {"topic": "eve.tick"}),
        ("DELETE", "/v1/cron/nightly", None),
        ("POST", "/v1/cron/nightly/pause", None),
        ("POST", "/v1/cron/nightly/run", None),
    ):
        answer = await eve.request(method, path, json=body)
        assert answer.status_code == 403, (method, path, answer.text)
        assert "anna" not in answer.text
    assert (await eve.post("/v1/cron", json={**task, "topic": "eve.tick"})).status_code == 409
    assert (await anna.get("/v1/cron/nightly")).json()["topic"] == "anna.tick"
    assert (await anna.get(f"/v1/schedules/{planned}")).json()["status"] == "pending"


async def test_an_id_that_is_planned_is_not_planned_over(town: Town) -> None:
    """Over a Link the client says the id itself."""
    (anna, _), (eve, _) = await town.link("anna"), await town.link("eve")
    ours = plan("anna.later")
    await ask_agenda(anna, plan=ours)
    event = Envelope.FromString(ours.envelope)
    forged = agenda.Plan()
    forged.CopyFrom(ours)
    event.topic, event.data = "eve.later", b"\x07"
    forged.envelope = event.SerializeToString()
    await ask_agenda(eve, plan=forged)
    (kept,) = (await ask_agenda(anna, find=agenda.FindPlanned(id=event.id))).planned
    assert Envelope.FromString(kept.envelope).topic == "anna.later"


async def test_keys_that_make_something_happen_once(town: Town) -> None:
    """Of another topic they are other keys: nobody takes one away, or reads what was answered under it."""
    anna, eve = await web_of(town, "anna"), await web_of(town, "eve")
    for name in ("anna", "eve"):
        events = await system_of(town, name)
        await events.subscribe(f"{name}.secret", lambda _data, name=name: f"of {name}").ready()
    key = {"idempotency-key": "invoice-7"}
    for web, name in ((eve, "eve"), (anna, "anna")):
        stored = {"topic": f"{name}.kept", "data": 1, "durable": True}
        told = (await web.post("/v1/events", json=stored, headers=key)).json()
        assert not told["stored"]["duplicate"]
        asked = {"topic": f"{name}.secret", "data": None}
        assert (await web.post("/v1/calls", json=asked, headers=key)).json()["data"] == f"of {name}"
    stolen = await eve.post("/v1/calls", json={"topic": "anna.secret", "data": None}, headers=key)
    assert stolen.status_code == 403


async def test_dead_letters_and_parked_keys(town: Town) -> None:
    anna, eve = await web_of(town, "anna"), await web_of(town, "eve")
    events = await system_of(town, "anna")
    failed: list[Any] = []

    def fail(_data: Any, event: Event) -> None:
        failed.append(event.key)
        raise ValueError("no")

    await events.subscribe("anna.job", fail, durable=True, retry=RetryPolicy(1)).ready()
    for body in ({"durable": True}, {"key": "k"}):
        assert (await anna.post("/v1/events", json={"topic": "anna.job", "data": 1, **body})).is_success

    async def letters() -> list[Any]:
        return (await anna.get("/v1/dead-letters", params={"topic": "anna.job"})).json()["items"]

    await until(lambda: len(failed) == 2)
    found = await letters()
    while not found:
        found = await letters()
    letter = found[0]["id"]
    assert (await eve.get("/v1/dead-letters")).json()["items"] == []
    for method, path, body in (
        ("GET", f"/v1/dead-letters/anna.job/{letter}", None),
        ("PUT", f"/v1/dead-letters/anna.job/{letter}", {"data": 1}),
        ("POST", "/v1/dead-letters/redrive", {"topic": "anna.job", "ids": [letter]}),
        ("POST", "/v1/dead-letters/purge", {"topic": "anna.job", "all": True}),
        ("GET", "/v1/parked/anna.job", None),
        ("POST", "/v1/parked/anna.job/k/skip", None),
        ("DELETE", "/v1/groups/anna.job/default", None),
    ):
        answer = await eve.request(method, path, json=body)
        assert answer.status_code == 403, (method, path, answer.text)
    assert (await eve.get(f"/v1/dead-letters/eve.job/{letter}")).status_code == 404
    mine = await eve.post("/v1/dead-letters/redrive", json={"topic": "eve.job", "ids": [letter]})
    assert mine.status_code == 404 or mine.json() == {"redriven": 0}
    assert [each["id"] for each in await letters()] == [letter]
