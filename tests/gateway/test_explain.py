"""`tieline explain`: what it prints of calls that real services made, for people and for programs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import peers
from tests.gateway.commands import command, on_terminal
from tests.gateway.test_up import closed_port
from tests.gateway.up import Up
from tests.support.processes import Peer
from tests.support.servers import RedisServer
from tieline import EventSystem, HandlerError, Settings, TielineError

RESPONDER = Path(peers.__file__).with_name("responder.py")
WHY = "only 10 of them are left in the warehouse, and the next delivery is not before Monday morning"
ROW = re.compile(r"\d\d:\d\d:\d\d\.\d{3}  \+\d+\.\d{3}s  (\S+)  +(.*)")


@pytest.fixture
async def shop(redis_url: str) -> AsyncIterator[EventSystem]:
    """Places orders, for which it asks the stock, which may fail."""
    quick = Settings(drain=0.1)
    async with (
        EventSystem(redis_url, service="shop", settings=quick) as shop,
        EventSystem(redis_url, service="stock", settings=quick) as stock,
    ):

        async def place(order: dict[str, Any]) -> Any:
            return await shop.publish_and_wait("stock.reserve", order)

        async def reserve(order: dict[str, Any]) -> str:
            if order["count"] > 10:
                raise LookupError(WHY)
            return "reserved"

        await stock.subscribe("stock.reserve", reserve).ready()
        await stock.subscribe("order.place", place).ready()
        yield shop


async def place(shop: EventSystem, count: int = 1) -> None:
    """Make the call that the tests ask for; it is remembered as order-7."""
    with suppress(HandlerError):
        await shop.publish_and_wait("order.place", {"count": count}, correlation_id="order-7")


# --- into a pipe ------------------------------------------------------------------------------------------------------


async def test_a_trail_is_a_table_with_a_line_for_each_step(shop: EventSystem, redis_url: str) -> None:
    await place(shop)
    printed = await command("explain", "order-7", "--url", redis_url)
    assert (printed.code, printed.err) == (0, "")
    assert "\x1b" not in printed.out
    title, heads, *rows = printed.lines
    assert re.fullmatch(r"order-7: \d+ steps in 2 instances, \d{4}-\d\d-\d\d UTC", title)
    assert heads.split() == ["TIME", "AFTER", "WHO", "CALL", "STEP", "TOPIC", "DETAILS"]
    assert all(ROW.fullmatch(row) for row in rows), printed.out
    topics, steps = heads.index("TOPIC"), heads.index("STEP")
    assert {row[topics:].split()[0] for row in rows} == {"order.place", "stock.reserve"}
    told = {row[steps:].split()[0] for row in rows}
    assert told == {"routed_remote", "dispatched", "received", "replied", "completed"}
    (dispatched,) = [row for row in rows if "dispatched" in row and "order.place" in row]
    assert re.search(r"instance=stock/[0-9a-f]{4}$", dispatched), "the one it went to has its short name"


async def test_the_times_begin_with_the_first_step(shop: EventSystem, redis_url: str) -> None:
    await place(shop)
    rows = [row.split() for row in (await command("explain", "order-7", "--url", redis_url)).lines[2:]]
    clocks = [datetime.strptime(row[0], "%H:%M:%S.%f") for row in rows]  # noqa: DTZ007 - all of one day
    after = [f"{(clock - clocks[0]) / timedelta(seconds=1) % 86_400:+.3f}s" for clock in clocks]
    assert [row[1] for row in rows] == after
    assert after == sorted(after)
    document = json.loads((await command("explain", "order-7", "--url", redis_url, "--json")).out)
    times = [datetime.fromisoformat(step["time"]) for step in document["steps"]]
    assert [(time - times[0]) / timedelta(milliseconds=1) for time in times] == [
        step["after_ms"] for step in document["steps"]
    ]


async def test_a_failure_says_why_in_one_line(shop: EventSystem, redis_url: str) -> None:
    await place(shop, count=11)
    printed = await command("explain", "order-7", REDIS_URL=redis_url)
    failed = [line for line in printed.lines if " failed " in line]
    assert len(failed) == 2, printed.out
    assert all(line.endswith(f'code=HANDLER_ERROR  outcome=RAN  message="{WHY}"') for line in failed)


async def test_programs_get_json(shop: EventSystem, redis_url: str) -> None:
    await place(shop)
    printed = await command("explain", "order-7", "--json", TIELINE_URL=redis_url)
    document = json.loads(printed.out)
    assert (document["correlation_id"], document["missing"]) == ("order-7", [])
    assert document["steps"][0]["after_ms"] == 0
    (routed,) = [s for s in document["steps"] if (s["name"], s["topic"]) == ("routed_remote", "order.place")]
    assert (routed["service"], routed["instance"]) == ("shop", shop.instance)
    assert len(routed["call_id"]) == 32
    assert routed["time"].endswith("+00:00")


async def test_what_others_wrote_does_not_steer_the_terminal(redis_url: str) -> None:
    async with EventSystem(redis_url, service="shop") as shop:

        def fail(data: Any) -> None:
            raise ValueError("\x1b[2Jgone\nand a line of its own")

        await shop.subscribe("a", fail, name="\x1b]0;title\x07").ready()
        with pytest.raises(HandlerError):
            await shop.publish_and_wait("a", correlation_id="c")
        printed = await command("explain", "c", "--url", redis_url)
    assert "\x1b" not in printed.out
    assert r"\x1b[2Jgone\nand a line of its own" in printed.out


# --- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 60, 200])
async def test_on_a_terminal_no_line_is_too_long(shop: EventSystem, redis_url: str, columns: int) -> None:
    await place(shop, count=11)
    printed = await on_terminal(columns, "explain", "order-7", "--url", redis_url)
    assert max(map(len, printed.lines)) <= columns, printed.out
    assert "\x1b[31m" in printed.out, "a failure is red"
    joined = re.sub(r"\s+", " ", " ".join(printed.lines))
    assert joined.count(WHY) == 2, "and nothing is lost"
    if columns == 80:
        rows = [line for line in printed.lines if ROW.match(line)]
        assert {line.index("order.place") for line in rows if "order.place" in line} == {
            printed.lines[1].index("TOPIC")
        }


async def test_a_terminal_without_colours_gets_none(shop: EventSystem, redis_url: str) -> None:
    await place(shop)
    printed = await on_terminal(80, "explain", "order-7", "--url", redis_url, NO_COLOR="1")
    assert not re.search(r"\x1b\[3\d", printed.out)


# --- nothing, or not all ----------------------------------------------------------------------------------------------


async def test_what_nobody_remembers_is_said_with_reasons(shop: EventSystem, redis_url: str) -> None:
    printed = await command("explain", "order-8", "--url", redis_url)
    assert (printed.code, printed.err) == (1, "")
    assert printed.lines[0] == "Nobody remembers anything of order-8."
    for reason in ("last 1,000 calls", "only what failed is stored", "correlation id"):
        assert reason in printed.lines[1]
    document = await command("explain", "order-8", "--url", redis_url, "--json")
    assert document.code == 1
    assert json.loads(document.out) == {"correlation_id": "order-8", "steps": [], "missing": []}


async def test_who_does_not_answer_is_named(redis_url: str) -> None:
    options = json.dumps({"url": redis_url, "topic": "frozen"})
    async with EventSystem(redis_url, service="shop") as shop, Peer.python(RESPONDER, options) as peer:
        instance = (await peer.line("READY")).split()[1]
        await shop.publish_and_wait("frozen", {"do": "echo"}, correlation_id="c")
        peer.stop()
        printed = await command("explain", "c", "--url", redis_url, "--ttl", "0.5")
        assert printed.code == 0
        assert printed.lines[-1] == f"No answer within 0.5 s, so their part may be missing: peer/{instance}"
        document = json.loads((await command("explain", "c", "--url", redis_url, "--ttl", "0.5", "--json")).out)
        assert document["missing"] == [{"service": "peer", "instance": instance}]
        nothing = await command("explain", "other", "--url", redis_url, "--ttl", "0.5")
        assert (nothing.code, nothing.lines[-1]) == (1, printed.lines[-1])
        peer.cont()


async def test_a_failure_is_told_when_its_processes_are_gone(redis_url: str) -> None:
    async with EventSystem(redis_url, service="shop") as shop:
        with pytest.raises(TielineError):
            await shop.publish_and_wait("nobody.home", correlation_id="c")
        await shop.publish("in.step")
    printed = await command("explain", "c", "--url", redis_url)
    assert printed.code == 0
    assert "code=NO_RESPONDERS" in printed.out


async def test_through_a_gateway_it_tells_the_same(stack: AsyncExitStack, up: Up) -> None:
    shop = await stack.enter_async_context(EventSystem(up.url, service="shop", settings=Settings(drain=0.1)))
    await shop.subscribe("a", lambda data: data).ready()
    await shop.publish_and_wait("a", correlation_id="c")
    printed = await command("explain", "c", "--url", up.url)
    assert printed.code == 0
    assert "routed_local" in printed.out


# --- wrong use, and no broker -----------------------------------------------------------------------------------------


async def test_an_empty_id_is_refused_without_asking_anybody() -> None:
    printed = await command("explain", "", "--url", "redis://127.0.0.1:1")
    assert (printed.code, printed.out) == (2, "")
    assert "the ID is empty" in printed.err


@pytest.mark.parametrize("name", [("explain", "c"), ("services",)])
@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ((), 2, "memory:// is inside one process"),
        (("--url", "memory://"), 2, "give --url, or set TIELINE_URL"),
        (("--url", "memory:///tmp/x.db"), 2, "memory:// is inside one process"),
        (("--url", "http://x"), 2, "unknown scheme 'http'"),
        (("--url", "redis://127.0.0.1:{closed}"), 6, "UNAVAILABLE: "),
        (("--url", "grpc://127.0.0.1:{closed}"), 6, "UNAVAILABLE: "),
        (("--url", "redis://:wrong@127.0.0.1:{redis}"), 7, "UNAUTHENTICATED: "),
        (("--ttl", "0"), 2, "--ttl"),
    ],
)
async def test_what_cannot_work_ends_with_one_line(
    name: tuple[str, ...], options: tuple[str, ...], code: int, says: str
) -> None:
    with RedisServer(password="right") as server:
        known = {"closed": closed_port(), "redis": server.port}
        printed = await command(*name, *(option.format(**known) for option in options))
    assert (printed.code, printed.out) == (code, "")
    told = [line for line in printed.err.splitlines() if line.startswith(("tieline: ", "Error: "))]
    assert len(told) == 1, printed.err
    assert says in told[0]
    assert "wrong@" not in printed.err
