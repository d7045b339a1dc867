"""Parts of the gateway by themselves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import CANCEL, REPLY, REQUEST
from tieline.errors import HandlerError, InternalError, UnauthenticatedError
from tieline.transports.grpc_frames import FRAME_BYTES, Kept, Outbox
from tieline_gateway.access.admission import Credentials, bearer
from tieline_gateway.access.principal import Action
from tieline_gateway.access.shared_token import SharedToken, TokenError
from tieline_gateway.address import Address, parse_address
from tieline_gateway.links.door import is_instance
from tieline_gateway.links.flight import Flight
from tieline_gateway.status import refusal
from tieline_gateway.traffic import Traffic


def pong(ref: int) -> bytes:
    """A frame of one item."""
    return wire.LinkResponse(items=[wire.GatewayItem(pong=wire.Pong(ref=ref))]).SerializeToString()


# --- the outbox -----------------------------------------------------------------------------------------------------


async def test_what_waits_goes_out_as_one_frame_in_order() -> None:
    outbox = Outbox(1000)
    for ref in range(1, 6):
        (outbox.put if ref % 2 else outbox.put_droppable)(pong(ref))
    frame = wire.LinkResponse.FromString(await outbox.take())
    assert [item.pong.ref for item in frame.items] == [1, 2, 3, 4, 5]
    assert outbox.size == 0


async def test_a_frame_ends_near_its_target() -> None:
    outbox = Outbox(10_000_000)
    for _ in range(10):
        outbox.put(bytes(FRAME_BYTES // 2))
    sizes = [len(await outbox.take()) for _ in range(5)]
    assert sizes == [FRAME_BYTES] * 5
    outbox.put(bytes(3 * FRAME_BYTES))
    assert len(await outbox.take()) == 3 * FRAME_BYTES


async def test_the_oldest_droppable_messages_give_way_and_no_others() -> None:
    outbox = Outbox(30)
    outbox.put(b"kept." * 2)
    dropped = [outbox.put_droppable(b"%d" % n * 10) for n in range(5)]
    assert dropped == [0, 0, 1, 1, 1]
    outbox.put(b"kept.")
    assert outbox.full
    assert await outbox.take() == b"kept.kept." + b"3" * 10 + b"4" * 10 + b"kept."
    assert not outbox.full


async def test_a_message_that_is_larger_than_the_limit_still_passes() -> None:
    outbox = Outbox(5)
    assert outbox.put_droppable(b"much too long") == 0
    assert await outbox.take(0) == b"much too long"


async def test_one_by_one_skips_what_was_dropped() -> None:
    outbox = Outbox(10)
    for n in range(4):
        outbox.put_droppable(b"%d" % n * 5)
    assert [await outbox.take(0), await outbox.take(0)] == [b"2" * 5, b"3" * 5]


async def test_closing_lets_the_rest_out_and_then_ends() -> None:
    outbox = Outbox(10)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.put(b"last")
    outbox.close()
    assert await taking == b"last"
    assert await outbox.take() == b""


async def test_a_reader_that_was_cancelled_loses_nothing() -> None:
    outbox = Outbox(10)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    taking.cancel()
    outbox.put(b"kept")
    assert await outbox.take() == b"kept"


async def take_what_comes_one_by_one(outbox: Outbox, more_to_come: bool) -> bytes:
    """The second frame, while a message comes in each turn of the loop."""

    async def come() -> None:
        for n in range(6):
            outbox.put(b"%d" % n)
            await asyncio.sleep(0)

    for _ in range(100):
        outbox.put(b"x")
    await outbox.take(more_to_come=lambda: more_to_come)
    coming = asyncio.create_task(come())
    frame = await outbox.take(more_to_come=lambda: more_to_come)
    await coming
    return frame


async def test_when_messages_come_fast_and_more_are_expected_it_waits_for_them() -> None:
    assert await take_what_comes_one_by_one(Outbox(1000), more_to_come=True) == b"012345"
    assert await take_what_comes_one_by_one(Outbox(1000), more_to_come=False) == b"0"


async def test_a_message_that_comes_after_a_while_goes_at_once() -> None:
    outbox = Outbox(1000)
    outbox.put(b"1")
    assert await outbox.take(more_to_come=lambda: True) == b"1"
    await asyncio.sleep(0.01)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    outbox.put(b"2")
    assert await outbox.take(more_to_come=lambda: True) == b"2"
    counting.cancel()
    assert turns < 3


async def test_and_it_does_not_wait_for_ever() -> None:
    outbox = Outbox(1_000_000)
    going = True

    async def never_stop() -> None:
        while going:
            outbox.put(b"x")
            await asyncio.sleep(0)

    for _ in range(100):
        outbox.put(b"x")
    await outbox.take(more_to_come=lambda: True)
    coming = asyncio.create_task(never_stop())
    assert len(await asyncio.wait_for(outbox.take(more_to_come=lambda: True), 5)) < 200
    going = False
    await coming


def test_answers_are_kept_until_they_expire_and_within_bounds() -> None:
    kept = Kept(30)
    for expires_at, frame in ((0, b"never"), (100, b"later"), (50, b"sooner")):
        kept.add(expires_at, frame)
    assert kept.take(50) == [b"never", b"later"]
    assert kept.take(50) == []
    for number in range(5):
        kept.add(0, b"%d" % number * 10)
    assert kept.take(0) == [b"2" * 10, b"3" * 10, b"4" * 10]


# --- calls under way ------------------------------------------------------------------------------------------------


def call(name: bytes, expires_at: int = 1000) -> Envelope:
    """A request."""
    return Envelope(kind=REQUEST, call_id=name, expires_at=expires_at)


@pytest.mark.parametrize("kind", [REPLY, CANCEL])
def test_a_call_ends_with_a_reply_or_its_cancellation(kind: int) -> None:
    flight, end = Flight(Traffic()), Envelope(kind=kind, call_id=b"1")  # type: ignore[arg-type]
    flight.made(call(b"1"))
    assert flight.busy(0)
    (flight.down if kind == REPLY else flight.up)(end)
    assert not flight.busy(0)
    flight.given(call(b"1"))
    assert flight.busy(0)
    (flight.up if kind == REPLY else flight.down)(end)
    assert not flight.busy(0)


def test_a_call_that_expired_or_was_not_taken_keeps_nobody_waiting() -> None:
    flight = Flight(Traffic())
    flight.made(call(b"1", 1000))
    assert flight.busy(999)
    assert not flight.busy(1000)
    flight.made(call(b"2", 0))
    assert flight.busy(10**15)
    flight.not_taken(b"2")
    assert not flight.busy(1000)


def test_calls_that_nobody_ended_are_forgotten_when_they_expired() -> None:
    flight = Flight(Traffic())
    for number in range(100_000):
        request = call(number.to_bytes(16, "big"), number + 10)
        request.time = number
        flight.given(request)
    assert flight.given_count < 10_000


# --- addresses, tokens, statuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:50051", Address("127.0.0.1", 50051), True),
        ("[::1]:0", Address("::1", 0), True),
        ("localhost:1", Address("localhost", 1), True),
        ("127.0.0.2:1", Address("127.0.0.2", 1), True),
        ("0.0.0.0:1", Address("0.0.0.0", 1), False),
        ("[::]:1", Address("::", 1), False),
        ("[::ffff:10.0.0.1]:1", Address("::ffff:10.0.0.1", 1), False),
        ("localhost.example.com:1", Address("localhost.example.com", 1), False),
        ("127.0.0.1.example.com:1", Address("127.0.0.1.example.com", 1), False),
    ],
)
def test_addresses(text: str, address: Address, loopback: bool) -> None:
    assert parse_address(text) == address
    assert address.is_loopback is loopback
    assert str(address) == text


def test_a_token_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  a-token-of-some-length \nsecond line\n")
    auth = SharedToken.from_file(file)
    assert auth.admit(Credentials(bearer("Bearer a-token-of-some-length"))).may(Action.PUBLISH, "any.topic")
    for wrong in ("Bearer second line", "Bearer ä", "Basic a-token-of-some-length", "", b"Bearer \xff"):
        with pytest.raises(UnauthenticatedError):
            auth.admit(Credentials(bearer(wrong)))


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff\xfe" * 20])
def test_a_file_without_a_proper_token_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(TokenError):
        SharedToken.from_file(file)
    with pytest.raises(TokenError):
        SharedToken.from_file(tmp_path / "missing")


@pytest.mark.parametrize("name", ["", "0" * 15, "0" * 17, "A" * 16, "*" * 16, "0" * 15 + "}", "0" * 16 + "\n"])
def test_only_what_can_be_an_instance_is_sent_anything(name: str) -> None:
    assert not is_instance(name)
    assert is_instance("0123456789abcdef")


def test_details_travel_as_json_and_are_cut_when_long() -> None:
    told = refusal(HandlerError("no", details={"when": 1.5, "raw": b"\xff", "long": "x" * 5_000}, type="T" * 900))
    info = ErrorInfo()
    assert Status.FromString(told.details).details[0].Unpack(info)
    assert len(told.details) < 8_000
    assert info.metadata["details"].startswith('{"when": 1.5')
    assert info.metadata["type"] == "T" * 197 + "…"


def test_an_error_without_a_status_of_its_own_is_internal() -> None:
    told = refusal(InternalError("ours", details={"code": "NOT_FOUND"}))
    assert told.code == "INTERNAL"
    assert json.loads(_metadata(told.details)["details"]) == {"code": "NOT_FOUND"}


@pytest.mark.parametrize("code", ["", "NO_SUCH_CODE", 7, ["NOT_FOUND"], {"a": 1}, None])
def test_a_handlers_code_that_is_not_ours_is_unknown(code: object) -> None:
    assert refusal(HandlerError("no", details={"code": code})).code == "UNKNOWN"


def _metadata(status: bytes) -> dict[str, str]:
    info = ErrorInfo()
    try:
        Status.FromString(status).details[0].Unpack(info)
    except DecodeError as error:
        raise AssertionError(status) from error
    return dict(info.metadata)
