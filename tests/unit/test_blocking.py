"""The calls without `await`: from any thread, in handlers, in forked children, at the end of the process."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.suite.gateways import GatewayProcess
from tests.support.servers import RedisServer
from tieline import (
    CallTimeoutError,
    ConflictError,
    Event,
    EventSystem,
    HandlerError,
    InvalidArgumentError,
    InvalidTopicError,
    Item,
    Message,
    Middleware,
    NoRespondersError,
    NotFoundError,
    Receipt,
    Responder,
    RetryPolicy,
    Settings,
    UnavailableError,
    blocking,
    current_event,
)
from tieline.handler import THREADS
from tieline.middleware import PublishNext

SECONDS = 30.0


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """In this process, or over a server."""
    return str(request.getfixturevalue("redis_url")) if request.param == "redis" else "memory://"


@pytest.fixture
def events(url: str) -> Iterator[blocking.EventSystem]:
    """A system that is closed after the test."""
    with blocking.EventSystem(url, service="test") as system:
        yield system


def double(data: int) -> int:
    return data * 2


async def double_in_the_loop(data: int) -> int:
    await asyncio.sleep(0)
    return data * 2


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [double, double_in_the_loop])
def test_a_call_returns_what_the_handler_does(events: blocking.EventSystem, handler: Any) -> None:
    events.subscribe("double", handler)
    assert events.publish_and_wait("double", 21) == 42


def test_an_event_reaches_its_handler(events: blocking.EventSystem) -> None:
    heard: Queue[Any] = Queue()
    events.subscribe("user.*", heard.put)
    receipt = events.publish("user.created", {"id": 123}, correlation_id="order-7")
    assert heard.get(timeout=SECONDS) == {"id": 123}
    assert isinstance(receipt, Receipt)
    assert receipt.correlation_id == "order-7"


def test_two_systems_meet_at_the_broker(redis_url: str) -> None:
    with blocking.EventSystem(redis_url) as responder, blocking.EventSystem(redis_url) as caller:
        responder.subscribe("double", double).ready()
        assert caller.publish_and_wait("double", 21) == 42
        assert caller.instance != responder.instance != ""


def test_errors_are_those_of_the_awaited_call(events: blocking.EventSystem) -> None:
    events.subscribe("divide", lambda data: 1 // data)
    events.subscribe("slow", asyncio.sleep)
    with pytest.raises(NoRespondersError):
        events.publish_and_wait("nobody.home")
    with pytest.raises(HandlerError, match="ZeroDivisionError"):
        events.publish_and_wait("divide", 0)
    with pytest.raises(CallTimeoutError):
        events.publish_and_wait("slow", 30, ttl=0.2)
    with pytest.raises(InvalidTopicError):
        events.publish("no..topic")
    with pytest.raises(TypeError):
        events.publish("a", no_such_option=1)  # type: ignore[call-arg]


def test_many_threads_call_at_once(url: str) -> None:
    with blocking.EventSystem(url) as events, ThreadPoolExecutor(32) as threads:  # the first of them starts it
        events.subscribe("double", double_in_the_loop)
        answers = list(threads.map(lambda n: events.publish_and_wait("double", n), range(640)))
    assert answers == [2 * n for n in range(640)]


def test_threads_that_use_it_first_at_the_same_time_start_it_once(redis_url: str) -> None:
    together = threading.Barrier(8)
    system = blocking.EventSystem(redis_url)

    def use(_: int) -> str:
        together.wait(SECONDS)
        system.publish("a")
        return system.instance

    with system, ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(use, range(8)))) == 1


def test_middleware_is_around_its_calls(url: str) -> None:
    class Tenfold(Middleware):
        async def publish(self, message: Message, call_next: PublishNext) -> Any:
            message.data *= 10
            return await call_next(message)

    with blocking.EventSystem(url, middleware=[Tenfold()]) as events:
        events.subscribe("double", double)
        assert events.publish_and_wait("double", 1) == 20


@pytest.mark.parametrize("use", ["publish", "subscribe", "start", "close"])
async def test_in_a_thread_with_a_running_loop_it_refuses_and_names_what_to_use(use: str) -> None:
    system = blocking.EventSystem("memory://")
    arguments = {"publish": ("a",), "subscribe": ("a", double)}.get(use, ())
    with pytest.raises(InvalidArgumentError, match=r"use tieline\.EventSystem here and await"):
        getattr(system, use)(*arguments)
    await asyncio.to_thread(system.publish, "a")  # and this is how it may be used
    await asyncio.to_thread(system.close)


# --- streams ----------------------------------------------------------------------------------------------------------


class Counting:
    """A handler that counts to a number, then fails, waits or ends; `left` is set whenever it has ended."""

    def __init__(self) -> None:
        self.began, self.left = threading.Event(), threading.Event()
        self.sent = 0

    async def count(self, data: dict[str, Any]) -> AsyncIterator[int]:
        self.left.clear()
        self.began.set()
        try:
            for number in range(data["to"]):
                self.sent = number + 1
                yield number
            if data.get("then") == "fail":
                raise ValueError("no more")
            if data.get("then") == "wait":
                await asyncio.sleep(300)
        finally:
            self.left.set()


FOR_EVER = {"to": 10**9}
THREE = {"to": 3, "then": "wait"}


@pytest.fixture
def counting(events: blocking.EventSystem, url: str) -> Iterator[Counting]:
    """Answers "count", in this process or in another instance."""
    handler = Counting()
    with ExitStack() as stack:
        responder = events if url == "memory://" else stack.enter_context(blocking.EventSystem(url))
        responder.subscribe("count", handler.count).ready()
        yield handler


def test_a_stream_is_an_ordinary_iterator(events: blocking.EventSystem, counting: Counting) -> None:
    stream = events.publish_and_stream("count", {"to": 500})
    assert not counting.began.is_set(), "the call is made with the first item asked for"
    assert iter(stream) is stream
    assert list(stream) == list(range(500))
    assert list(stream) == []


def _break(stream: blocking.Stream) -> None:
    for number in stream:
        if number == 2:
            break


def _drop_in_a_cycle(stream: blocking.Stream) -> None:
    assert next(stream) == 0
    holder: list[Any] = [stream]
    holder.append(holder)


@pytest.mark.parametrize("drop", [_break, _drop_in_a_cycle])
def test_a_stream_that_nobody_holds_any_more_is_closed(
    events: blocking.EventSystem, counting: Counting, drop: Callable[[blocking.Stream], None]
) -> None:
    drop(events.publish_and_stream("count", FOR_EVER))
    gc.collect()
    assert counting.left.wait(SECONDS)


def test_a_closed_stream_cancels_its_handler_and_ends(events: blocking.EventSystem, counting: Counting) -> None:
    stream = events.publish_and_stream("count", FOR_EVER)
    assert next(stream) == 0
    stream.close()
    stream.close()
    assert counting.left.wait(SECONDS)
    assert list(stream) == []


def _fail(stream: blocking.Stream) -> None:
    with stream:
        assert next(stream) == 0
        raise LookupError


def test_the_end_of_with_closes_it(events: blocking.EventSystem, counting: Counting) -> None:
    stream = events.publish_and_stream("count", FOR_EVER)
    with pytest.raises(LookupError):
        _fail(stream)
    assert counting.left.wait(SECONDS)
    assert list(stream) == []


def test_a_stream_that_nobody_begins_costs_nothing(events: blocking.EventSystem, counting: Counting) -> None:
    events.publish_and_stream("count", FOR_EVER).close()
    closed = events.publish_and_stream("count", FOR_EVER)
    closed.close()
    assert list(closed) == []
    assert list(events.publish_and_stream("count", {"to": 1})) == [0]
    assert counting.sent == 1


def test_with_begins_the_call(events: blocking.EventSystem, counting: Counting) -> None:
    stream = events.publish_and_stream("count", FOR_EVER)
    with stream:
        assert counting.began.wait(SECONDS)
    assert counting.left.wait(SECONDS)


def test_an_error_comes_after_the_items_before_it_and_ends_the_stream(
    events: blocking.EventSystem, counting: Counting
) -> None:
    stream = events.publish_and_stream("count", {"to": 3, "then": "fail"})
    assert list(itertools.islice(stream, 3)) == [0, 1, 2]
    with pytest.raises(HandlerError, match="ValueError: no more"):
        next(stream)
    assert list(stream) == []
    slow = events.publish_and_stream("count", THREE, ttl=1.0)
    assert list(itertools.islice(slow, 3)) == [0, 1, 2]
    with pytest.raises(CallTimeoutError):
        next(slow)
    assert counting.left.wait(SECONDS)
    with pytest.raises(NoRespondersError):
        next(events.publish_and_stream("nobody.home"))
    with pytest.raises(InvalidArgumentError, match="window"):
        events.publish_and_stream("count", window=-1)


def test_a_slow_reader_holds_up_the_handler(events: blocking.EventSystem, counting: Counting) -> None:
    with events.publish_and_stream("count", FOR_EVER, window=4) as stream:
        for number in range(20):
            assert next(stream) == number
            assert counting.sent <= number + 8


def test_streams_are_read_in_any_thread(events: blocking.EventSystem, counting: Counting) -> None:
    shared = events.publish_and_stream("count", {"to": 64})
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        assert [(first, second)[n % 2].submit(next, shared).result(SECONDS) for n in range(64)] == list(range(64))
    with ThreadPoolExecutor(8) as threads:
        read = threads.map(lambda n: list(events.publish_and_stream("count", {"to": n})), range(32))
        assert list(read) == [list(range(n)) for n in range(32)]


def test_another_thread_may_close_what_one_waits_for(events: blocking.EventSystem, counting: Counting) -> None:
    stream = events.publish_and_stream("count", THREE)
    assert list(itertools.islice(stream, 3)) == [0, 1, 2]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(next, stream, "the end")
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        with pytest.raises(InvalidArgumentError, match="one reader at a time"):
            next(stream)
        stream.close()
        assert waiting.result(SECONDS) == "the end"
    assert counting.left.wait(SECONDS)


def test_an_interrupted_reader_cancels_the_handler(events: blocking.EventSystem, counting: Counting) -> None:
    stream = events.publish_and_stream("count", THREE)
    main = threading.get_ident()

    def interrupt() -> None:
        while counting.sent < 3:
            time.sleep(0.005)
        time.sleep(0.5)  # until the reader has them, and waits
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    thread.join()
    assert counting.left.wait(SECONDS)
    assert list(stream) == []


def test_a_stream_ends_with_its_system(redis_url: str) -> None:
    handler, caller = Counting(), blocking.EventSystem(redis_url)
    with blocking.EventSystem(redis_url) as responder, ThreadPoolExecutor(1) as threads:
        responder.subscribe("count", handler.count).ready()
        stream = caller.publish_and_stream("count", THREE)
        assert list(itertools.islice(stream, 3)) == [0, 1, 2]
        waiting = threads.submit(next, stream)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        caller.close()
        with pytest.raises(UnavailableError):
            waiting.result(SECONDS)
        assert handler.left.wait(SECONDS)
        stream.close()
        with pytest.raises(InvalidArgumentError, match="closed"):
            next(caller.publish_and_stream("count"))


def test_middleware_is_around_streams(url: str) -> None:
    class Twice(Middleware):
        async def publish(self, message: Message, call_next: PublishNext) -> Any:
            async def items(stream: Any) -> AsyncIterator[Any]:
                async for item in stream:
                    yield item
                    yield item

            return items(await call_next(message))

    handler = Counting()
    with blocking.EventSystem(url, middleware=[Twice()]) as events:
        events.subscribe("count", handler.count)
        assert list(events.publish_and_stream("count", {"to": 2})) == [0, 0, 1, 1]
        _break(events.publish_and_stream("count", FOR_EVER))
        assert handler.left.wait(SECONDS)


def test_a_stream_in_a_handler_inherits_its_event(events: blocking.EventSystem) -> None:
    def inner(data: Any, event: Event) -> Iterator[Any]:
        yield [event.correlation_id, event.hops]

    events.subscribe("inner", inner)
    events.subscribe("outer", lambda data: next(events.publish_and_stream("inner")))
    assert events.publish_and_wait("outer", correlation_id="order-7") == ["order-7", 1]


def test_in_a_thread_with_a_running_loop_a_stream_refuses(events: blocking.EventSystem, counting: Counting) -> None:
    stream = events.publish_and_stream("count", THREE)
    assert next(stream) == 0

    async def read() -> None:
        with pytest.raises(InvalidArgumentError, match=r"use tieline\.EventSystem here and await"):
            next(stream)

    asyncio.run(read())
    assert next(stream) == 1


# --- gather and looking inside ----------------------------------------------------------------------------------------


def test_many_answers_to_one_question(redis_url: str) -> None:
    with ExitStack() as stack:
        systems = [
            stack.enter_context(blocking.EventSystem(redis_url, service=name)) for name in ("north", "south", "asker")
        ]
        for system in systems[:2]:
            system.subscribe("stock", double).ready()
        gathered = systems[2].publish_and_gather("stock", 4)
        assert (gathered.values, gathered.complete) == ([8, 8], True)
        assert {reply.responder for reply in gathered.replies} == {
            Responder(name, system.instance, "") for name, system in zip(("north", "south"), systems, strict=False)
        }
        enough = threading.Event()
        systems[0].subscribe("slow", lambda data: enough.wait(SECONDS)).ready()
        systems[1].subscribe("slow", double).ready()
        first = systems[2].publish_and_gather("slow", 4, max_replies=1)
        enough.set()
        assert (first.values, [missing.responder.service for missing in first.missing]) == ([8], ["north"])


def test_it_tells_where_a_call_went_and_who_is_there(events: blocking.EventSystem) -> None:
    events.subscribe("double", double)
    events.publish_and_wait("double", 1, correlation_id="order-7")
    assert [step.name for step in events.explain("order-7").steps] == ["routed_local", "completed"]
    (service,) = events.services()
    assert (service.name, list(service.instances)) == ("test", [events.instance])
    assert [(one.topic, one.input, one.output) for one in service.subscriptions] == [
        ("double", {"type": "integer"}, {"type": "integer"})
    ]


# --- subscriptions ----------------------------------------------------------------------------------------------------


def test_a_decorated_function_stays_what_it_is(events: blocking.EventSystem) -> None:
    @events.subscribe("double")
    def decorated(data: int) -> int:
        return data * 2

    assert decorated(1) == 2
    assert events.publish_and_wait("double", 2) == 4
    with pytest.raises(InvalidTopicError):
        events.subscribe("a..b")


@pytest.mark.parametrize("by", ["itself", "object", "name"])
def test_after_unsubscribe_nobody_answers(events: blocking.EventSystem, by: str) -> None:
    subscription = events.subscribe("double", double, name="doubler", group="all")
    other = events.subscribe("other", double)
    assert (subscription.topic, subscription.name, subscription.closed) == ("double", "doubler", False)
    if by == "itself":
        subscription.unsubscribe()
    else:
        events.unsubscribe(subscription if by == "object" else "doubler")
    assert subscription.closed
    assert events.subscriptions == [other]
    with pytest.raises(NoRespondersError):
        events.publish_and_wait("double", 1)


def test_what_a_subscription_asks_for_wrongly_is_told_where_it_is_made(events: blocking.EventSystem) -> None:
    with pytest.raises(InvalidArgumentError, match="concurrency"):
        events.subscribe("a", double, concurrency=0)
    assert events.subscriptions == []


# --- inside handlers --------------------------------------------------------------------------------------------------


def test_a_call_inside_a_handler_inherits_its_event(events: blocking.EventSystem) -> None:
    def outer(data: Any) -> Any:
        assert current_event() is not None
        return events.publish_and_wait("inner", ttl=300.0)

    def inner(data: Any, event: Event) -> Any:
        return [event.correlation_id, event.hops, event.remaining() <= 20.0, event is current_event()]

    events.subscribe("outer", outer)
    events.subscribe("inner", inner)
    assert events.publish_and_wait("outer", ttl=20.0, correlation_id="order-7") == ["order-7", 1, True, True]
    assert current_event() is None


def test_a_call_inside_a_handler_ends_when_the_request_does(events: blocking.EventSystem) -> None:
    ended: Queue[Any] = Queue()

    def outer(data: Any) -> None:
        try:
            events.publish_and_wait("inner", ttl=300.0)
        except CallTimeoutError as error:
            ended.put(error)
            time.sleep(0.5)  # an answer at once could still be in time: both calls end at the same moment

    events.subscribe("outer", outer)
    events.subscribe("inner", lambda: asyncio.sleep(300))
    with pytest.raises(CallTimeoutError):
        events.publish_and_wait("outer", ttl=1.5)
    assert ended.get(timeout=SECONDS).code == "TIMEOUT"


def test_more_handlers_than_threads_may_wait_for_calls_of_their_own(events: blocking.EventSystem) -> None:
    count = THREADS + 8
    arrived: list[int] = []

    async def meet(data: int) -> None:
        arrived.append(data)
        while len(arrived) < count:
            await asyncio.sleep(0.01)

    def outer(data: int) -> Any:
        events.publish_and_wait("meet", data)
        return events.publish_and_wait("double", data)

    for handler, topic in ((meet, "meet"), (outer, "outer"), (double, "double")):
        events.subscribe(topic, handler)
    with ThreadPoolExecutor(count) as threads:
        answers = list(threads.map(lambda n: events.publish_and_wait("outer", n, ttl=SECONDS), range(count)))
    assert answers == [2 * n for n in range(count)]


def test_an_asynchronous_handler_must_not_block_the_loop(events: blocking.EventSystem) -> None:
    async def asks(data: Any) -> Any:
        return events.publish_and_wait("double", data)

    events.subscribe("asks", asks)
    with pytest.raises(HandlerError, match="a blocking call would stop the event loop"):
        events.publish_and_wait("asks", 1)


def test_a_handler_may_close_its_own_system(events: blocking.EventSystem) -> None:
    def stop() -> None:
        events.close()

    events.subscribe("stop", stop)
    events.publish("stop", wait_local=True)
    events.close()  # waits for it
    assert not events.connected


# --- the end ----------------------------------------------------------------------------------------------------------


def test_an_interrupted_call_cancels_its_responder(events: blocking.EventSystem, url: str) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def slow(data: Any) -> None:
        began.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt() -> None:
        assert began.wait(SECONDS)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    with ExitStack() as stack:
        responder = events if url == "memory://" else stack.enter_context(blocking.EventSystem(url))
        responder.subscribe("slow", slow).ready()
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            events.publish_and_wait("slow")
        thread.join()
        assert cancelled.wait(SECONDS)


def test_the_handler_of_a_signal_may_call_in_the_middle_of_a_call(events: blocking.EventSystem) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(data: int) -> int:
        began.set()
        assert go_on.wait(SECONDS)
        return data

    def on_signal(*_: Any) -> None:
        answers.append(events.publish_and_wait("double", 1))
        go_on.set()

    answers: list[Any] = []
    main = threading.get_ident()
    events.subscribe("double", double)
    events.subscribe("slow", slow)
    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        thread = threading.Thread(target=lambda: began.wait(SECONDS) and signal.pthread_kill(main, signal.SIGUSR1))
        thread.start()
        answers.append(events.publish_and_wait("slow", 7))
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [2, 7]


def test_close_waits_for_handlers_and_their_calls(url: str) -> None:
    began, done = threading.Event(), []
    events = blocking.EventSystem(url)

    def slow(data: Any) -> None:
        began.set()
        while not events.closed:
            time.sleep(0.005)
        done.append(events.publish("it.ends") and "done")

    events.subscribe("slow", slow)
    events.publish("slow")
    assert began.wait(SECONDS)
    events.close()
    assert done == ["done"]


def test_close_ends_the_calls_that_are_out(redis_url: str) -> None:
    began = threading.Event()

    async def slow(data: Any) -> None:
        began.set()
        await asyncio.sleep(30)

    responder, caller = (blocking.EventSystem(redis_url).start() for _ in range(2))
    with ThreadPoolExecutor(1) as threads:
        responder.subscribe("slow", slow).ready()
        call = threads.submit(caller.publish_and_wait, "slow")
        assert began.wait(SECONDS)
        caller.close()
        with pytest.raises(UnavailableError, match="the event system was closed"):
            call.result(SECONDS)
    responder.close(drain=0.0)


def test_close_ends_what_waits_for_the_broker() -> None:
    with RedisServer() as server, ThreadPoolExecutor(1) as threads:
        events = blocking.EventSystem(server.url).start()
        server.stop()
        while events.connected:
            time.sleep(0.01)
        waiting = threads.submit(events.publish, "a", wait_for_connection=60.0)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        events.close()
        with pytest.raises(UnavailableError, match="closed while the call was out"):
            waiting.result(SECONDS)


@pytest.mark.parametrize("started", [True, False])
def test_after_close_it_says_so(url: str, started: bool) -> None:
    events = blocking.EventSystem(url)
    if started:
        assert events.start().connected
    events.close()
    events.close()
    assert (events.closed, events.connected, events.instance) == (True, False, "")
    for use in (lambda: events.publish("a"), lambda: events.subscribe("a", double), events.start):
        with pytest.raises(InvalidArgumentError, match="this event system is closed; make a new one"):
            use()


def test_calls_that_race_with_close_all_end(url: str) -> None:
    events = blocking.EventSystem(url).start()
    ends: list[Any] = []

    def call_on() -> None:
        while True:
            try:
                events.publish("a")
            except (InvalidArgumentError, UnavailableError) as error:
                ends.append(error)
                return

    threads = [threading.Thread(target=call_on) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    events.close()
    for thread in threads:
        thread.join(SECONDS)
    assert len(ends) == 8


def test_a_broker_that_is_not_there_is_an_error_at_start() -> None:
    events = blocking.EventSystem("redis://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        events.start()
    events.close()


# --- the default ------------------------------------------------------------------------------------------------------


def test_the_module_functions_use_one_default_system(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr("tieline.blocking._default", None)
    monkeypatch.setenv("TIELINE_URL", url)
    first = blocking.get_event_system()
    with first:
        assert blocking.get_event_system() is first
        first.subscribe("double", double)
        assert blocking.publish_event_and_wait("double", 2, ttl=5.0) == 4
        assert blocking.publish_event("a", 1).id
        first.subscribe("count", Counting().count)
        assert list(blocking.publish_event_and_stream("count", {"to": 2}, ttl=5.0)) == [0, 1]
        assert blocking.publish_event_and_gather("double", 2, ttl=5.0).values == [4]
    second = blocking.get_event_system()
    assert second is not first
    second.close()


def test_the_awaited_default_system_used_from_another_loop_names_this_one() -> None:
    async def use() -> None:
        async with EventSystem("memory://") as system:
            with pytest.raises(InvalidArgumentError, match=r"tieline\.blocking"):
                await asyncio.to_thread(asyncio.run, system.publish("a"))

    asyncio.run(use())


# --- processes --------------------------------------------------------------------------------------------------------

BEGIN = """
    import os, sys, threading, time
    from tieline import blocking, TielineError

    events = blocking.EventSystem(sys.argv[1], service="child")
    began = threading.Event()
