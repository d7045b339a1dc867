"""Bad input is refused where it enters, with an error that says what is wrong, and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.suite.seen import BUSY_SECONDS, Seen, Watch, until
from tests.support.servers import RedisServer
from tieline import (
    CallTimeoutError,
    Event,
    EventSystem,
    InvalidArgumentError,
    InvalidPayloadError,
    InvalidTopicError,
    Message,
    Middleware,
    PayloadTooLargeError,
    PermissionDeniedError,
    Retry,
    Settings,
    Step,
    StepName,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
    blocking,
)
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import ACCEPTED, CANCEL, EVENT, REPLY, REQUEST, frame
from tieline.errors import Outcome, TielineError
from tieline.middleware import HandleNext, PublishNext

# --- what is published, and how -------------------------------------------------------------------------------------


@pytest.fixture
async def system() -> AsyncIterator[EventSystem]:
    async with EventSystem("memory://") as made:
        yield made


async def both(system: EventSystem, topic: Any, data: Any = None, **options: Any) -> list[TielineError]:
    """What publishing and calling raise; a handler and a listener see nothing of it."""
    seen, errors = Seen(), list[TielineError]()
    system.subscribe("ok", seen.take)
    system.subscribe(">", seen.take)
    for use in (system.publish, system.publish_and_wait):
        with pytest.raises(TielineError) as caught:
            await use(topic, data, **options)
        errors.append(caught.value)
    await asyncio.sleep(0)
    assert seen == []
    assert all(error.outcome is Outcome.NOT_DELIVERED for error in errors)
    return errors


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        ("", "must not be empty"),
        ("a b", "character ' ' at position 1"),
        ("a..b", "token 2 at position 2 is empty"),
        (".a", "is empty"),
        ("a.", "is empty"),
        ("a.*", "a concrete topic is needed"),
        ("a.>", "a concrete topic is needed"),
        ("a:b", "character ':'"),
        ("a{b}", "character '{'"),
        ("ä", "is not allowed"),
        ("a\n", "is not allowed"),
        ("a\0", "is not allowed"),
        ("x" * 256, "256 bytes long"),
        (".".join("x" * 17), "17 tokens"),
        (None, "must be text"),
        (5, "must be text"),
        (b"bytes", "must be text"),
        ("system.warning", "published by the system only"),
        ("cron.task.created", "published by the system only"),
    ],
)
async def test_a_bad_topic_is_refused(system: EventSystem, topic: Any, says: str) -> None:
    for error in await both(system, topic):
        assert isinstance(error, InvalidTopicError)
        assert says in error.message


@pytest.mark.parametrize("pattern", ["", "a b", "a.>.b", "a*", "a.b>", "*.", "x" * 256, None])
def test_a_bad_pattern_is_refused(pattern: Any) -> None:
    system = EventSystem("memory://")
    with pytest.raises(InvalidTopicError):
        system.subscribe(pattern, lambda: None)
    with pytest.raises(InvalidTopicError):
        system.subscribe(pattern)
    assert system.subscriptions == []


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("data", "content_type", "says"),
    [
        ({"items": [0, object]}, "", "$.items[1]"),
        ({"a": {1: 2}}, "", "$.a"),
        ("\ud800", "", "$"),
        (2**64, "", "$"),
        (_deep(65), "", "deeper than 64"),
        (_cyclic(), "", "deeper than 64"),
        (_deep, "", "$"),
        ({"a": float("nan")}, "application/json", "$.a"),
        ({"a": b"x"}, "application/json", "$.a"),
        ({"a": 1}, "text/plain", "text"),
        ("text", "application/octet-stream", "bytes"),
        (5, "image/png", "bytes"),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
async def test_a_payload_that_cannot_travel_is_refused(
    system: EventSystem, data: Any, content_type: str, says: str
) -> None:
    for error in await both(system, "ok", data, content_type=content_type):
        assert isinstance(error, InvalidPayloadError)
        assert says in error.message


@pytest.mark.parametrize("data", [b"x" * 2**20, ["y" * 1024] * 1024], ids=["bytes", "list"])
async def test_a_payload_that_is_too_large_is_refused(system: EventSystem, data: Any) -> None:
    for error in await both(system, "ok", data):
        assert isinstance(error, PayloadTooLargeError)
        assert "1048576" in error.message


async def test_nesting_of_64_is_fine(system: EventSystem) -> None:
    system.subscribe("ok", lambda data: data)
    assert await system.publish_and_wait("ok", _deep(64)) == _deep(64)


@pytest.mark.parametrize(
    "ttl", [0, -1, 0.0001, 86_401, float("nan"), float("inf"), -float("inf"), 10**400, "5", True, [], 1j], ids=str
)
async def test_an_absurd_ttl_is_refused(system: EventSystem, ttl: Any) -> None:
    for error in await both(system, "ok", ttl=ttl):
        assert isinstance(error, InvalidArgumentError)
        assert "ttl is in seconds" in error.message


WAITS = [-1, 86_401, float("nan"), float("inf"), 10**400, "5", True, [1], 1j]


@pytest.mark.parametrize("wait", WAITS, ids=str)
async def test_an_absurd_wait_is_refused(system: EventSystem, wait: Any) -> None:
    for error in await both(system, "ok", wait_for_connection=wait):
        assert "wait_for_connection is in seconds, from 0 to 86400" in error.message
    for name in ("wait_for_responders", "wait_for_connection"):
        options = {name: wait}
        for use in (system.publish_and_wait, system.publish_and_stream):
            with pytest.raises(InvalidArgumentError, match=f"{name} is in seconds, from 0 to 86400"):
                await anext(use("ok", **options)) if use == system.publish_and_stream else await use("ok", **options)


@pytest.mark.parametrize("wait", [0, 0.01, 86_400])
async def test_the_shortest_and_the_longest_wait_are_fine(system: EventSystem, wait: float) -> None:
    system.subscribe("ok", lambda data: data)
    assert await system.publish_and_wait("ok", 1, wait_for_responders=wait, wait_for_connection=wait) == 1


@pytest.mark.parametrize("retry", [5, 0, True, "x", {"attempts": 5}, Retry], ids=str)
async def test_a_retry_that_is_no_policy_is_refused(system: EventSystem, retry: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"retry=Retry\(attempts=5\)"):
        await system.publish_and_wait("nobody.home", retry=retry)


@pytest.mark.parametrize(
    "setting",
    [
        {"call_ttl": float("nan")},
        {"event_ttl": float("inf")},
        {"call_ttl": 0},
        {"event_ttl": 86_401},
        {"lease": "10"},
        {"drain": -1},
        {"concurrency": 0},
        {"queue": 1.5},
        {"attempts": True},
        {"offline_buffer": None},
    ],
    ids=str,
)
def test_absurd_settings_are_refused(setting: dict[str, Any]) -> None:
    (name, value), *_ = setting.items()
    with pytest.raises(InvalidArgumentError, match=f"the setting {name} is a .*, not {value!r}"):
        Settings(**setting)


async def test_an_empty_group_of_durable_events_is_refused(system: EventSystem) -> None:
    with pytest.raises(InvalidArgumentError, match="group '': must not be empty; a group has 1 to 255 bytes"):
        system.subscribe("ok", print, durable=True, group="")


async def test_who_asks_for_groups_of_a_pattern_is_told_what_is_needed(system: EventSystem) -> None:
    with pytest.raises(InvalidTopicError, match=r"topic 'c\.\*': token 2 .*: a concrete topic is needed"):
        await system.groups.list("c.*")


@pytest.mark.parametrize("ttl", [0.001, 1, 86_400])
async def test_the_shortest_and_the_longest_ttl_are_fine(system: EventSystem, ttl: float) -> None:
    assert (await system.publish("ok", ttl=ttl)).id


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"a": 1}, InvalidArgumentError),
        ({1: "a"}, InvalidArgumentError),
        ({"a": b"x"}, InvalidArgumentError),
        ({"a": "\ud800"}, InvalidArgumentError),
        ({"a": None}, InvalidArgumentError),
        (["a"], InvalidArgumentError),
        ({f"h{n}": "" for n in range(65)}, PayloadTooLargeError),
        ({"a": "x" * 8_192}, PayloadTooLargeError),
        ({"a": "ü" * 4_096}, PayloadTooLargeError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_bad_headers_are_refused(system: EventSystem, headers: Any, error: type[TielineError]) -> None:
    assert [type(each) for each in await both(system, "ok", headers=headers)] == [error, error]


@pytest.mark.parametrize("option", ["content_type", "schema_version", "correlation_id"])
@pytest.mark.parametrize("value", [3, True, b"1", ["1"], "\ud800"], ids=ascii)
async def test_a_text_that_is_none_is_refused(system: EventSystem, option: str, value: Any) -> None:
    for error in await both(system, "ok", b"", **{option: value}):
        assert isinstance(error, InvalidArgumentError)
        assert f"{option} is text" in error.message


@pytest.mark.parametrize("correlation_id", ["", None, 5, b"a", "\ud800"], ids=ascii)
async def test_what_is_no_id_is_not_explained(system: EventSystem, correlation_id: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="correlation_id is "):
        await system.explain(correlation_id)


async def _soon(data: Any) -> Any:
    return data


# --- subscriptions --------------------------------------------------------------------------------------------------


def test_an_option_that_nobody_knows_is_told_with_those_that_are_known() -> None:
    with pytest.raises(InvalidArgumentError, match=r"subscribe does not know retries; it knows batch, .*, retry, "):
        EventSystem("memory://").subscribe("a", lambda: None, retries=3)  # type: ignore[call-overload]


async def test_whether_an_event_is_durable_is_yes_or_no() -> None:
    async with EventSystem("memory://") as system:
        for unclear in ("no", 1, 0.5):
            with pytest.raises(InvalidArgumentError, match="durable is True or False, not "):
                await system.publish("a", 1, durable=unclear)  # type: ignore[arg-type]
        assert not await system.groups.topics()


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": -1},
        {"concurrency": 1.5},
        {"concurrency": True},
        {"queue": -1},
        {"queue": "many"},
        {"batch": (0, 1.0)},
        {"batch": (1, 0)},
        {"batch": (1, -1)},
        {"batch": (1, 1e9)},
        {"batch": (1,)},
        {"batch": 5},
        {"batch": ("a", "b")},
        {"group": "a b"},
        {"group": "x" * 256},
        {"group": "a\0b"},
        {"group": 5},
        {"observe": True, "group": "g"},
        {"observe": True, "batch": (1, 1.0)},
        {"name": 5},
        {"name": "\ud800"},
        {"durable": "yes"},
        {"durable": None},
        {"filter": 5},
        {"filter": _soon},
        {"on_gap": 5},
        {"on_gap": "tell"},
        {"on_gap": lambda gap: gap},
        {"on_gap": _soon},
        {"on_gap": lambda since, until, reason, more: more},
        {"schema_version": "2", "upcasters": [("1", "2", _soon)]},
    ],
    ids=lambda options: ascii(sorted(options)) + ascii(list(options.values()))[:20],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    system = EventSystem("memory://")
    with pytest.raises(InvalidArgumentError):
        system.subscribe("a", lambda: None, **options)
    assert system.subscriptions == []


@pytest.mark.parametrize("on_gap", [None, print, lambda *gap: gap, lambda since, until, reason="": reason])
def test_whatever_takes_since_until_and_reason_is_told_of_gaps(on_gap: Any) -> None:
    assert EventSystem("memory://").subscribe("a", lambda: None, on_gap=on_gap).on_gap is on_gap


@pytest.mark.parametrize("given", [None, 5, _soon, ["a"]])
async def test_what_is_no_subscription_cannot_be_unsubscribed(system: EventSystem, given: Any) -> None:
    kept = system.subscribe("a", _soon)
    with pytest.raises(InvalidArgumentError, match="unsubscribe takes"):
        await system.unsubscribe(given)
    with pytest.raises(InvalidArgumentError, match="unsubscribe takes"):
        blocking.EventSystem("memory://").unsubscribe(given)
    assert system.subscriptions == [kept]


async def test_a_name_that_nothing_has_may_be_unsubscribed(system: EventSystem) -> None:
    kept, named = system.subscribe("a", _soon, name="kept"), system.subscribe("a", _soon, name="named")
    for _ in range(2):
        await system.unsubscribe("named")
    await system.unsubscribe("unknown")
    assert named.closed
    assert system.subscriptions == [kept]


# --- where to connect -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["amqp://localhost", "localhost:6379", "redis", "http://localhost", "://", "grp://x"])
def test_an_unknown_scheme_is_told_when_the_system_is_made(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="redis://"):
        EventSystem(url)


@pytest.mark.parametrize("url", ["redis://localhost:port", "redis://localhost:99999999", "redis://localhost/x?db=y"])
def test_an_unreadable_redis_url_is_told_when_the_system_is_made(url: str) -> None:
    with pytest.raises(InvalidArgumentError):
        EventSystem(url)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": 5}, "the URL is text"),
        ({"url": b"memory://"}, "the URL is text"),
        ({"service": 5}, "service is the name of the service"),
        ({"settings": {"drain": 5}}, r"Settings\(drain=5\)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [EventSystem, blocking.EventSystem], ids=["asynchronous", "blocking"])
def test_arguments_of_another_type_are_told_when_the_system_is_made(kind: Any, options: Any, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        kind(**options)


class OnlyPublishes:
    """A middleware that is no `Middleware` and has one method."""

    async def publish(self, message: Message, call_next: PublishNext) -> Any:
        message.data += 1
        return await call_next(message)


class OnlyHandles:
    """One that has the other one."""

    async def handle(self, event: Event, call_next: HandleNext) -> Any:
        return await call_next() * 10


@pytest.mark.parametrize("middleware", [5, Middleware(), [5], [Middleware], [print], "ab", {"publish": 1}, None])
@pytest.mark.parametrize("kind", [EventSystem, blocking.EventSystem], ids=["asynchronous", "blocking"])
def test_what_is_no_middleware_is_told_when_the_system_is_made(kind: Any, middleware: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="middleware is a list of objects"):
        kind("memory://", middleware=middleware)


async def test_a_middleware_may_have_one_of_the_methods_only() -> None:
    chain: list[Any] = [OnlyHandles(), OnlyPublishes()]
    async with EventSystem("memory://", middleware=chain) as system:
        system.subscribe("ok", lambda data: data)
        assert await system.publish_and_wait("ok", 1) == 20


@pytest.mark.parametrize("query", ["foo=1", "foo", "db=1&foo=2", "namespace=shop", "ssl_min_version=771"])
def test_an_unknown_parameter_of_a_redis_url_is_told_with_those_that_are_known(query: str) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"unknown parameter '(foo|namespace|ssl_min_version)'; known are db,"
    ):
        EventSystem(f"redis://localhost/0?{query}")
    EventSystem("redis://localhost/0?db=1&socket_timeout=5&decode_responses=true")


def test_a_bad_namespace_is_told_when_the_system_is_made() -> None:
    with pytest.raises(InvalidArgumentError, match="character"):
        EventSystem("redis://localhost", namespace="a b")


async def refused(url: str, **settings: float) -> TielineError:
    """What starting there raises, within 5 seconds and a little, and again when it is tried again."""
    system, watch = EventSystem(url, settings=Settings(**settings)), Watch()
    try:
        with pytest.raises(TielineError) as caught:
            await system.start()
        assert watch.seconds < 6.0 + BUSY_SECONDS
        with pytest.raises(type(caught.value)):
            await system.publish("a")
        return caught.value
    finally:
        await system.aclose()


async def test_nobody_there_is_told_at_once_with_the_address_and_what_to_do() -> None:
    async with other_server(_closes_at_once) as port:
        pass
    error = await refused(f"redis://user:secret@127.0.0.1:{port}/0")
    assert isinstance(error, UnavailableError)
    assert error.outcome is Outcome.NOT_DELIVERED
    assert f"127.0.0.1:{port}" in error.message
    assert "is it running" in error.message
    assert "secret" not in str(error)


async def test_a_host_that_does_not_exist_is_named() -> None:
    error = await refused("redis://no-such-host.invalid:6379", connect_timeout=2.0)
    assert isinstance(error, UnavailableError)
    assert "no-such-host.invalid:6379" in error.message


async def test_a_host_whose_name_cannot_be_one_is_told() -> None:
    error = await refused("redis://no..name:6379")
    assert isinstance(error, UnavailableError)
    assert "no..name:6379" in error.message


async def test_a_database_that_does_not_exist_is_told(redis_server: RedisServer) -> None:
    error = await refused(f"redis://127.0.0.1:{redis_server.port}/99")
    assert isinstance(error, UnavailableError)
    assert "DB index is out of range" in error.message


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path, option: str, content: str | None) -> None:
    file = tmp_path / "some.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidArgumentError, match=r"some\.pem"):
        EventSystem(f"rediss://localhost?{option}={file}")


def test_a_database_that_is_no_number_is_told() -> None:
    with pytest.raises(InvalidArgumentError, match="no database number"):
        EventSystem("redis://localhost/orders")
    for fine in ("redis://localhost", "redis://localhost/", "redis://localhost/5", "unix:///tmp/some.sock?db=3"):
        EventSystem(fine)


async def test_a_unix_socket_that_does_not_exist_is_named() -> None:
    error = await refused("unix:///no/such/redis.sock")
    assert isinstance(error, UnavailableError)
    assert "/no/such/redis.sock" in error.message


@pytest.mark.parametrize("user", ["", ":wrong@", "nobody:wrong@"], ids=["none", "wrong", "unknown-user"])
async def test_a_wrong_password_is_told(user: str) -> None:
    with RedisServer(password="right") as server:
        error = await refused(f"redis://{user}127.0.0.1:{server.port}")
        assert isinstance(error, UnauthenticatedError)
        assert f"127.0.0.1:{server.port}" in error.message
        assert "password" in error.message
        async with EventSystem(server.url) as right:
            assert right.connected


async def test_a_user_without_the_right_to_subscribe_is_told() -> None:
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "limited", "on", ">secret", "+@all", "~*", "resetchannels")
        error = await refused(f"redis://limited:secret@127.0.0.1:{server.port}")
        assert isinstance(error, PermissionDeniedError)
        assert "channel" in error.message
        with redis.Redis(port=server.port) as client:
            assert [each for each in client.client_list() if each["user"] == "limited"] == []


async def test_a_cluster_is_told() -> None:
    with socket.socket() as bus:  # by default 10,000 above the server's own port, which may be too high
        bus.bind(("127.0.0.1", 0))
        bus_port = str(bus.getsockname()[1])
    with RedisServer(options=("--cluster-enabled", "yes", "--cluster-port", bus_port)) as server:
        error = await refused(server.url)
    assert isinstance(error, UnsupportedError)
    assert f"127.0.0.1:{server.port}" in error.message
    assert "Cluster" in error.message
    assert "single server" in error.message


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def other_server(serve: Serve, *, left_alone: bool = True) -> AsyncIterator[int]:
    """A server of another kind; gives its port. In the end every client must have hung up, where that is asked for."""
    guests = set[asyncio.StreamWriter]()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests.add(writer)
        with contextlib.suppress(OSError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        guests.remove(writer)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
        if left_alone:
            await until(lambda: not guests, 5.0, lambda: f"{len(guests)} connections are still open")
    finally:
        server.close()
        for writer in guests:
            writer.transport.abort()
        await until(lambda: not guests)


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await reader.read()


async def _closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Return, and so close."""


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def _says(*replies: bytes) -> Serve:
    """A server that says one reply to each command, and then nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.read(4_096)
            writer.write(reply)
        await reader.read()

    return serve


def _hello(version: str, mode: str = "standalone") -> bytes:
    return b"%%3\r\n+server\r\n+redis\r\n+version\r\n+%b\r\n+mode\r\n+%b\r\n" % (version.encode(), mode.encode())


async def test_a_silent_server_is_told_within_5_seconds() -> None:
    async with other_server(_silent) as port:
        error = await refused_once(f"redis://127.0.0.1:{port}")
    assert isinstance(error, UnavailableError)
    assert f"127.0.0.1:{port}" in error.message
    assert "no answer within 4 s" in error.message


@pytest.mark.parametrize(
    "method", ["publish_and_wait", "publish_and_gather", "publish_and_stream", "explain", "services"]
)
async def test_the_first_call_is_not_late_because_a_server_is_silent(method: str) -> None:
    async with other_server(_silent) as port, unstarted(port) as system:
        topic = [] if method == "services" else ["topic"]
        call, watch = getattr(system, method)(*topic, ttl=0.2), Watch()
        with pytest.raises(CallTimeoutError, match="did not answer in time") as caught:
            await (anext(call) if method == "publish_and_stream" else call)
        assert watch.seconds < 3.0
    assert caught.value.outcome == "NOT_DELIVERED"


@contextlib.asynccontextmanager
async def unstarted(port: int) -> AsyncIterator[EventSystem]:
    system = EventSystem(f"redis://127.0.0.1:{port}")
    try:
        yield system
    finally:
        await system.aclose()


async def refused_once(url: str) -> TielineError:
    """What starting there raises with the settings nobody changed."""
    system, watch = EventSystem(url), Watch()
    with pytest.raises(TielineError) as caught:
        await system.start()
    assert watch.seconds < 6.0 + BUSY_SECONDS
    await system.aclose()
    return caught.value


@pytest.mark.parametrize(
    ("serve", "error", "says"),
    [
        (_http, UnavailableError, "does not speak the Redis protocol"),
        (_closes_at_once, UnavailableError, "the connection"),
        (_says(b":7\r\n"), UnavailableError, "so it is no Redis"),
        (_says(b"+OK\r\n"), UnavailableError, "so it is no Redis"),
        (_says(b"\x00\xff\xfe garbage"), UnavailableError, "does not speak the Redis protocol"),
        (_says(b"-ERR unknown command 'HELLO'\r\n"), UnsupportedError, "does not know RESP3"),
        (_says(b"-NOPROTO unsupported protocol version\r\n"), UnsupportedError, "does not know RESP3"),
        (_says(b"-LOADING Redis is loading the dataset in memory\r\n"), UnavailableError, "LOADING"),
        (_says(_hello("6.2.14")), UnsupportedError, "Redis 7.0"),
        (_says(_hello("7.2.0", "sentinel")), UnsupportedError, "Sentinel"),
        (_says(_hello("7.2.0", "cluster")), UnsupportedError, "Cluster"),
        (_says(_hello("7.2.0")), UnavailableError, "no answer within"),
        (_says(_hello("7.2.0"), b":7\r\n"), UnavailableError, ""),
        (_says(_hello("7.2.0"), b"+id=7 addr=127.0.0.1:7 name=x\r\n"), UnavailableError, ""),
    ],
    ids=[
        "http", "closes", "integer", "ok", "garbage", "old", "noproto", "loading", "version-6", "sentinel", "cluster",
        "silent-after-hello", "odd-after-hello", "silent-after-the-greeting",
    ],
)  # fmt: skip
async def test_a_server_of_another_kind_is_told(serve: Serve, error: type[TielineError], says: str) -> None:
    async with other_server(serve) as port:
        raised = await refused(f"redis://127.0.0.1:{port}", connect_timeout=2.0)
    assert isinstance(raised, error)
    assert f"127.0.0.1:{port}" in raised.message
    assert says in raised.message


@pytest.mark.parametrize("serve", [_http, _closes_at_once, _silent], ids=["http", "closes", "silent"])
async def test_a_server_that_is_no_gateway_is_told(serve: Serve) -> None:
    """gRPC keeps a connection that never greeted for 20 s, even when its channel is closed."""
    async with other_server(serve, left_alone=False) as port:
        error = await refused(f"grpc://127.0.0.1:{port}", connect_timeout=1.0)
    assert isinstance(error, UnavailableError)
    assert f"127.0.0.1:{port}" in error.message


async def test_a_redis_server_that_is_no_gateway_is_told(redis_server: RedisServer) -> None:
    error = await refused(f"grpc://127.0.0.1:{redis_server.port}", connect_timeout=1.0)
    assert isinstance(error, UnavailableError)
    assert f"127.0.0.1:{redis_server.port}" in error.message


async def test_a_start_that_failed_can_be_tried_again() -> None:
    with RedisServer() as server:
        system, seen = EventSystem(server.url), Seen()
        server.stop()
        with pytest.raises(UnavailableError):
            await system.publish("a")
        server.start()
        await system.subscribe("a", seen.take).ready()
        await system.publish("a", 1)
        await seen.stay(1)
        await system.aclose()


# --- what others put on the channels --------------------------------------------------------------------------------


class Victim:
    """An event system on Redis whose every channel is known to a stranger with another client."""

    def __init__(self, server: RedisServer) -> None:
        self.steps, self.seen = list[Step](), Seen()
        self.system = EventSystem(server.url, service="victim", observe=self.steps.append)
        self.caller = EventSystem(server.url, service="caller")
        self.stranger = redis.Redis(port=server.port)

    async def open(self) -> None:
        self.system.subscribe("t.a", self.handle)
        self.system.subscribe("t.*", self.handle, group="g")
        await self.system.subscribe("t.>", self.handle, observe=True).ready()
        await self.caller.start()

    async def handle(self, data: Any) -> Any:
        self.seen.append(data)
        return data

    def channels(self) -> list[tuple[bool, str]]:
        """Whether it is sharded, and its name."""
        instance, prefix = self.system.instance, "tl:"
        return [
            (False, contract.event_channel(prefix, "t.a")),
            (False, contract.observed_channel(prefix, "t.a")),
            (False, contract.notice_channel(prefix)),
            (True, contract.request_channel(prefix, "t.a", instance)),
            (True, contract.group_channel(prefix, "t.*", instance, "g")),
            (True, contract.inbox_channel(prefix, instance)),
            (True, contract.inbox_channel(prefix, self.caller.instance)),
        ]

    def throw(self, *frames: bytes) -> None:
        """Publish on every channel; each has its listener."""
        for sharded, channel in self.channels():
            for data in frames:
                heard = self.stranger.execute_command("SPUBLISH" if sharded else "PUBLISH", channel, data)
                assert heard >= 1, channel

    async def is_well(self) -> None:
        """Events and calls arrive, over the same connection as before."""
        await self.caller.publish("t.a", "well")
        assert await self.caller.publish_and_wait("t.a", "well?") == "well?"
        await until(lambda: self.seen.count("well") >= 2, say=lambda: str(self.seen))
        assert not [step for step in self.steps if step.name is StepName.GAP]

    async def close(self) -> None:
        await self.caller.aclose()
        await self.system.aclose()
        self.stranger.close()


@pytest.fixture
async def victim(redis_url: str, redis_server: RedisServer) -> AsyncIterator[Victim]:
    made = Victim(redis_server)
    await made.open()
    yield made
    await made.close()


def _envelope(kind: int, **fields: Any) -> bytes:
    return Envelope(**{"kind": kind, "topic": "t.a", "id": "x", "call_id": b"c" * 16, **fields}).SerializeToString()


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "a zero": b"\0",
    "text": b"hello",
    "json": b'{"kind": 1}',
    "truncated": _envelope(EVENT, data=b"\x93\x01\x02\x03")[:-3],
    "bad wire type": b"\x0f\x0f\x0f",
    "endless varint": b"\x10" + b"\xff" * 20,
    "length beyond the end": b"\x0a\xff\xff\xff\xff\x0f",
    "not utf-8": b"\x1a\x02\xff\xfe",
    "kind unspecified": _envelope(0),
    "kind unknown": _envelope(77),
    "kind negative": _envelope(-1),
    "an event with a broken payload": _envelope(EVENT, data=b"\x93\x01"),
    "an event with a bomb": _envelope(EVENT, data=b"\xdd\xff\xff\xff\xff"),
    "an event with deep nesting": _envelope(EVENT, data=b"\x91" * 5_000),
    "an event with another media type": _envelope(EVENT, data=b"{", content_type="application/json"),
    "an event without a topic": _envelope(EVENT, topic=""),
    "an event on another topic": _envelope(EVENT, topic="u.v"),
    "an event on no topic": _envelope(EVENT, topic="a b\0*"),
    "an event at the end of time": _envelope(EVENT, time=2**63 - 1, expires_at=2**63 - 1),
    "an event before time": _envelope(EVENT, time=-(2**63), expires_at=-(2**63)),
    "an event with many hops": _envelope(EVENT, hops=2**32 - 1),
    "a request to nowhere": _envelope(REQUEST, reply_to=""),
    "a request to somewhere strange": _envelope(REQUEST, reply_to="}\r\n*{" + "x" * 1_000),
    "a request without a call id": _envelope(REQUEST, call_id=b"", reply_to="x"),
    "a request with a broken payload": _envelope(REQUEST, data=b"\xc1", reply_to="x"),
    "an expired request": _envelope(REQUEST, expires_at=1, reply_to="x"),
    "a reply": _envelope(REPLY),
    "an error of an unknown code": _envelope(REPLY, error={"code": 999, "outcome": 99, "details": b"\xff"}),
    "accepted": _envelope(ACCEPTED),
    "cancel": _envelope(CANCEL),
    "cancel without a call id": _envelope(CANCEL, call_id=b""),
    "a notice of no pattern": b"g\0a b\0\xff",
    "a notice of nothing": b"o\0",
    "a notice of everything": b"g\0>\0somebody",
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_a_stranger_puts_on_every_channel_disturbs_nobody(victim: Victim, name: str) -> None:
    victim.throw(GARBAGE[name], frame(GARBAGE[name]))
    await victim.is_well()


@pytest.mark.parametrize("kind", [0, -1, 77, 2**31 - 1])
async def test_an_unknown_kind_is_dropped_and_what_travels_with_it_is_not(victim: Victim, kind: int) -> None:
    strange, good = frame(_envelope(kind, data=b"\x01")), frame(_envelope(EVENT, data=b"\xa4good"))
    victim.throw(strange)
    victim.stranger.publish(contract.event_channel("tl:", "t.a"), strange + good + strange)
    await victim.seen.reach(1)
    await victim.is_well()
    assert set(victim.seen) == {"good", "well", "well?"}


async def test_random_bytes_on_every_channel_disturb_nobody(victim: Victim) -> None:
    chance = random.Random(4)
    good = _envelope(REQUEST, data=b"\x01", reply_to="x", headers={"a": "b"})
    for _ in range(40):
        victim.throw(chance.randbytes(chance.randrange(200)))
        spoilt = bytearray(good)
        spoilt[chance.randrange(len(good))] = chance.randrange(256)
        victim.throw(bytes(spoilt), frame(bytes(spoilt)))
    await victim.is_well()


@pytest.mark.parametrize("kind", ["string", "list"])
async def test_a_key_of_another_kind_spoils_only_its_own_topic(victim: Victim, kind: str) -> None:
    key = contract.members_key("tl:", "u.v")
    victim.stranger.execute_command(*(["SET", key, "x"] if kind == "string" else ["RPUSH", key, "x"]))
    with pytest.raises(TielineError, match="WRONGTYPE"):
        await victim.caller.publish_and_wait("u.v", ttl=5.0)
    await victim.is_well()
