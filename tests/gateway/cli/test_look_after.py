"""Dead letters, parked keys, groups, schedules, cron tasks and history, from the shell."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.cli.running import Running
from tests.gateway.commands import SECONDS, command, on_terminal
from tests.gateway.up import Up, system
from tieline import EventSystem, RetryPolicy, Settings


async def told(*arguments: str, url: str) -> Any:
    """What a command prints as JSON."""
    printed = await command(*arguments, "--json", "--url", url)
    assert printed.code == 0, printed.err
    return json.loads(printed.out)


class Failing:
    """A durable subscriber that fails until it is mended, and what it has handled."""

    def __init__(self, url: str, on_poison: Any) -> None:
        self.handled: list[Any] = []
        self.broken = True
        self.events = EventSystem(url, service="failing", settings=Settings(drain=0.1))
        once = RetryPolicy(max_attempts=1)
        self.events.subscribe("card", self._handle, durable=True, group="g", retry=once, on_poison=on_poison)

    async def _handle(self, data: Any) -> None:
        if self.broken and data != "fine":
            raise ValueError(f"bad \x1b[2J {data}")
        self.handled.append(data)

    async def until(self, *expected: Any) -> None:
        async with asyncio.timeout(SECONDS):
            while self.handled != list(expected):
                await asyncio.sleep(0.05)


@pytest.fixture
async def letters(url: str) -> AsyncIterator[Failing]:
    """Three dead letters of the topic "card"."""
    failing = Failing(url, "dead_letter")
    async with failing.events as events:
        await events.subscriptions[0].ready()
        for number in (1, 2, 3):
            await events.publish("card", {"n": number}, key=f"k{number}")
        async with asyncio.timeout(SECONDS):
            while len(await events.dead_letters.list("card")) < 3:
                await asyncio.sleep(0.05)
        yield failing


async def test_dead_letters_are_listed_and_shown(url: str, letters: Failing) -> None:
    assert (await told("dlq", "list", url=url))["items"] == [{"topic": "card", "count": 3, "more": False, "shown": "3"}]
    page = await told("dlq", "list", "card", "--limit", "2", url=url)
    assert [item["event"]["data"]["n"] for item in page["items"]] != []
    rest = await told("dlq", "list", "card", "--after", page["next"], url=url)
    assert (len(page["items"]), len(rest["items"]), rest["next"]) == (2, 1, "")
    one = await told("dlq", "list", "card", "--key", "k2", url=url)
    shown = await told("dlq", "show", "card", one["items"][0]["id"], url=url)
    assert (shown["event"]["data"], shown["reason"], shown["error"]["type"]) == ({"n": 2}, "failed", "ValueError")
    table = await command("dlq", "list", "card", "--url", url)
    assert ("k1" in table.out, "\x1b" in table.out, "\\x1b[2J" in table.out) == (True, False, True)
    assert "n" in (await command("dlq", "show", "card", shown["id"], "--url", url)).out


async def test_dead_letters_go_back_by_id_by_filter_and_all(url: str, letters: Failing) -> None:
    letters.broken = False
    ids = [letter.id for letter in await letters.events.dead_letters.list("card")]
    assert await told("dlq", "redrive", "card", ids[0], url=url) == {"put_back": 1, "not_found": []}
    assert (await command("dlq", "redrive", "card", "--reason", "rejected", "--url", url)).out.startswith("put back 0 ")
    printed = await on_terminal(80, "dlq", "redrive", "card", "--all", "--url", url)
    assert printed.lines[-1].endswith("put back 2 dead letters")
    async with asyncio.timeout(SECONDS):
        while len(letters.handled) < 3:
            await asyncio.sleep(0.05)
    assert (await told("dlq", "list", "card", url=url))["items"] == []


async def test_dead_letters_that_are_not_there_are_told(url: str, letters: Failing) -> None:
    letters.broken = False
    known = [letter.id for letter in await letters.events.dead_letters.list("card")]
    printed = await command("dlq", "redrive", "card", known[0], "no-such-id", "1-0", known[0], "--url", url)
    assert (printed.code, printed.out) == (8, "put back 1 of 3 dead letters\n")
    assert printed.err == "tieline: not there (any more): no-such-id, 1-0\n"
    printed = await command("dlq", "redrive", "nothing.here", "1-0", "--json", "--url", url)
    assert (printed.code, json.loads(printed.out)) == (8, {"put_back": 0, "not_found": ["1-0"]})
    printed = await command("dlq", "purge", "card", known[0], known[1], "--yes", "--url", url)
    assert (printed.code, printed.out) == (8, "deleted 1 of 2 dead letters\n")


async def test_a_dead_letter_is_edited_by_argument_and_in_an_editor(url: str, letters: Failing) -> None:
    first, second, _ = [letter.id for letter in await letters.events.dead_letters.list("card")]
    assert (await command("dlq", "edit", "card", first, '"fine"', "--url", url)).code == 0
    await letters.until("fine")
    editor = f"{sys.executable} -c \"import sys; open(sys.argv[1], 'w').write('[8]')\""
    letters.broken = False
    edited = await on_terminal(80, "dlq", "edit", "card", second, "--url", url, EDITOR=editor, VISUAL="")
    assert edited.code == 0, edited.out
    await letters.until("fine", [8])
    assert (await command("dlq", "edit", "card", first, '"fine"', "--url", url)).code == 8
    assert (await command("dlq", "edit", "card", "nonsense", '"fine"', "--url", url)).code == 8


async def test_deleting_asks_first(url: str, letters: Failing) -> None:
    silent = await command("dlq", "purge", "card", "--all", "--url", url)
    assert (silent.code, "Say so with --yes" in silent.err) == (2, True)
    assert (await command("dlq", "purge", "card", "--yes", "--url", url)).code == 2
    assert await told("dlq", "purge", "card", "--key", "k1", "--yes", url=url) == {"deleted": 1}
    assert await told("dlq", "purge", "card", "--all", "--yes", url=url) == {"deleted": 2}


async def test_parked_keys_go_on_or_are_skipped(url: str) -> None:
    failing = Failing(url, "park")
    async with failing.events as events:
        for key in ("a", "b"):
            await events.publish("card", key, key=key)
        async with asyncio.timeout(SECONDS):
            while len(await events.parked.list("card", group="g")) < 2:
                await asyncio.sleep(0.05)
        parked = (await told("parked", "list", url=url))["items"]
        assert [(item["topic"], item["group"], item["event"]["key"]) for item in parked] in (
            [("card", "g", "a"), ("card", "g", "b")],
            [("card", "g", "b"), ("card", "g", "a")],
        )
        assert (await told("groups", "list", url=url))["items"][0]["parked"] == 2
        failing.broken = False
        assert (await command("parked", "unpark", "card", "a", "--group", "g", "--url", url)).code == 0
        await failing.until("a")
        assert (await command("parked", "skip", "card", "b", "--group", "g", "--url", url)).code == 0
        assert (await command("parked", "unpark", "card", "b", "--group", "g", "--url", url)).code == 8
        assert len(await events.dead_letters.list("card")) == 1


async def test_groups_are_listed_and_removed(url: str, letters: Failing) -> None:
    found = (await told("groups", "list", "card", url=url))["items"]
    assert [(item["name"], item["waiting"]) for item in found] == [("g", 0)]
    assert "WAITING" in (await command("groups", "list", "--url", url)).out
    assert (await command("groups", "remove", "card", "g", "--yes", "--url", url)).code == 0
    assert (await command("groups", "remove", "card", "g", "--yes", "--url", url)).code == 8


async def test_a_planned_event_is_moved_and_cancelled(url: str) -> None:
    planned = await told("pub", "later", '{"id": 7}', "--delay", "2h", url=url)
    listed = await told("schedule", "list", url=url)
    assert (listed["total"], listed["items"][0]["event"]["data"]) == (1, {"id": 7})
    moved = await told("schedule", "move", planned["id"], "--delay", "3h", url=url)
    assert moved["due"] > planned["due"]
    assert (await command("schedule", "retry", planned["id"], "--url", url)).code == 9
    assert "is cancelled" in (await command("schedule", "cancel", planned["id"], "--url", url)).out
    assert (await told("schedule", "show", planned["id"], url=url))["status"] == "cancelled"
    assert (await told("schedule", "figures", url=url))["cancelled"] == 1
    assert (await command("schedule", "move", planned["id"], "--delay", "1h", "--url", url)).code == 9
    assert (await command("schedule", "move", planned["id"], "--url", url)).code == 2
    assert (await command("schedule", "cancel", "nope", "--url", url)).code == 8


async def test_a_cron_task_from_its_making_to_its_end(url: str) -> None:
    made = await told(
        "cron", "create", "heart", "every 1h", "heart.beat", '{"strong": true}', "-H", "a: b", "--jitter", "1s", url=url
    )
    assert (made["name"], made["data"], made["headers"], made["paused"]) == (
        "heart",
        {"strong": True},
        {"a": "b"},
        False,
    )
    assert (await command("cron", "create", "heart", "every 1h", "heart.beat", "--url", url)).code == 9
    assert (await command("cron", "create", "x", "61 * * * *", "y", "--url", url)).code == 2
    assert (await told("cron", "update", "heart", "--expression", "every 2h", url=url))["expression"] == "every 2h"
    assert (await command("cron", "update", "heart", "--url", url)).code == 2
    async with Running("sub", "heart.beat", "--count", "1", "--url", url, ready="^tieline: listening") as seen:
        ran = await told("cron", "run", "heart", url=url)
        assert await seen.wait() == 0
    assert ran["id"].startswith("heart:")
    assert "is paused" in (await command("cron", "pause", "heart", "--url", url)).out
    assert "ticks next at" in (await command("cron", "resume", "heart", "--url", url)).out
    assert (await told("cron", "show", "heart", url=url))["runs"] == 1
    assert "heart.beat" in (await command("cron", "list", "--url", url)).out
    assert (await command("cron", "delete", "heart", "--yes", "--url", url)).out == "deleted heart\n"
    assert (await command("cron", "show", "heart", "--url", url)).code == 8


@pytest.fixture
async def recorded(tmp_path: Any) -> AsyncIterator[tuple[str, EventSystem, list[Any]]]:
    """A gateway with three events in its history, and a group that gets what is replayed."""
    async with Up("--history", f"sqlite://{tmp_path}/history.db") as up, system(up) as events:
        got: list[Any] = []

        async def take(data: Any, event: Any) -> None:
            if event.replay:
                got.append(data)

        await events.subscribe("order.placed", take, group="billing").ready()
        for number in (1, 2, 3):
            await events.publish("order.placed", {"id": number})
        async with asyncio.timeout(SECONDS):
            while (await events.history.list("order.*", page=1)).total != 3:
                await asyncio.sleep(0.05)
        yield up.url, events, got


async def test_history_is_listed_shown_and_deleted(recorded: tuple[str, EventSystem, list[Any]]) -> None:
    url, _, _ = recorded
    page = await told("history", "list", "order.*", "--since", "1h", "--limit", "2", url=url)
    rest = await told("history", "list", "order.*", "--since", "1h", "--cursor", page["next"], url=url)
    assert [item["data"]["id"] for item in [*page["items"], *rest["items"]]] == [3, 2, 1]
    shown = await told("history", "show", page["items"][0]["id"], url=url)
    assert (shown["type"], shown["data"], shown["status"]) == ("order.placed", {"id": 3}, "processed")
    assert '{"id":2}' in (await command("history", "list", "--url", url)).out
    assert (await told("history", "figures", url=url))["events"] >= 3
    assert (await command("history", "delete", "--yes", "--url", url)).code == 2
    assert await told("history", "delete", "--id", shown["id"], "--yes", url=url) == {"deleted": 1}
    assert (await command("history", "show", shown["id"], "--url", url)).code == 8
    assert await told("history", "delete", "order.*", "--yes", url=url) == {"deleted": 2}


async def test_a_replay_tells_how_far_it_is(recorded: tuple[str, EventSystem, list[Any]]) -> None:
    url, _, got = recorded
    printed = await command("replay", "order.*", "--to-group", "billing", "--url", url)
    assert (printed.code, printed.out) == (0, "replayed 3 of 3 events\n")
    assert got == [{"id": 1}, {"id": 2}, {"id": 3}]
    steps = await command("replay", "order.*", "--to-group", "billing", "--json", "--url", url)
    assert json.loads(steps.lines[-1])["done"] is True
    assert (await command("replay", "order.*", "--to-group", "nobody", "--url", url)).code == 8
    assert (await command("replay", "order.*", "--url", url)).code == 2


async def test_ctrl_c_ends_a_replay(recorded: tuple[str, EventSystem, list[Any]]) -> None:
    url, events, got = recorded
    await asyncio.sleep(0.5)
    await events.publish("order.placed", {"id": 4})
    async with asyncio.timeout(SECONDS):
        while (await events.history.list("order.*", page=1)).total != 4:
            await asyncio.sleep(0.05)
    slow = ("replay", "order.*", "--to-group", "billing", "--speed", "0.0001", "--json")
    async with Running(*slow, "--url", url, ready="sent") as replaying:
        replaying.interrupt()
        assert await replaying.wait() == 130
        assert "Traceback" not in replaying.text
    assert len(got) < 4


async def test_nobody_records(redis_url: str) -> None:
    printed = await command("history", "list", "--url", redis_url)
    assert (printed.code, "tieline up --history" in printed.err) == (4, True)
