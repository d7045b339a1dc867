"""`example serve`: callers in Python and Node, and one with plain stubs, call a responder in another language."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.gateway.up import Client, Up
from tests.stacks.programs import Program
from tests.suite.seen import until
from tests.support.processes import Peer
from tieline import EventSystem, HandlerError, InvalidPayloadError, NoRespondersError, TielineError
from tieline._contract import gateway_pb2 as wire

NODE_CALLER = Path(__file__).with_name("node_caller.mjs")
MOST_RUNNING = {"go": 1_000, "java": 200}


def begun(service: Program) -> int:
    """How many slow requests it has begun."""
    return sum(line.startswith("BEGUN") for line in service.output)


# --- values and errors ----------------------------------------------------------------------------------------------


async def test_python_gets_a_value(service: Program, events: EventSystem) -> None:
    total = await events.publish_and_wait(f"{service.language}.sum", [1, -2, 2**53 + 1])
    assert (total, type(total)) == (2**53, int)


async def test_python_gets_the_error_of_a_handler(service: Program, events: EventSystem) -> None:
    with pytest.raises(HandlerError, match="no lamp left") as caught:
        await events.publish_and_wait(f"{service.language}.fail", {"item": "lamp"})
    assert (caught.value.type, caught.value.outcome) == ("OutOfStock", "RAN")
    assert caught.value.details == {"item": "lamp", "left": 0}


@pytest.mark.parametrize("data", [["one"], [1.5], {"a": 1}, "text"])
async def test_what_does_not_fit_the_handler_is_refused(service: Program, events: EventSystem, data: object) -> None:
    with pytest.raises(InvalidPayloadError, match="does not fit") as caught:
        await events.publish_and_wait(f"{service.language}.sum", data)
    assert caught.value.outcome == "NOT_DELIVERED"


async def test_json_is_answered_with_json(service: Program, up: Up) -> None:
    async with Client(up.address) as client:
        request = wire.PublishAndWaitRequest(
            topic=f"{service.language}.sum", data=b"[1, 2]", content_type="application/json; charset=utf-8"
        )
        reply = await client.stub.PublishAndWait(request, timeout=10)
    assert (json.loads(reply.data), reply.content_type) == (3, "application/json")


async def test_node_gets_values_and_errors_and_can_give_up(service: Program, up: Up) -> None:
    async with Peer.node(NODE_CALLER, up.url, service.language) as caller:
        assert json.loads((await caller.line("^SUM"))[4:]) == 6
        failed = {"code": "HANDLER_ERROR", "type": "OutOfStock", "outcome": "RAN", "message": "no lamp left"}
        assert json.loads((await caller.line("^FAIL"))[5:]) == {**failed, "details": {"item": "lamp", "left": 0}}
        assert json.loads((await caller.line("^TIMEOUT"))[8:]) == {"code": "TIMEOUT", "outcome": "MAY_HAVE_RUN"}
        await service.line("^CANCELLED 40")
        await service.line("^BEGUN 50")
        caller.terminate()
        assert await caller.line("^GAVE UP") == "GAVE UP CANCELLED"
        await service.line("^CANCELLED 50")
        caller.terminate()
        assert await caller.wait() == 0, caller.text


# --- many, long, and given up ---------------------------------------------------------------------------------------


async def test_requests_run_at_the_same_time(service: Program, events: EventSystem) -> None:
    calls = [asyncio.create_task(events.publish_and_wait(f"{service.language}.slow", 30.0)) for _ in range(50)]
    await until(lambda: begun(service) == 50)
    assert await events.publish_and_wait(f"{service.language}.sum", [1]) == 1
    for call in calls:
        call.cancel()
    await until(lambda: sum(line.startswith("CANCELLED") for line in service.output) == 50)


async def test_a_responder_with_too_much_to_do_says_so(service: Program, events: EventSystem) -> None:
    many = MOST_RUNNING[service.language]
    calls = [asyncio.create_task(events.publish_and_wait(f"{service.language}.slow", 30.0)) for _ in range(many)]
    await until(lambda: begun(service) == many, 30.0)
    with pytest.raises(TielineError) as caught:
        await events.publish_and_wait(f"{service.language}.sum", [1])
    assert (caught.value.code, caught.value.outcome, caught.value.retry_after) == ("OVERLOADED", "NOT_DELIVERED", 0.2)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert await events.publish_and_wait(f"{service.language}.sum", [1], wait_for_responders=5.0) == 1


async def test_a_caller_that_gives_up_cancels_the_handler(service: Program, events: EventSystem) -> None:
    call = asyncio.create_task(events.publish_and_wait(f"{service.language}.slow", 30.0))
    await service.line("^BEGUN")
    call.cancel()
    await service.line("^CANCELLED")


async def test_a_call_that_times_out_cancels_the_handler(service: Program, events: EventSystem) -> None:
    with pytest.raises(TielineError) as caught:
        await events.publish_and_wait(f"{service.language}.slow", 30.0, ttl=2.0)
    assert (caught.value.code, caught.value.outcome) == ("TIMEOUT", "MAY_HAVE_RUN")
    await service.line("^CANCELLED")


async def test_what_expired_before_it_arrived_is_not_begun(service: Program, up: Up, events: EventSystem) -> None:
    service.stop()
    with pytest.raises(TielineError, match="no reply"):
        await events.publish_and_wait(f"{service.language}.slow", 30.0, ttl=1.0)
    service.cont()
    assert await called(up, service) == b"3"
    assert begun(service) == 0


# --- ends and beginnings --------------------------------------------------------------------------------------------


async def test_a_responder_told_to_stop_finishes_what_it_was_given(service: Program, events: EventSystem) -> None:
    topic = f"{service.language}.slow"
    call = asyncio.create_task(events.publish_and_wait(topic, 2.0))
    await service.line("^BEGUN")
    service.terminate()
    assert await call == "slept"
    await service.wait()
    with pytest.raises(NoRespondersError):
        await events.publish_and_wait(topic, 0.0)


async def test_a_responder_comes_back_to_a_gateway_that_was_killed(service: Program, up: Up) -> None:
    before = service.instance
    up.kill()
    await up.wait()
    await service.line("linking anew")
    await up.start()
    await service.line(f"^READY (?!{before})")
    assert await called(up, service) == b"3"


async def test_a_gateway_that_says_nothing_any_more_is_left(service: Program, up: Up) -> None:
    before = service.instance
    up.stop()
    await service.line("no sign of life", seconds=30)
    up.cont()
    await service.line(f"^READY (?!{before})")
    assert await called(up, service) == b"3"


async def test_what_is_no_gateway_is_not_tried_again(language: str) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    program = Program(language, "serve", f"127.0.0.1:{port}")
    with pytest.raises(Exception, match=r"(?i)unimplemented"):
        await program.start()
    assert program.returncode == 1
    await server.stop(None)


async def called(up: Up, service: Program) -> bytes:
    """The reply to a call with plain stubs."""
    async with Client(up.address) as client:
        request = wire.PublishAndWaitRequest(
            topic=f"{service.language}.sum", data=b"[1, 2]", content_type="application/json"
        )
        return (await client.stub.PublishAndWait(request, timeout=10)).data
