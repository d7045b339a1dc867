"""What is shown in a round: each scene does one thing and checks that it happened as expected."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from examples.demo.stage import BROADCAST, EVERYBODY, Stage
from tieline import Event, Outcome, TielineError
from tieline._contract.gateway_pb2 import PublishAndWaitRequest

TIMES = 20
TTL = 4.0
NUMBERS = [1, 2, 3, 4, 5]
QUESTION = {"query": "What is a tie line?"}
ANSWER = {"answer": "19 letters"}
JSON = "application/json"
CARDS, COMMENTS = 20, 10


class Unexpected(Exception):
    """Something else happened than should have."""


class Shown(NamedTuple):
    """What came of a scene: a text, and how long it took."""

    text: str
    milliseconds: float


class Scene(NamedTuple):
    """One line of the demo."""

    who: str
    topic: str
    play: Callable[[Stage], Awaitable[Shown]]


# --- calls ----------------------------------------------------------------------------------------------------------


async def python_calls_node(stage: Stage) -> Shown:
    """A Python program calls a Node service."""
    return await _calls(lambda: stage.client.publish_and_wait("ai.request", QUESTION, ttl=TTL), ANSWER)


async def node_calls_python(stage: Stage) -> Shown:
    """The Node service calls the Python service, and says how long it took."""
    order = {"topic": "calculate.sum", "data": NUMBERS, "times": TIMES}
    told = await stage.client.publish_and_wait("node.asks", order, ttl=TTL)
    return Shown(_same(told["answer"], sum(NUMBERS)), statistics.median(told["milliseconds"]))


async def grpc_calls_node(stage: Stage) -> Shown:
    """A program with a generated stub and JSON calls the Node service."""
    return await _calls(lambda: _through_stub(stage, "ai.request", QUESTION), ANSWER)


async def grpc_calls_python(stage: Stage) -> Shown:
    """The same program calls the Python service."""
    return await _calls(lambda: _through_stub(stage, "calculate.sum", NUMBERS), sum(NUMBERS))


async def _through_stub(stage: Stage, topic: str, data: Any) -> Any:
    request = PublishAndWaitRequest(topic=topic, data=json.dumps(data).encode(), content_type=JSON)
    reply = await stage.stub.PublishAndWait(request, timeout=TTL)
    return json.loads(reply.data)


async def _calls(call: Callable[[], Awaitable[Any]], wanted: Any) -> Shown:
    """The median of several calls."""
    times: list[float] = []
    answer = None
    for _ in range(TIMES):
        begun = time.perf_counter()
        answer = await call()
        times.append(_since(begun))
    return Shown(_same(answer, wanted), statistics.median(times))


# --- an event -------------------------------------------------------------------------------------------------------


async def broadcast(stage: Stage) -> Shown:
    """One event reaches the Python service, the Node service and the gRPC program."""
    begun = time.perf_counter()
    await stage.client.publish(BROADCAST, "tie line opened")
    heard: list[str] = []
    try:
        async with asyncio.timeout(3):
            while not set(EVERYBODY) <= set(heard):
                heard.append(await stage.heard.get())
    except TimeoutError:
        raise Unexpected(f"only {heard} heard it within 3 s") from None
    took = _since(begun)
    if len(heard) != len(EVERYBODY):
        raise Unexpected(f"somebody heard it twice: {heard}")
    return Shown("heard by " + ", ".join(EVERYBODY), took)


# --- failures -------------------------------------------------------------------------------------------------------


async def nobody(stage: Stage) -> Shown:
    """A call that nobody can answer fails at once."""
    call = stage.client.publish_and_wait("nobody.home", None, ttl=TTL)
    return await _fails(call, "NO_RESPONDERS", Outcome.NOT_DELIVERED, within=(0, 500))


async def too_slow(stage: Stage) -> Shown:
    """A call that takes too long ends at its deadline, and the handler is told."""
    python = stage.services[0]
    call = stage.client.publish_and_wait("report.build", "sales", ttl=0.25)
    shown = await _fails(call, "TIMEOUT", Outcome.MAY_HAVE_RUN, within=(240, 1000))
    await python.line("the caller gave up", seconds=3)
    return shown._replace(text=shown.text + "; handler cancelled")


async def raising(stage: Stage) -> Shown:
    """A handler raises; its error arrives with its type."""
    call = stage.client.publish_and_wait("stock.reserve", {"item": "cables"}, ttl=TTL)
    shown = await _fails(call, "HANDLER_ERROR", Outcome.RAN, within=(0, 500))
    if "RangeError: no cables left" not in shown.text:
        raise Unexpected(f"expected the handler's RangeError, got {shown.text}")
    return shown


# --- durable events -------------------------------------------------------------------------------------------------


async def cards(stage: Stage) -> Shown:
    """Comments of many cards, handled by Python and Node in the order of each card; Node is killed half-way."""
    begun, node = time.perf_counter(), stage.services[1]
    seen: dict[str, list[int]] = {f"card-{number}": [] for number in range(CARDS)}
    by: Counter[str] = Counter()

    async def handled(said: dict[str, Any]) -> None:
        seen[said["card"]].append(said["number"])
        by[said["by"]] += 1

    await stage.client.subscribe("comment.handled", handled).ready()
    for number in range(COMMENTS):
        await asyncio.gather(*(stage.client.publish("comment.added", number, key=card) for card in seen))
    async with asyncio.timeout(10):
        while by["Node"] < CARDS * COMMENTS // 8:
            await asyncio.sleep(0.01)
        node.kill()
        while not all(set(numbers) == set(range(COMMENTS)) for numbers in seen.values()):
            await asyncio.sleep(0.01)
    for card, numbers in seen.items():
        if list(dict.fromkeys(numbers)) != list(range(COMMENTS)):
            raise Unexpected(f"the comments of {card} were handled as {numbers}")
    again = sum(by.values()) - CARDS * COMMENTS
    text = f"{CARDS * COMMENTS} in order, Node killed after {by['Node']}, {again} twice"
    return Shown(text, _since(begun))


# --- time and memory ------------------------------------------------------------------------------------------------


async def later(stage: Stage) -> Shown:
    """An event that is due in a moment: not early, and hardly late."""
    due, late = asyncio.Event(), list[float]()

    async def remind(_invoice: Any, event: Event) -> None:
        assert event.scheduled is not None
        late.append(event.clock.now() - event.scheduled.timestamp() * 1000)
        due.set()

    await stage.client.subscribe("invoice.remind", remind).ready()
    begun = time.perf_counter()
    receipt = await stage.client.publish("invoice.remind", {"id": 7}, delay=0.3)
    async with asyncio.timeout(5):
        await due.wait()
    took = _since(begun)
    schedule = await stage.client.schedules.get(receipt.id)
    if took < 300 or schedule.status != "delivered":
        raise Unexpected(f"it came after {took:.0f} ms and is {schedule.status}")
    return Shown(f"due in 300 ms, {max(0.0, late[0]):.0f} ms late", took)


async def recurring(stage: Stage) -> Shown:
    """A task that ticks every second, until it is deleted: no tick is early, and none comes twice."""
    ticks, seen, name = list[str](), asyncio.Event(), f"clock/{time.time_ns()}"

    async def tick(_data: Any, event: Event) -> None:
        if event.id.startswith(f"{name}:"):
            ticks.append(event.id)
            if len(ticks) == 2:
                seen.set()

    subscription = stage.client.subscribe("clock.tick", tick)
    await subscription.ready()
    begun = time.perf_counter()
    made = await stage.client.cron.create(name, "every 1s", "clock.tick")
    async with asyncio.timeout(10):
        await seen.wait()
    took = _since(begun)
    await stage.client.cron.delete(name)
    await subscription.unsubscribe()
    wanted = [f"{name}:{round(made.created.timestamp() * 1000) + 1000 * number}" for number in (1, 2)]
    if ticks[:2] != wanted or took < 1900:  # a client knows the clock of a busy broker to some milliseconds
        raise Unexpected(f"ticks {ticks} after {took:.0f} ms, not {wanted}")
    return Shown("2 ticks, a second apart, then deleted", took)


async def remembered(stage: Stage) -> Shown:
    """What happened so far is in SQL, and can be asked for."""
    begun = time.perf_counter()
    async with asyncio.timeout(10):
        while True:  # it is written down a moment after it happened
            page = await stage.client.history.list(["comment.added", "invoice.remind"], page=1, limit=1)
            if page.total == CARDS * COMMENTS + 1:
                break
            await asyncio.sleep(0.05)
    (last,) = page.events
    if last.type != "invoice.remind":
        raise Unexpected(f"the last event of history is {last}")
    return Shown(f"{page.total} events in SQLite, the last one {last.type}", _since(begun))


async def _fails(call: Awaitable[Any], code: str, outcome: Outcome, within: tuple[float, float]) -> Shown:
    begun = time.perf_counter()
    try:
        answer = await call
    except TielineError as error:
        took = _since(begun)
        if (error.code, error.outcome) != (code, outcome) or not within[0] <= took <= within[1]:
            raise Unexpected(f"expected {code}, {outcome}, got {error!r} after {took:.0f} ms") from error
        said = str(error) if error.type else error.code
        return Shown(f"{said} ({error.outcome})", took)
    raise Unexpected(f"expected {code}, got the answer {answer!r}")


def _same(answer: Any, wanted: Any) -> str:
    if answer != wanted:
        raise Unexpected(f"expected {wanted!r}, got {answer!r}")
    return json.dumps(answer, ensure_ascii=False)


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


SCENES = (
    Scene("Python → Node", "ai.request", python_calls_node),
    Scene("Node → Python", "calculate.sum", node_calls_python),
    Scene("gRPC → Node", "ai.request", grpc_calls_node),
    Scene("gRPC → Python", "calculate.sum", grpc_calls_python),
    Scene("Python → everyone", BROADCAST, broadcast),
    Scene("Python → nobody", "nobody.home", nobody),
    Scene("Python → Python", "report.build", too_slow),
    Scene("Python → Node", "stock.reserve", raising),
    Scene("Python → both", "comment.added", cards),
    Scene("Python → later", "invoice.remind", later),
    Scene("Python → cron", "clock.tick", recurring),
    Scene("Python → history", "comment.added", remembered),
)
