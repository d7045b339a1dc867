"""The peer in Python: commands come on stdin, reports go to stdout, each after its length in four bytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conformance._contract.peer_pb2 import (
    Answer,
    Call,
    Command,
    Cron,
    CronAct,
    Gather,
    Hello,
    History,
    HistoryAct,
    Item,
    Job,
    Opened,
    Options,
    Publish,
    PublishMany,
    Receipts,
    Recorded,
    Replay,
    Report,
    Schedule,
    ScheduleAct,
    Selection,
    Stream,
    Subscribe,
)
from tests.conformance._contract.peer_pb2 import Handling as HandlingOptions
from tests.conformance.peers.python import answers
from tests.conformance.peers.python.answers import failure
from tests.conformance.peers.python.handling import Handling, filter_of, upcaster_of
from tests.conformance.peers.python.values import from_native, to_native
from tieline import EventSystem, Retry, RetryPolicy, Settings, Subscription
from tieline import Item as Piece
from tieline import Replay as OpenReplay
from tieline import Stream as OpenStream
from tieline.transports.memory import MemoryBroker, MemoryTransport

_ASK_SECONDS = 30.0
"""How long others have to tell of a chain; peers share two cores with many, so that some seconds prove nothing."""

_CRON_OPTIONS = ("expression", "topic", "call", "key", "zone", "retries")


class Peer:
    """Event systems and subscriptions, by the names that the runner gave them."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._memory = MemoryBroker()
        self._systems: dict[str, EventSystem] = {}
        self._subscriptions: dict[str, tuple[Subscription, Handling]] = {}
        self._streams: dict[str, OpenStream | OpenReplay] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Take commands until stdin ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self.tell(Report(hello=Hello(language="python")))
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                command = Command.FromString(await reader.readexactly(size))
                self._tasks[command.number] = asyncio.create_task(self._run(command))

    def tell(self, report: Report) -> None:
        """Send a report."""
        data = report.SerializeToString()
        rest = memoryview(len(data).to_bytes(4, "big") + data)
        while rest:
            rest = rest[os.write(self._out, rest) :]

    async def _run(self, command: Command) -> None:
        try:
            answer = await self._do(command)
        except (Exception, asyncio.CancelledError) as error:
            answer = Answer(failure=failure(error))
        answer.number = command.number
        self.tell(Report(answer=answer))
        self._tasks.pop(command.number, None)

    async def _do(self, command: Command) -> Answer:
        name = command.WhichOneof("do")
        if name in ("publish", "call"):
            return (await self._send(self._systems[command.system], getattr(command, name)))[1]
        return await getattr(self, f"_{name}")(command, getattr(command, name)) or Answer(done=True)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def _open(self, command: Command, wanted: Any) -> Answer:
        settings = Settings(**{key.removesuffix("_ms"): _seconds(key, n) for key, n in wanted.settings.items()})
        where: dict[str, Any] = {"url": wanted.url, "namespace": wanted.namespace}
        if wanted.url == "memory://":
            where = {"transport": MemoryTransport(self._memory)}  # one broker for all systems of the process
        system = EventSystem(service=wanted.service or "peer", settings=settings, **where)
        await system.start()
        if wanted.record:
            await system.record(wanted.record, topics=list(wanted.record_topics))
        self._systems[command.system] = system
        return Answer(opened=Opened(instance=system.instance))

    async def _close(self, command: Command, wanted: Any) -> None:
        system = self._systems.pop(command.system)
        await system.aclose(wanted.drain_ms / 1_000 if wanted.HasField("drain_ms") else None)

    # --- subscriptions ------------------------------------------------------------------------------------------------

    async def _subscribe(self, command: Command, wanted: Subscribe) -> None:
        system = self._systems[command.system]
        handling = Handling(wanted, lambda inner: self._send(system, inner), self.tell)
        options: dict[str, Any] = {
            name: getattr(wanted, name) for name in ("group", "observe") if getattr(wanted, name)
        }
        options |= {name: getattr(wanted, name) for name in ("concurrency", "queue") if wanted.HasField(name)}
        if wanted.schema_version:
            options["schema_version"] = wanted.schema_version
        if wanted.upcasters:
            options["upcasters"] = [*map(upcaster_of, wanted.upcasters)]
        if wanted.HasField("filter"):
            options["filter"] = filter_of(wanted.filter)
        if wanted.HasField("batch"):
            options["batch"] = (wanted.batch.size, wanted.batch.ms / 1_000)
        if wanted.durable:
            options["durable"] = True
        if wanted.HasField("replays"):
            options["replays"] = wanted.replays
        options |= _handling(wanted.handling)
        subscription = system.subscribe(wanted.topic, handling.function, **options)
        self._subscriptions[wanted.id] = subscription, handling
        await subscription.ready()

    async def _unsubscribe(self, command: Command, wanted: Any) -> None:
        await self._subscriptions[wanted.id][0].unsubscribe()

    async def _release(self, command: Command, wanted: Any) -> None:
        for _ in range(wanted.count or 1):
            self._subscriptions[wanted.id][1].gate.release()

    async def _cancel(self, command: Command, wanted: Any) -> None:
        self._tasks[wanted.call].cancel()

    # --- publish and call ---------------------------------------------------------------------------------------------

    async def _send(self, system: EventSystem, wanted: Publish | Call | Stream) -> tuple[Any, Answer]:
        if isinstance(wanted, Stream):
            items = [item async for item in _stream(system, wanted)]
            return items, Answer(value=from_native(items))
        data = _data(wanted)
        options = _options(wanted.options)
        if isinstance(wanted, Publish):
            options |= _storing(wanted) | _when(wanted)
            receipt = await system.publish(wanted.topic, *data, wait_local=wanted.wait_local, **options)
            return None, Answer(receipt=answers.receipt(receipt))
        if wanted.HasField("wait_for_responders_ms"):
            options["wait_for_responders"] = wanted.wait_for_responders_ms / 1_000
        if wanted.HasField("idempotency_key"):
            options["idempotency_key"] = wanted.idempotency_key
        if wanted.HasField("retry"):
            options["retry"] = _retry(wanted.retry)
        reply = await system.publish_and_wait(wanted.topic, *data, idempotent=wanted.idempotent, **options)
        return reply, Answer(value=from_native(reply))

    async def _publish_many(self, command: Command, wanted: PublishMany) -> Answer:
        options = _options(wanted.options) | (
            {"max_stored": wanted.max_stored} if wanted.HasField("max_stored") else {}
        )
        items = [piece for item in wanted.items for piece in _pieces(item)]
        receipts = await self._systems[command.system].publish_many(wanted.topic, items, **options)
        return Answer(receipts=Receipts(receipts=map(answers.receipt, receipts)))

    async def _schedule(self, command: Command, wanted: Schedule) -> Answer:
        act = ScheduleAct.Name(wanted.act).removeprefix("SCHEDULE_ACT_").lower()
        schedules = self._systems[command.system].schedules
        return Answer(scheduled=answers.scheduled(await getattr(schedules, act)(wanted.id, **_when(wanted))))

    async def _cron(self, command: Command, wanted: Cron) -> Answer:
        act, cron = CronAct.Name(wanted.act).removeprefix("CRON_ACT_").lower(), self._systems[command.system].cron
        if act == "run_now":
            return Answer(job=Job(id=await cron.run_now(wanted.name)))
        options = {name: getattr(wanted, name) for name in _CRON_OPTIONS if wanted.HasField(name)}
        if wanted.HasField("data"):
            options["data"] = to_native(wanted.data)
        if wanted.HasField("retry_delay_ms"):
            options["retry_delay"] = wanted.retry_delay_ms / 1_000
        return Answer(job=answers.job(await getattr(cron, act)(wanted.name, **options)))

    # --- history ------------------------------------------------------------------------------------------------------

    async def _history(self, command: Command, wanted: History) -> Answer:
        history = self._systems[command.system].history
        selection = _selection(wanted.selection)
        match wanted.act:
            case HistoryAct.HISTORY_ACT_LIST:
                names = ("page", "cursor", "limit", "oldest_first")
                paging = {name: getattr(wanted, name) for name in names if wanted.HasField(name)}
                page = await history.list(**selection, **paging)
                return Answer(recorded=answers.page(page))
            case HistoryAct.HISTORY_ACT_GET:
                return Answer(recorded=Recorded(rows=[answers.row(await history.get(wanted.ids[0]))]))
            case HistoryAct.HISTORY_ACT_DELETE:
                deleted = await history.delete(list(wanted.ids) or None, **selection)
                return Answer(recorded=Recorded(deleted=deleted))
            case _:
                return Answer(recorded=Recorded(recorders=answers.recorders(await history.figures())))

    async def _replay(self, command: Command, wanted: Replay) -> Answer | None:
        options: dict[str, Any] = {n: getattr(wanted, n) for n in ("to_group", "to_topic") if wanted.HasField(n)}
        options["speed"] = wanted.speed if wanted.HasField("speed") else None
        replay = self._systems[command.system].history.replay(**_selection(wanted.selection), **options)
        if wanted.wait:
            return Answer(replayed=answers.replayed(await replay.wait()))
        self._streams[wanted.id] = replay
        return None

    # --- streams, gather, explain -------------------------------------------------------------------------------------

    async def _stream(self, command: Command, wanted: Stream) -> None:
        self._streams[wanted.id] = _stream(self._systems[command.system], wanted)

    async def _read(self, command: Command, wanted: Any) -> Answer:
        return Answer(items=await answers.read(self._streams[wanted.id], wanted.count))

    async def _leave(self, command: Command, wanted: Any) -> None:
        await self._streams.pop(wanted.id).aclose()

    async def _gather(self, command: Command, wanted: Gather) -> Answer:
        options = {"max_replies": wanted.max_replies, "every_instance": wanted.every_instance}
        system = self._systems[command.system]
        everybody = await system.publish_and_gather(wanted.topic, *_data(wanted), **options, **_options(wanted.options))
        return Answer(gathered=answers.gathered(everybody))

    async def _explain(self, command: Command, wanted: Any) -> Answer:
        steps = await self._systems[command.system].explain(wanted.correlation_id, ttl=_ASK_SECONDS)
        return Answer(explanation=answers.explanation(steps))

    async def _metrics(self, command: Command, wanted: Any) -> Answer:
        system = self._systems[command.system]
        return Answer(figures=answers.figures(system.metrics(), wanted.topic, await system.prometheus()))


