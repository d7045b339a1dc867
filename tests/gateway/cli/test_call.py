"""`tieline call`: payloads in, replies and exit codes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gateway.commands import command, on_terminal
from tests.gateway.test_up import closed_port
from tests.gateway.up import TOKEN, Up
from tieline import EventSystem


async def test_the_reply_is_json_whichever_way_the_payload_comes(url: str, shop: EventSystem, tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    file.write_text("[1, 2, 3]")
    for data, stdin in (("[1, 2, 3]", None), (f"@{file}", None), ("-", b"[1, 2, 3]\n")):
        printed = await command("call", "sum", data, "--url", url, stdin=stdin)
        assert printed == (0, "6\n", "")


async def test_nothing_is_null_and_what_json_cannot_say_is_said(url: str, shop: EventSystem) -> None:
    assert (await command("call", "echo", "--url", url)).out == "null\n"
    shop.subscribe("odd", lambda data: {"bytes": b"\x00\xff", "evil": "\x1b]0;x\x07\u202e", "ü": "ü"})
    await shop.subscriptions[-1].ready()
    printed = await command("call", "odd", "--url", url)
    assert json.loads(printed.out) == {"bytes": "AP8=", "evil": "\x1b]0;x\x07\u202e", "ü": "ü"}
    assert "\x1b" not in printed.out
    assert "\u202e" not in printed.out
    assert "ü" in printed.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("sum", "hello"), 2, """Text is quoted twice, for the shell and for JSON: '"hello"'"""),
        (("sum", "it's"), 2, """'"it'\\''s"'"""),
        (("sum", "[1, NaN]"), 2, "NaN is not in JSON"),
        (("sum", "@/nowhere/at/all"), 2, "cannot read '/nowhere/at/all': No such file"),
        (("sum", "["), 2, "DATA is no JSON"),
        (("sum", "[" * 100_000), 2, "nested too deeply"),
        (("a..b", "1"), 2, "INVALID_TOPIC: "),
        (("sum", "1", "--header", "nonsense"), 2, "it looks like 'tenant: acme'"),
        (("sum", "1", "--ttl", "soon"), 2, "it looks like 90, 250ms, 1.5s, 5m, 2h or 7d"),
        (("sum", "1", "--gather", "--stream"), 2, "give one of them"),
        (("hang", "1", "--ttl", "300ms"), 3, "TIMEOUT: "),
        (("nobody.home", "1"), 4, "NO_RESPONDERS: "),
        (("fail", "1"), 5, "HANDLER_ERROR: LookupError: no such thing\\x1b[2J (tieline explain "),
        (("sum", '"text"'), 2, "INVALID_PAYLOAD: the payload does not fit the handler"),
    ],
)
@pytest.mark.parametrize("url", ["redis"], indirect=True)
async def test_each_trouble_has_its_exit_code_and_its_sentence(
    url: str, shop: EventSystem, arguments: tuple[str, ...], code: int, says: str
) -> None:
    printed = await command("call", *arguments, "--url", url)
    assert (printed.code, printed.out, says in printed.err) == (code, "", True), printed.err
    assert "\x1b" not in printed.err


async def test_nobody_there_is_another_code_than_nobody_answering() -> None:
    for url in (f"redis://127.0.0.1:{closed_port()}", f"grpc://127.0.0.1:{closed_port()}"):
        printed = await command("call", "sum", "1", "--url", url)
        assert (printed.code, printed.err.startswith("tieline: UNAVAILABLE: ")) == (6, True), printed.err


async def test_an_error_is_json_if_wanted(url: str, shop: EventSystem) -> None:
    printed = await command("call", "fail", "1", "--json", "--url", url)
    told = json.loads(printed.err)
    assert (printed.code, told["code"], told["type"], told["outcome"]) == (5, "HANDLER_ERROR", "LookupError", "RAN")
    explained = await command("explain", told["correlation_id"], "--url", url)
    assert (explained.code, "LookupError" in explained.out or "no such thing" in explained.out) == (0, True)


async def test_a_stream_is_a_line_for_each_item(url: str, shop: EventSystem) -> None:
    assert await command("call", "count", "3", "--stream", "--url", url) == (0, "3\n2\n1\n", "")


async def test_gather_asks_all_and_tells_who_failed(url: str, shop: EventSystem) -> None:
    async with EventSystem(url, service="bank") as bank:
        await bank.subscribe("sum", lambda numbers: 100).ready()
        printed = await command("call", "sum", "[1, 2]", "--gather", "--json", "--url", url)
        answers = {each["service"]: each["data"] for each in json.loads(printed.out)["answers"]}
        assert (printed.code, answers) == (0, {"shop": 3, "bank": 100})
        table = await command("call", "fail", "1", "--gather", "--url", url)
        assert (table.code, table.lines[0].split()) == (5, ["SERVICE", "INSTANCE", "ANSWER"])


async def test_an_idempotency_key_runs_it_once(url: str, shop: EventSystem) -> None:
    ran: list[int] = []

    async def pay(amount: int) -> int:
        ran.append(amount)
        return len(ran)

    await shop.subscribe("pay", pay).ready()
    for _ in range(2):
        assert (await command("call", "pay", "10", "--idempotency-key", "inv-7", "--url", url)).out == "1\n"
    other = await command("call", "pay", "11", "--idempotency-key", "inv-7", "--url", url)
    assert (other.code, ran) == (9, [10])


async def test_waiting_for_a_responder(url: str) -> None:
    printed = await command("call", "late", "1", "--wait", "300ms", "--ttl", "5", "--url", url)
    assert printed.code == 4


async def test_a_token_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    async with Up("--token-file", str(file)) as up:
        without = await command("call", "echo", "1", "--url", up.url)
        given = await command("call", "echo", "1", "--url", up.url, "--token-file", str(file))
        by_environment = await command("call", "echo", "1", "--url", up.url, TIELINE_TOKEN_FILE=str(file))
    assert (without.code, given.code, by_environment.code) == (7, 4, 4)
    assert TOKEN not in without.err + given.err


async def test_a_reply_is_indented_on_a_terminal_and_no_colour_is_none(url: str, shop: EventSystem) -> None:
    shown = await on_terminal(80, "call", "echo", '{"a": [1]}', "--url", url)
    assert shown.lines == ["{", '  "a": [', "    1", "  ]", "}"]
    plain = await on_terminal(80, "services", "--url", url, NO_COLOR="1")
    assert "shop" in plain.out
    assert "\x1b[3" not in plain.out
