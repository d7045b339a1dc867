"""What commands say when something is wrong: in words that people type, not in those of programs."""

from __future__ import annotations

import re

import pytest

from tests.gateway.commands import command
from tieline import EventSystem

_OF_PROGRAMS = re.compile(r"\w+_\w+|\b[a-z]+=|publishAnd\w+|waitFor\w+")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("call count 3", 1, "'count' streams its reply; call it with --stream"),
        ("call nobody.here 1", 4, "nobody answers 'nobody.here': start a subscriber of it, or give --wait"),
        ("call sum [] --ttl 25h", 2, "--ttl is in seconds, from 0.001 to 86400, not 90000.0"),
        ("pub a.b 1 --priority 5", 2, "--priority and --dedupe are for what is stored: add --key or --durable"),
        ("pub a.b 1 --dedupe x --delay 5", 2, "--dedupe is for what is stored: add --key or --durable"),
        ("pub a.b 1 --delay 5 --at 2h", 2, "--delay and --at are two ways to say when: give one of them"),
        ("cron create x @hourly a.b --priority 5", 2, "--priority is for what is stored: add --durable"),
    ],
)
async def test_errors_name_options(shop: EventSystem, url: str, words: str, code: int, says: str) -> None:
    printed = await command(*words.split(), "--url", url)
    assert (printed.code, printed.out) == (code, "")
    name, _, told = printed.err.removeprefix("tieline: ").strip().partition(": ")
    assert (name.isupper(), told.partition(" (tieline explain")[0]) == (True, says)
    assert not _OF_PROGRAMS.search(told), told


async def test_a_gather_that_meets_a_stream_names_the_option(shop: EventSystem, url: str) -> None:
    printed = await command("call", "count", "3", "--gather", "--url", url)
    assert "call it with --stream" in printed.out


async def test_words_of_a_handler_are_its_own(shop: EventSystem, url: str) -> None:
    async def refuse(data: str) -> None:
        raise ValueError(data)

    await shop.subscribe("refuse", refuse).ready()
    printed = await command("call", "refuse", '"give key= or publish_and_stream"', "--url", url)
    assert (printed.code, "ValueError: give key= or publish_and_stream" in printed.err) == (5, True)