def _stream(system: EventSystem, wanted: Stream) -> OpenStream:
    options = _options(wanted.options) | {"idempotent": wanted.idempotent, "window": wanted.window}
    if wanted.HasField("wait_for_responders_ms"):
        options["wait_for_responders"] = wanted.wait_for_responders_ms / 1_000
    if wanted.HasField("total_ms"):
        options["total"] = wanted.total_ms / 1_000
    return system.publish_and_stream(wanted.topic, *_data(wanted), **options)


def _data(wanted: Publish | Call | Stream | Gather) -> list[Any]:
    return [to_native(wanted.data)] if wanted.HasField("data") else []


def _storing(wanted: Publish) -> dict[str, Any]:
    """How a publish asks for the event to be stored."""
    names = ("key", "priority", "dedupe", "max_stored", "wait_replicas")
    options: dict[str, Any] = {name: getattr(wanted, name) for name in names if wanted.HasField(name)}
    return options | ({"durable": True} if wanted.durable else {})


def _when(wanted: Publish | Schedule) -> dict[str, Any]:
    """When an event is to be published."""
    options: dict[str, Any] = {"delay": wanted.delay_ms / 1_000} if wanted.HasField("delay_ms") else {}
    if wanted.HasField("at_ms"):
        options["at"] = datetime.fromtimestamp(wanted.at_ms / 1_000, UTC)
    if isinstance(wanted, Publish) and wanted.HasField("retry"):
        options["retry"] = _retry_policy(wanted.retry)
    return options


