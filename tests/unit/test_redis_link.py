"""The connection to Redis: replies in step with commands, however the bytes arrive and whatever is refused."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

import pytest

from tests.suite.raw import Raw
from tests.support.servers import RedisServer
from tieline import EventSystem, Outcome, UnavailableError
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import REPLY
from tieline.transport import Interest, Route
from tieline.transports.redis import RedisTransport
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError, bulk, pack
from tieline.transports.redis_patterns import group_entry

GREETING = b"%1\r\n+server\r\n+redis\r\n"


class Wire:
    """The other end of a link, in memory: what was written, and whether it was dropped."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.writes = 0
        self.dropped = False

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def abort(self) -> None:
        self.dropped = True

    close = abort

    def set_write_buffer_limits(self, high: int) -> None:
        """Bounds are the real transport's business."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.dropped


class Made:
    """A link, its wire, and what it reported."""

    def __init__(self) -> None:
        self.pushed, self.lost, self.wire = list[Any](), list[str](), Wire()
        self.link = RedisLink(self.pushed.append, self.lost.append, 1_000_000)
        self.link.connection_made(cast(asyncio.BaseTransport, self.wire))

    def arrives(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.link.data_received(chunk)


@pytest.fixture
async def made() -> Made:
    return Made()


async def test_everything_of_one_turn_is_one_write(made: Made) -> None:
    made.link.send(pack("SET", "k", 0))
    await asyncio.sleep(0)
    assert made.wire.writes == 1
    for number in range(1, 6):
        made.link.send(pack("SET", "k", number))
    assert made.wire.writes == 1
    await asyncio.sleep(0)
    assert made.wire.writes == 2
    assert made.wire.written == b"".join(pack("SET", "k", number) for number in range(6))


def test_commands_are_packed_as_redis_reads_them() -> None:
    assert pack("SET", b"\x00\r\n", 5) == b"*3\r\n$3\r\nSET\r\n$3\r\n\x00\r\n\r\n$1\r\n5\r\n"
    assert bulk(b"") == b"$0\r\n\r\n"


REPLIES = (
    b"$3\r\nabc\r\n:42\r\n_\r\n%1\r\n+a\r\n:1\r\n*2\r\n:1\r\n$-1\r\n-ERR no\r\n#t\r\n,1.5\r\n"
    b">3\r\n+message\r\n$1\r\nc\r\n$2\r\nhi\r\n+OK\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
async def test_replies_are_read_however_they_are_cut(made: Made, size: int) -> None:
    asked = [made.link.ask(pack("X")) for _ in range(9)]
    made.arrives(*(REPLIES[at : at + size] for at in range(0, len(REPLIES), size)))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answers[0], answers[1], answers[2], answers[4], answers[6]] == [b"abc", 42, None, [1, None], True]
    assert isinstance(answers[5], ReplyError)
    assert answers[7:] == [1.5, b"OK"]
    assert [list(push) for push in made.pushed] == [[b"message", b"c", b"hi"]]
    assert made.lost == []


@pytest.mark.parametrize("size", [1, 5, 1_000])
async def test_a_subscription_is_done_when_every_channel_is_confirmed(made: Made, size: int) -> None:
    before = made.link.ask(pack("A"))
    subscribed = made.link.subscribe("SSUBSCRIBE", ["a", "b"])
    after = made.link.ask(pack("B"))
    one, two = (b">3\r\n$10\r\nssubscribe\r\n$1\r\n%c\r\n:1\r\n" % name for name in b"ab")
    made.arrives(b"+before\r\n", *(one[at : at + size] for at in range(0, len(one), size)))
    await asyncio.sleep(0)
    assert (before.done(), subscribed.done(), after.done()) == (True, False, False)
    made.arrives(two + b"+after\r\n")
    await subscribed
    assert await after == b"after"
    assert made.pushed == []


async def test_a_refused_subscription_does_not_put_replies_out_of_step(made: Made) -> None:
    before = made.link.ask(pack("A"))
    refused = made.link.subscribe("SUBSCRIBE", ["a", "b"])
    granted = made.link.subscribe("SUBSCRIBE", ["c"])
    after = made.link.ask(pack("B"))
    made.arrives(b"+before\r\n-NOPERM no channel\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+after\r\n")
    with pytest.raises(ReplyError, match="NOPERM"):
        await refused
    await granted
    assert await before == b"before"
    assert await after == b"after"


async def test_messages_between_confirmations_are_messages(made: Made) -> None:
    subscribed = made.link.subscribe("SUBSCRIBE", ["a", "b"])
    confirm = b">3\r\n$9\r\nsubscribe\r\n$1\r\n%c\r\n:1\r\n"
    message = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
    made.arrives(confirm % ord("a") + message + confirm % ord("b"))
    await subscribed
    assert len(made.pushed) == 1


async def test_subscribing_to_nothing_is_done_at_once(made: Made) -> None:
    await made.link.subscribe("SUBSCRIBE", [])
    await asyncio.sleep(0)
    assert made.wire.written == b""


async def test_a_broken_connection_fails_what_is_out_and_what_comes_later(made: Made) -> None:
    asked, subscribed = made.link.ask(pack("A")), made.link.subscribe("SUBSCRIBE", ["a"])
    made.link.connection_lost(ConnectionResetError("reset"))
    for future in (asked, subscribed, made.link.ask(pack("B")), made.link.subscribe("SUBSCRIBE", ["b"])):
        with pytest.raises(LinkDownError, match="reset"):
            await future
    made.link.connection_lost(None)
    assert len(made.lost) == 1


async def test_what_is_no_resp_breaks_the_connection(made: Made) -> None:
    asked = made.link.ask(pack("A"))
    made.arrives(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(LinkDownError, match="does not speak the Redis protocol"):
        await asked
    assert made.wire.dropped
    assert len(made.lost) == 1


async def test_a_reply_to_nothing_breaks_the_connection(made: Made) -> None:
    made.arrives(b"+OK\r\n")
    assert made.wire.dropped
    assert len(made.lost) == 1


async def test_a_cancelled_question_does_not_take_the_next_ones_reply(made: Made) -> None:
    first, second = made.link.ask(pack("A")), made.link.ask(pack("B"))
    first.cancel()
    made.arrives(b"+first\r\n+second\r\n")
    assert await second == b"second"


async def test_a_server_that_does_not_read_congests_the_link_until_it_does() -> None:
    reading, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reading.wait()
        while await reader.read(1 << 20):
            pass
        writer.close()
        await writer.wait_closed()
        closed.set()

    server, loop = await asyncio.start_server(serve, "127.0.0.1", 0), asyncio.get_running_loop()
    address = server.sockets[0].getsockname()
    _, link = await loop.create_connection(lambda: RedisLink(list[Any]().append, print, 1_000_000), *address)
    assert not link.congested
    for _ in range(200):
        link.send(pack("SET", "k", b"x" * 1_000_000))
        await asyncio.sleep(0)
        if link.congested:
            break
    assert link.congested
    reading.set()
    async with asyncio.timeout(20):
        while link.congested:
            await asyncio.sleep(0.01)
    link.close("done")
    await closed.wait()
    server.close()


async def test_against_a_real_server_commands_and_subscriptions_stay_in_step(redis_server: RedisServer) -> None:
    pushed, lost, loop = list[Any](), list[str](), asyncio.get_running_loop()
    _, link = await loop.create_connection(
        lambda: RedisLink(pushed.append, lost.append, 1_000_000), "127.0.0.1", redis_server.port
    )
    await link.call("HELLO", 3)
    questions = list[Any]()
    for number in range(200):
        questions.append(link.ask(pack("ECHO", number)))
        questions.append(link.subscribe("SUBSCRIBE", [f"link.{number}", f"link.x{number}"]))
        questions.append(link.ask(pack("PUBLISH", f"link.{number}", "hi")))
    answers = await asyncio.gather(*questions)
    assert answers[::3] == [str(number).encode() for number in range(200)]
    assert answers[2::3] == [1] * 200
    assert len(pushed) == 200
    link.close("done")
    assert lost == ["done"]


# --- replies that are spared ----------------------------------------------------------------------------------------

SPARED = b"$6\r\nspared\r\n"
SKIP = pack("CLIENT", "REPLY", "SKIP")


async def test_a_quiet_command_has_no_reply_and_is_done_with_the_next_one(made: Made) -> None:
    back = list[bytes]()
    made.link.learn_to_skip()
    made.arrives(SPARED)
    made.wire.written.clear()
    made.link.send_quietly(pack("A"), back.append)
    asked = made.link.ask(pack("B"))
    made.link.send_quietly(pack("C"), back.append)
    await asyncio.sleep(0)
    assert made.wire.written == SKIP + pack("A") + pack("B") + SKIP + pack("C")
    made.arrives(b"+of B\r\n")
    assert await asked == b"of B"
    made.link.connection_lost(None)
    assert back == [pack("C")]
    made.link.send_quietly(pack("D"), back.append)
    assert back == [pack("C"), pack("D")]


async def test_a_confirmation_tells_that_quiet_commands_are_done_too(made: Made) -> None:
    back = list[bytes]()
    made.link.learn_to_skip()
    made.arrives(SPARED)
    made.link.send_quietly(pack("A"), back.append)
    subscribed = made.link.subscribe("SUBSCRIBE", ["a"])
    made.arrives(b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
    await subscribed
    made.link.connection_lost(None)
    assert back == []


async def test_a_server_that_spares_no_reply_is_asked_for_none(made: Made) -> None:
    back = list[bytes]()
    made.link.learn_to_skip()
    asked = made.link.ask(pack("A"))
    made.arrives(b"-NOPERM no client|reply\r\n$7\r\nskipped\r\n" + SPARED + b"+of A\r\n")
    assert await asked == b"of A"
    made.wire.written.clear()
    made.link.send_quietly(pack("B"), back.append)
    asked = made.link.ask(pack("C"))
    await asyncio.sleep(0)
    assert made.wire.written == pack("B") + pack("C")
    made.arrives(b":1\r\n+of C\r\n")
    assert await asked == b"of C"
    made.link.send_quietly(pack("D"), back.append)
    made.link.connection_lost(None)
    assert back == [pack("D")]


async def test_now_and_then_a_quiet_command_has_a_reply(made: Made) -> None:
    """So that what would have to be sent again does not grow without bound."""
    made.link.learn_to_skip()
    made.arrives(SPARED)
    large = pack("A", b"x" * 300_000)
    for _ in range(20):
        made.link.send_quietly(large, lambda packed: None)
        await asyncio.sleep(0)
        if made.wire.written.endswith(SKIP + large):
            continue
        made.arrives(b":1\r\n")
        made.wire.written.clear()
    assert made.lost == []
    assert len(made.wire.written) < 5 * len(large)


@pytest.mark.parametrize("refusal", [b"-BUSY a script hangs\r\n", b"-NOPERM no right to run 'client|reply'\r\n"])
async def test_a_reply_to_the_request_for_none_ends_the_connection(made: Made, refusal: bytes) -> None:
    """Replies would be taken for those of other commands from there on."""
    made.link.learn_to_skip()
    made.arrives(SPARED)
    made.link.send_quietly(pack("A"), lambda packed: None)
    asked = made.link.ask(pack("B"))
    made.arrives(refusal + b"+of B\r\n")
    with pytest.raises(LinkDownError):
        await asked
    assert made.wire.dropped


async def test_a_notice_right_behind_the_list_of_patterns_is_not_lost(made: Made) -> None:
    transport = RedisTransport("redis://localhost")
    made.link._on_push = transport._on_push
    reading = asyncio.create_task(transport._read_patterns(made.link))
    await asyncio.sleep(0)
    entry = group_entry("a.*", "g").encode()
    notice = b">3\r\n$7\r\nmessage\r\n$5\r\ntl:pn\r\n$%d\r\n%b\r\n" % (len(entry), entry)
    made.arrives(b"*0\r\n" + notice)
    await reading
    assert list(transport.patterns.groups("a.b")) == [("a.*", "g")]


async def test_answers_that_were_sent_come_back_before_those_that_only_waited() -> None:
    with RedisServer() as server:
        transport = RedisTransport(server.url)
        system = EventSystem(transport=transport)
        async with system:
            port = system._instance.port
            assert port is not None
            assert transport.link is not None
            for text in (b"first", b"second"):
                port.answer("f" * 16, Envelope(kind=REPLY, call_id=b"1" * 16, data=text))
                if text == b"first":
                    transport.link.flush()
            transport.link.abort("by the test")
            assert [b"first" in packed for packed in transport._kept] == [True, False]


async def test_a_link_that_breaks_while_responders_are_looked_up_leaves_no_failure_unheard(
    redis_server: RedisServer,
) -> None:
    unheard = list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unheard.append(context["message"]))
    transport = RedisTransport(redis_server.url)
    ports = [await transport.open("lost", Raw(transport)) for _ in range(3)]
    for port in ports:
        await port.register([Interest(Route.REQUEST, "lost.topic")])
    answer_of = transport.answer_of

    async def then_cut(*asked: Any) -> Any:
        answer = await answer_of(*asked)
        _link(transport).close("cut off in the middle of a question")
        return answer

    transport.answer_of = then_cut  # type: ignore[method-assign]
    with pytest.raises(UnavailableError) as caught:
        await ports[0].responders("lost.topic")
    assert caught.value.outcome is Outcome.NOT_DELIVERED
    del caught  # it holds the frames that hold the questions
    transport.answer_of = answer_of  # type: ignore[method-assign]
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []
    await transport.aclose()


def _link(transport: RedisTransport) -> RedisLink:
    assert transport.link is not None
    return transport.link
