"""When dead letters are put back by themselves, and how many at a time: with a clock that is turned by hand."""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.suite.seen import Seen
from tieline import RetryPolicy, UnavailableError, testing
from tieline.durable.mail import Letter
from tieline.testing import System

HOURLY = RetryPolicy(max_attempts=1, redrives=3)
FAILING: Any = {"durable": True, "on_poison": "dead_letter", "retry": HOURLY}


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with testing.system() as made:
        yield made


async def test_a_letter_lies_for_an_hour_each_time(system: System) -> None:
    moments: list[float] = []

    async def take() -> None:
        moments.append(system.clock.now() / 1000)
        raise LookupError("never")

    await system.subscribe("t", take, **FAILING).ready()
    await system.clock.advance(1800)
    await system.publish("t", 1, durable=True)
    await system.clock.advance(4 * 3600)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(pauses) == 3
    assert all(3600 <= pause <= 3602 for pause in pauses), pauses
    (letter,) = await system.dead_letters.list("t")
    assert letter.redriven == 3


async def test_a_hundred_come_back_at_a_time_oldest_first(system: System) -> None:
    seen = Seen()
    await system.subscribe("t", _fail_and(seen), **FAILING).ready()
    for number in range(250):
        await system.publish("t", number, key="k")
    await system.clock.settle()
    assert await _dead(system) == 250
    seen.clear()
    left: list[list[int]] = []
    await system.clock.advance(3599)
    for _ in range(60):
        await system.clock.advance(0.1)
        if seen:
            left.append(list(seen))
            seen.clear()
    assert left == [list(range(100)), list(range(100, 200)), list(range(200, 250))]


async def test_it_looks_once_an_hour_and_not_at_what_stays(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, asked = Seen(), Seen()
    await system.subscribe("t", _fail_and(seen), **FAILING).ready()
    for number in range(3):
        await system.publish("t", number, durable=True)
    await system.clock.advance(4 * 3605)
    assert len(seen) == 12
    mail, letters = system._instance.mail, system._instance.mail.letters

    async def counted(topic: str, after: str, limit: int) -> Any:
        asked.append(after)
        return await letters(topic, after, limit)

    monkeypatch.setattr(mail, "letters", counted)
    await system.clock.advance(4 * 3600)
    assert 3 <= len(asked) <= 5
    assert all(asked), "what stays is not read again"


async def test_it_is_tried_again_when_the_broker_is_back(
    system: System, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen, mail = Seen(), None
    await system.subscribe("t", _fail_and(seen), **FAILING).ready()
    await system.publish("t", 1, durable=True)
    await system.clock.advance(1)
    mail = system._instance.mail

    async def away(*_: Any) -> Any:
        raise UnavailableError("the broker is away")

    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "tieline"):
        patch.setattr(mail, "redrive", away)
        await system.clock.advance(3610)
    assert len(seen) == 1
    assert "putting dead letters of 't' back failed" in caplog.text
    await system.clock.advance(3)
    assert len(seen) == 2


async def test_one_that_ends_puts_nothing_back(system: System) -> None:
    seen = Seen()
    subscription = system.subscribe("t", _fail_and(seen), **FAILING)
    await subscription.ready()
    await system.publish("t", 1, durable=True)
    await system.clock.settle()
    await subscription.unsubscribe()
    await system.clock.advance(2 * 3600)
    assert await _dead(system) == 1


@pytest.mark.parametrize("hopeless", ["a payload that does not fit", "an event that expired"])
async def test_what_will_not_get_better_stays(system: System, hopeless: str) -> None:
    seen = Seen()

    async def take(data: int) -> None:
        seen.append(data)
        raise LookupError("never")

    await system.subscribe("t", take, **FAILING).ready()
    if hopeless == "an event that expired":
        await system.publish("t", 1, durable=True, ttl=1800)
    else:
        await system.publish("t", {"no": "number"}, durable=True)
    await system.clock.advance(3 * 3600)
    assert len(seen) <= 1
    (letter,) = await system.dead_letters.list("t")
    assert letter.redriven == 0


def _fail_and(seen: Seen) -> Any:
    """A handler that remembers, and fails."""

    async def take(data: Any) -> None:
        seen.append(data)
        raise LookupError("never")

    return take


async def _dead(system: System) -> int:
    return len(await system.dead_letters.list("t", limit=1000))


async def test_a_letter_that_cannot_be_read_does_not_end_it(system: System, caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen()
    await system.subscribe("t", _fail_and(seen), **FAILING).ready()
    await system.publish("t", 1, durable=True)
    await system.clock.settle()
    mail = system._instance.mail
    (good,) = await mail.letters("t", "", 9)

    async def odd(topic: str, after: str, limit: int) -> list[Letter]:
        return [] if after else [Letter(good.id, b"\xff\xff\xff")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mail, "letters", odd)
        await system.clock.advance(3610)
    assert "putting dead letters of 't' back failed" in caplog.text
    await system.clock.advance(3610)
    assert len(seen) == 2