def _selection(wanted: Selection) -> dict[str, Any]:
    """Which events of history are meant."""
    options: dict[str, Any] = {name: getattr(wanted, name) for name in ("status", "source") if wanted.HasField(name)}
    for name in ("start", "end"):
        if wanted.HasField(name):
            options[name] = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(getattr(wanted, name)))
    return options | ({"types": list(wanted.types)} if wanted.types else {})


def _pieces(wanted: Item) -> list[Piece]:
    """One of many, or as many as it stands for."""
    options: dict[str, Any] = {
        name: getattr(wanted, name) for name in ("key", "priority", "dedupe") if wanted.HasField(name)
    }
    if wanted.headers:
        options["headers"] = dict(wanted.headers)
    if wanted.numbers:
        return [Piece(number + 1, **options) for number in range(wanted.numbers)]
    return [Piece(to_native(wanted.data) if wanted.HasField("data") else None, **options)]


def _handling(wanted: HandlingOptions) -> dict[str, Any]:
    """How a subscription asks for stored events to be handled."""
    options: dict[str, Any] = {n: getattr(wanted, n) for n in ("start", "on_poison") if wanted.HasField(n)}
    if wanted.HasField("timeout_ms"):
        options["timeout"] = wanted.timeout_ms / 1_000
    if wanted.HasField("retry"):
        options["retry"] = _retry_policy(wanted.retry)
    return options


def _retry_policy(wanted: Any) -> RetryPolicy:
    given = {field.name: value for field, value in wanted.ListFields()}
    names = {name: name.removesuffix("_ms") for name in given}
    return RetryPolicy(**{names[n]: v / 1_000 if n.endswith("_ms") else v for n, v in given.items()})


def _retry(wanted: Any) -> Retry:
    when = (lambda _: True) if wanted.always else None
    return Retry(wanted.attempts, wanted.base_ms / 1_000, wanted.cap_ms / 1_000, when)


def _options(wanted: Options) -> dict[str, Any]:
    names = ("content_type", "schema_version", "correlation_id")
    options: dict[str, Any] = {name: getattr(wanted, name) for name in names if getattr(wanted, name)}
    if wanted.headers or wanted.more_headers:
        options["headers"] = dict(wanted.headers) | {header.name: header.value for header in wanted.more_headers}
    if wanted.HasField("ttl_ms"):
        options["ttl"] = wanted.ttl_ms / 1_000
    if wanted.HasField("wait_for_connection_ms"):
        options["wait_for_connection"] = wanted.wait_for_connection_ms / 1_000
    return options


def _seconds(name: str, number: int) -> float:
    return number / 1_000 if name.endswith("_ms") else number


if __name__ == "__main__":
    private = os.dup(1)
    os.dup2(2, 1)  # whatever else prints must not get between the messages
    asyncio.run(Peer(private).serve())