"""


def program(code: str, url: str) -> list[str]:
    """What a program prints; it must end well, soon, and without a word on stderr. Every warning is an error."""
    forking = "ignore:This process:DeprecationWarning"  # Python 3.12 and newer, of threads
    command = [sys.executable, "-W", "error", "-W", forking, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(code), url]
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}  # what gRPC has to say of forks is not ours
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (ran.stderr, ran.returncode) == ("", 0), ran.stdout
    return ran.stdout.splitlines()


WITHOUT_CLOSE = {
    "idle": "print(events.publish('a') and 'done')",
    "subscribed": "events.subscribe('a', print).ready(); print('done')",
    "a synchronous handler is busy": """
        def busy(): began.set(); time.sleep(300)
        events.subscribe("busy", busy)
        events.publish("busy")
        print(began.wait(10) and 'done')
    """,
    "an asynchronous handler is busy": """
        import asyncio
        async def busy(): began.set(); await asyncio.sleep(300)
        events.subscribe("busy", busy)
        events.publish("busy")
        print(began.wait(10) and 'done')
    """,
    "dropped": "blocking.EventSystem(sys.argv[1]).subscribe('a', print).ready(); print('done')",
    "in a function of its own": """
        def main():
            with blocking.EventSystem(sys.argv[1]) as system:
                system.subscribe("a", print)
                print('done')
        main()
    """,
}


@pytest.mark.parametrize("code", WITHOUT_CLOSE.values(), ids=WITHOUT_CLOSE)
def test_a_program_that_ends_without_close_ends_soon_and_silently(code: str, url: str) -> None:
    assert program(code, url) == ["done"]


def test_a_program_that_ends_without_close_leaves_nothing_at_the_broker(redis_server: RedisServer) -> None:
    redis_server.flush()
    code = "events.subscribe('double', print).ready(); print(os.getpid())"
    program(code, redis_server.url)
    assert redis_server.command("DBSIZE") == ":0"
    program(code + "; sys.stdout.flush(); os._exit(0)", redis_server.url)
    assert redis_server.command("DBSIZE") != ":0"  # what a crash leaves, until its leases end


def test_handlers_work_on_after_the_main_thread_has_ended(url: str) -> None:
    code = """
        events.subscribe("double", lambda data: data * 2)
        events.publish_and_wait("double", 1)  # Python 3.12.0 and 3.12.1 start no thread after the end of the main one

        def later():
            threading.main_thread().join()
            print(events.publish_and_wait("double", 21, ttl=5))

        threading.Thread(target=later).start()
    """
    assert program(code, url) == ["42"]


FORKED = """
    def whole(data):
        return [os.getpid(), events.publish_and_wait("double", data, ttl=5)]

    double = events.subscribe("double", lambda data: data * 2)
    events.subscribe("whole", whole)
    assert events.publish_and_wait("whole", 1, ttl=5) == [os.getpid(), 2]
    before = events.instance
    child = os.fork()
    if not child:
        assert not events.connected and not events.instance
    answered, doubled = events.publish_and_wait("whole", 21, ttl=5)
    assert answered == os.getpid() and doubled == 42
    assert (events.instance == before) == bool(child)
    if not child:
        double.unsubscribe()
        {end}
    print(os.waitpid(child, 0)[1], events.publish_and_wait("double", 3, ttl=5))
