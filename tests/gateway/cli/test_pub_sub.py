"""`tieline pub` and `tieline sub`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import pytest

from tests.gateway.cli.running import Running
from tests.gateway.commands import SECONDS, command, environment
from tieline import EventSystem

LISTENING = "^tieline: listening"


def listener(url: str, *arguments: str) -> Running:
    return Running("sub", *arguments, "--url", url, ready=LISTENING)


async def test_what_is_published_is_seen_in_order(url: str) -> None:
    async with listener(url, "order.>") as seen:
        for number in (1, 2, 3):
            printed = await command("pub", f"order.n{number}", f'{{"id": {number}}}', "--url", url)
            assert (printed.code, printed.out.startswith("published ")) == (0, True)
        await seen.line("order.n3  {")
        assert [line.split()[1:] for line in seen.output[1:]] == [[f"order.n{n}", f'{{"id":{n}}}'] for n in (1, 2, 3)]


async def test_lines_of_json_until_a_count_is_reached(url: str) -> None:
    async with listener(url, "a.*", "--json", "--count", "2") as seen:
        await command("pub", "a.b", '"\\u001b[2J"', "-H", "tenant: acme", "--correlation-id", "c-1", "--url", url)
        await command("pub", "a.c", "2", "--url", url)
        assert await seen.wait() == 0
        first, second = (json.loads(line) for line in seen.output[1:])
    assert (first["topic"], first["data"], first["headers"]["tenant"]) == ("a.b", "\x1b[2J", "acme")
    assert (first["correlation_id"], first["kind"], second["data"]) == ("c-1", "event", 2)
    assert "\x1b" not in seen.text


async def test_watching_answers_nobody_and_sees_calls_only_if_asked(url: str, shop: EventSystem) -> None:
    async with listener(url, "sum", "nobody") as quiet, listener(url, "sum", "nobody", "--requests") as curious:
        assert (await command("call", "nobody", "1", "--url", url)).code == 4
        assert (await command("call", "sum", "[1]", "--url", url)).out == "1\n"
        await curious.line(r"call sum  \[1\]")
        assert len(quiet.output) == 1


async def test_a_member_of_a_group_takes_events_and_answers_no_calls(url: str) -> None:
    async with listener(url, "job", "--group", "workers", "--count", "1") as member:
        assert (await command("call", "job", "1", "--url", url)).code == 4
        await command("pub", "job", "7", "--url", url)
        assert await member.wait() == 0
        assert member.output[-1].endswith("job  7")


async def test_stored_events_are_acknowledged_and_what_is_beyond_the_count_stays(url: str) -> None:
    for number in (1, 2, 3):
        stored = await command("pub", "card", str(number), "--key", "k", "--json", "--url", url)
        assert json.loads(stored.out)["stored"]["duplicate"] is False
    first = await command("sub", "card", "--durable", "--group", "g", "--count", "2", "--url", url)
    assert [line.split()[-1] for line in first.lines] == ["1", "2"]
    rest = await command("sub", "card", "--durable", "--group", "g", "--json", "--count", "1", "--url", url)
    assert json.loads(rest.out)["data"] == 3
    empty = await command("sub", "card", "--durable", "--group", "g", "--timeout", "1", "--url", url)
    assert empty.out == ""


async def test_lines_of_stdin_are_stored_in_their_order(url: str) -> None:
    lines = b"".join(b"%d\n" % number for number in range(1200)) + b"\n1200"
    printed = await command("pub", "many", "--key", "k", "--lines", "--url", url, stdin=lines)
    assert printed.out == "published 1,201 events\n"
    async with EventSystem(url) as events:
        got: list[int] = []
        events.subscribe("many", got.append, durable=True, concurrency=1)
        async with asyncio.timeout(SECONDS):
            while len(got) < 1201:
                await asyncio.sleep(0.05)
    assert got == list(range(1201))


@pytest.mark.parametrize("url", ["redis"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--lines", "1"), "leave DATA"),
        (("1", "--priority", "8"), "add --key or --durable"),
        (("1", "--delay", "1h", "--at", "2h"), "INVALID_ARGUMENT"),
        (("1", "--at", "tomorrow"), "is no moment"),
        (("1", "--delay", "-5"), "is no duration"),
        (("1", "--key", ""), "INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_be_meant_publishes_nothing(url: str, arguments: tuple[str, ...], says: str) -> None:
    async with listener(url, "x") as seen:
        printed = await command("pub", "x", *arguments, "--url", url)
        assert (printed.code, says in printed.err) == (2, True), printed.err
        await command("pub", "x", '"last"', "--url", url)
        await seen.line('x  "last"')
        assert len(seen.output) == 2


@pytest.mark.parametrize("url", ["redis"], indirect=True)
async def test_a_bad_line_is_named_and_those_before_it_are_published(url: str) -> None:
    async with listener(url, "x") as seen:
        printed = await command("pub", "x", "--lines", "--url", url, stdin=b"1\n2\nthree\n4\n")
        assert (printed.code, "line 3 is no JSON" in printed.err) == (2, True)
        assert printed.err.startswith("tieline: published before that: 2 events\n")
        printed = await command("pub", "x", "--lines", "--url", url, stdin=b"5\n\xff\n")
        assert (printed.code, "line 2 is not in UTF-8" in printed.err) == (2, True)
        await command("pub", "x", '"last"', "--url", url)
        await seen.line('x  "last"')
        assert "three" not in seen.text


async def test_known_by_its_id_it_is_stored_once(url: str) -> None:
    told = [await command("pub", "x", "1", "--durable", "--dedupe", "o-1", "--url", url) for _ in range(2)]
    assert [each.out.rstrip().endswith(", as it was before") for each in told] == [False, True]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
async def test_ctrl_c_ends_quietly(redis_url: str, number: int, code: int) -> None:
    async with listener(redis_url, ">") as seen:
        seen.interrupt() if number == signal.SIGINT else seen.terminate()
        assert await seen.wait() == code
        assert [line for line in seen.output[1:] if line.strip()] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("x", "--durable"), "say which --group"),
        (("x", "--start", "latest"), "--start goes with --durable"),
        (("x", "--requests", "--group", "g"), "--requests is for watching"),
        (("x..y",), "INVALID_TOPIC"),
        ((), "Missing argument 'PATTERN...'"),
    ],
)
async def test_what_cannot_be_meant_is_not_listened_to(redis_url: str, arguments: tuple[str, ...], says: str) -> None:
    printed = await command("sub", *arguments, "--url", redis_url)
    assert (printed.code, says in printed.err) == (2, True), printed.err


async def test_too_few_in_time_is_a_timeout(redis_url: str) -> None:
    printed = await command("sub", "x", "--count", "1", "--timeout", "500ms", "--url", redis_url)
    assert (printed.code, "TIMEOUT: 1 more did not come within 0.5 s" in printed.err) == (3, True)
    assert (await command("sub", "x", "--timeout", "500ms", "--url", redis_url)).code == 0


async def test_whoever_reads_may_leave(redis_url: str) -> None:
    """As `tieline sub … | head -1` does."""
    script = f"{sys.executable} -m tieline_gateway sub x --url {redis_url} | head -1"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"set -o pipefail; {script}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment({}), start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        await process.stderr.readline()
        async with EventSystem(redis_url) as events:
            while process.returncode is None:
                await events.publish("x", "y" * 1000)
                await asyncio.sleep(0.05)
        out, err = await process.communicate()
    assert (out.decode().count("\n"), err.decode(), process.returncode) == (1, "", 0)
