"""Thousands of answers to one question."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.suite.seen import Watch
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import Call
from tieline.calls.gather import Gathering, Unit
from tieline.transport import Place

COUNT = 8_000


async def test_what_an_answer_costs_does_not_grow_with_those_that_are_still_out() -> None:
    calls, loop = list[Call](), asyncio.get_running_loop()

    def begin(request: Envelope, to: str) -> Call:
        calls.append(Call(request, 0.0, loop.create_future(), to=to))
        return calls[-1]

    def abandon(call: Call) -> Any:
        raise AssertionError(f"{call.to} was abandoned")

    everybody = [Unit("", [Place("s", str(number), ())]) for number in range(COUNT)]
    asking = asyncio.create_task(Gathering(Envelope(topic="t"), begin, abandon).ask(everybody, 0))
    while len(calls) < COUNT:
        await asyncio.sleep(0)
    watch = Watch()
    for call in calls:
        call.waiter.set_result(Envelope())
        for _ in range(3):
            await asyncio.sleep(0)
    answers = await asking
    assert [responder.instance for responder, _ in answers] == [call.to for call in calls]
    assert watch.seconds < 8.0