"""


@pytest.mark.parametrize("end", ["sys.exit()", "events.close(); sys.exit()", "os._exit(0)"])
def test_in_a_forked_child_it_begins_anew(end: str, url: str) -> None:
    assert program(FORKED.format(end=end), url) == ["0 6"]


def test_a_stream_of_the_parent_cannot_be_read_in_a_forked_child(url: str) -> None:
    code = """
        def count(data):
            while True:
                yield data
                data += 1

        events.subscribe("count", count)
        stream = events.publish_and_stream("count", 1)
        first = next(stream)
        child = os.fork()
        if not child:
            try:
                next(stream)
            except TielineError as error:
                print(error, flush=True)
            stream.close()
            print(next(events.publish_and_stream("count", 7)), flush=True)
            del stream
            sys.exit()
        print(first, os.waitpid(child, 0)[1], next(stream))
    """
    refused, anew, parent = program(code, url)
    assert refused.startswith("UNAVAILABLE: this stream was made before the process forked")
    assert (anew, parent) == ("7", "1 0 2")


def test_a_fork_while_another_thread_makes_a_call_stops_nobody(url: str) -> None:
    code = """
        from tieline.loop_thread import one_at_a_time

        def hold():
            with one_at_a_time():
                began.set()
                time.sleep(0.5)

        threading.Thread(target=hold).start()
        began.wait()
        child = os.fork()
        assert events.publish("a") and blocking.get_event_system()
        print(os.waitpid(child, 0)[1] if child else "child", flush=True)
    """
    assert program(code, url) == ["child", "0"]


def test_a_child_that_does_not_use_it_leaves_the_parents_alone(url: str) -> None:
    code = """
        import gc
        events.subscribe("double", lambda data: data * 2)
        events.start()
        child = os.fork()
        if not child:
            del events
            blocking._default = None
            gc.collect()
            sys.exit()
        print(os.waitpid(child, 0)[1], events.publish_and_wait("double", 3, ttl=5))
    """
    assert program(code, url) == ["0 6"]


def test_a_system_on_grpc_that_was_started_before_a_fork_says_so_in_the_child() -> None:
    code = """
        events.publish("a")
        child = os.fork()
        if not child:
            try:
                events.publish("a")
            except TielineError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(events.publish("a") and "the parent goes on")
    """
    with GatewayProcess("--url", "memory://") as gateway:
        refusal, parent = program(code, gateway.url)
    assert refusal.startswith("UNSUPPORTED: this event system was started before the process forked")
    assert parent == "the parent goes on"


def test_events_are_stored_together_by_any_thread(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setattr("tieline.blocking._default", None)
    monkeypatch.setenv("TIELINE_URL", redis_url)
    seen: Queue[int] = Queue()
    with blocking.get_event_system() as events:
        events.subscribe("many", seen.put, durable=True).ready()
        first = events.publish_many("many", [Item(1, key="k"), Item(2, key="k")])
        second = blocking.publish_events("many", [Item(3, key="k")])
        assert [receipt.stored is not None for receipt in [*first, *second]] == [True] * 3
        assert [seen.get(timeout=30.0) for _ in range(3)] == [1, 2, 3]


def test_an_outbox_serves_any_thread(redis_url: str, tmp_path: Path) -> None:
    seen: Queue[int] = Queue()
    with blocking.EventSystem(redis_url, outbox=tmp_path / "outbox.db") as events:
        events.subscribe("reliable", seen.put, durable=True).ready()
        with ThreadPoolExecutor(4) as threads:
            receipts = list(threads.map(lambda number: events.publish("reliable", number, durable=True), range(20)))
        assert all(receipt.queued for receipt in receipts)
        assert sorted(seen.get(timeout=SECONDS) for _ in range(20)) == list(range(20))


def test_an_operator_needs_no_loop(redis_url: str, tmp_path: Path) -> None:
    seen: Queue[str] = Queue()

    def take(text: str, event: Event) -> None:
        assert event.delivery is not None
        if text == "bad":
            event.delivery.reject("no such card")
        elif text == "worse":
            raise LookupError("not yet")
        seen.put(text)

    with blocking.EventSystem(redis_url, outbox=tmp_path / "outbox.db") as events:
        events.subscribe("operated", take, durable=True, retry=RetryPolicy(max_attempts=1)).ready()
        for text in ("bad", "worse"):
            events.publish("operated", text, key=text)
        assert [seen.get(timeout=SECONDS)] == ["bad"]
        deadline = time.monotonic() + SECONDS
        while not (events.parked.list("operated") and events.dead_letters.list("operated")):
            assert time.monotonic() < deadline
        (letter,) = events.dead_letters.list("operated", reason="rejected")
        events.dead_letters.edit("operated", letter.id, "good")
        events.parked.skip("operated", "worse")
        (skipped,) = events.dead_letters.list("operated", key="worse")
        assert events.dead_letters.get("operated", skipped.id).event.data == "worse"
        assert events.dead_letters.purge("operated", [skipped.id]) == 1
        assert events.dead_letters.redrive("operated") == 0
        assert seen.get(timeout=SECONDS) == "good"
        with pytest.raises(NotFoundError, match="is not parked"):
            events.parked.unpark("operated", "worse")
        assert [group.name for group in events.groups.list("operated")] == ["default"]
        events.groups.remove("operated", "default")
        assert events.outbox is not None
        assert events.outbox.figures().events == 0
        assert "operated" in events.groups.topics()


def test_what_is_planned_and_what_recurs_are_looked_after(redis_url: str) -> None:
    with blocking.EventSystem(redis_url) as events:
        receipt = events.publish("later.x", 1, delay=3600)
        assert [each.id for each in events.schedules.list("pending").items] == [receipt.id]
        assert events.schedules.reschedule(receipt.id, delay=7200).due > receipt.due
        assert events.schedules.cancel(receipt.id).status == events.schedules.get(receipt.id).status == "cancelled"
        with pytest.raises(ConflictError):
            events.schedules.retry(receipt.id)
        assert events.cron.create("nightly", "@daily", "night.x").name == "nightly"
        assert events.cron.update("nightly", expression="@weekly").expression == "@weekly"
        assert (events.cron.pause("nightly").paused, events.cron.resume("nightly").paused) == (True, False)
        assert events.cron.run_now("nightly").startswith("nightly:")
        assert [each.name for each in events.cron.list().items] == ["nightly"]
        assert events.cron.get("nightly").runs == 0 or events.cron.delete("nightly").name == "nightly"


def test_history_is_recorded_asked_for_and_replayed(tmp_path: Path) -> None:
    seen: list[Any] = []
    with blocking.EventSystem("memory://", settings=Settings(system_events=False)) as events:
        events.record(f"sqlite:///{tmp_path / 'history.db'}", retain=3600)
        events.subscribe("told.once", seen.append, group="again").ready()
        events.publish("told.once", 1)
        until = time.monotonic() + 20
        while not events.history.list("told.*").events:
            assert time.monotonic() < until
            time.sleep(0.02)
        (event,) = events.history.list("told.*").events
        assert events.history.get(event.id) == event
        assert events.history.replay("told.*", to_group="again", speed=None).sent == 1
        assert events.history.figures().events == 1
        assert events.history.delete(event.id) == 1
    assert seen == [1, 1]
