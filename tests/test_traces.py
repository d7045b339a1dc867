"""One trace across Python and Node, over Redis and through gateways, with the SDKs of OpenTelemetry in both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from examples.node_package import provide
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.suite.seen import until
from tests.suite.world import KINDS, Place, World, new_topic
from tests.support.processes import Peer
from tieline import EventSystem
from tieline.otel import tracing

PEERS = Path(__file__).parent / "peers"
KINDS_OF_NODE = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


class Span(NamedTuple):
    """What a test looks at, of a span made in either language."""

    language: str
    name: str
    kind: str
    trace: str
    span: str
    parent: str
    links: list[str]


@pytest.fixture(scope="module", params=["redis", "gateway+redis"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A broker that both languages reach."""
    with KINDS[request.param].open() as opened:
        yield opened


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """The spans of this side."""
    return InMemorySpanExporter()


@pytest.fixture
async def python(place: Place, exporter: InMemorySpanExporter) -> AsyncIterator[EventSystem]:
    """This side."""
    provider, world = TracerProvider(), World(place)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        yield await world.system(service="python", middleware=[tracing(provider)])
    finally:
        await world.close()


def _of_python(exporter: InMemorySpanExporter) -> Iterator[Span]:
    for span in exporter.get_finished_spans():
        assert span.context is not None
        parent = f"{span.parent.span_id:016x}" if span.parent else ""
        links = [f"{link.context.span_id:016x}" for link in span.links]
        own = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
        yield Span("python", span.name, span.kind.name, *own, parent, links)


async def _of_node(python: EventSystem, topic: str) -> list[Span]:
    """The spans of the other side, when the last one of them has ended."""
    async with asyncio.timeout(30):
        while True:
            told = await python.publish_and_wait(f"{topic}.spans")
            if any(each["name"] == f"send {topic}.done" for each in told):
                return [Span("node", **{**each, "kind": KINDS_OF_NODE[each["kind"]]}) for each in told]
            await asyncio.sleep(0.01)


async def test_what_two_languages_do_for_each_other_is_one_trace(
    place: Place, python: EventSystem, exporter: InMemorySpanExporter
) -> None:
    topic, done = f"traced.{new_topic()}", asyncio.Event()

    async def store(data: Any) -> str:
        await python.publish(f"{topic}.stored", data, key="k")
        return "stored"

    async def finish(data: Any) -> None:
        done.set()

    await python.subscribe(f"{topic}.python", store).ready()
    await python.subscribe(f"{topic}.done", finish).ready()
    provide(PEERS)
    async with Peer.node(PEERS / "traced.mjs", json.dumps({"url": place.url, "topic": topic})):
        assert await python.publish_and_wait(f"{topic}.node", 1) == "stored"
        await asyncio.wait_for(done.wait(), 30)
        await until(lambda: any(span.name == f"process {topic}.done" for span in exporter.get_finished_spans()))
        here = list(_of_python(exporter))
        there = await _of_node(python, topic)
    spans = [*here, *there]
    chain = [
        ("python", "send", "node", "CLIENT"),
        ("node", "process", "node", "SERVER"),
        ("node", "send", "python", "CLIENT"),
        ("python", "process", "python", "SERVER"),
        ("python", "send", "stored", "PRODUCER"),
        ("node", "process", "stored", "CONSUMER"),
        ("node", "send", "done", "PRODUCER"),
        ("python", "process", "done", "CONSUMER"),
    ]
    parent = ""
    for language, operation, end, kind in chain:
        (span,) = [each for each in spans if (each.language, each.name) == (language, f"{operation} {topic}.{end}")]
        assert (span.kind, span.parent) == (kind, parent)
        assert span.links == ([parent] if (operation, end) == ("process", "stored") else [])
        parent = span.span
    assert len({span.trace for span in spans if "spans" not in span.name}) == 1
