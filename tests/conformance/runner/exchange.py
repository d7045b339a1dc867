"""A payload on every way it can take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import Action, Call, Command, Options, Publish, Subscribe
from tests.conformance.runner.checks import value_faults
from tests.conformance.runner.letters import REPLY, request
from tests.conformance.runner.raw import Interest
from tests.conformance.runner.watching import Listening, Watched

if TYPE_CHECKING:
    from tests.conformance.runner.case_run import CaseRun


async def exchange(run: CaseRun, wanted: schema.Exchange) -> list[str]:
    """Call a handler that echoes, then publish to it; where the wire can be seen, compare every byte on it."""
    topic, place = f"{run.prefix}.exchange", run.place
    combination, remote = place.combination, place.responder is not place.caller
    watched = run.watched["exchange"] = Watched(combination.responder, run.news)
    place.responder.listen(topic, watched.hear)
    observer = Listening(run.news)
    if remote:
        await (await run.raw()).listen(Interest(schema.ROUTE_OBSERVER, topic), observer.hear)
        await run.in_step()
    await run.subscribe_as(topic, Subscribe(id=topic, topic=topic, handler=[Action(echo=True)]))
    options = Options(content_type=wanted.content_type)
    reply = await _ask(run, call=Call(topic=topic, data=wanted.value, options=options))
    event = await _ask(run, publish=Publish(topic=topic, data=wanted.value, options=options))
    if reply.WhichOneof("what") != "value" or event.WhichOneof("what") != "receipt":
        return [f"expected a reply and a receipt, seen {' '.join(str([reply, event]).split())}"]
    await run.news.until(lambda: len(watched.delivered.items) >= 2)
    caller, responder = combination.caller, combination.responder
    faults = [f"the caller: {fault}" for fault in value_faults(wanted.value, reply.value, caller, {responder})]
    for kind, delivered in zip(("request", "event"), watched.delivered.unread, strict=True):
        faults += [
            f"the handler of the {kind}: {fault}"
            for fault in value_faults(wanted.value, delivered.values[0], responder, {caller})
        ]
        faults += _bytes_faults(f"the {kind} as it arrived", _wire(wanted, {caller}), delivered.facts.data)
    return [*faults, *(await _wire_faults(run, wanted, topic, observer) if remote else [])]


async def _wire_faults(run: CaseRun, wanted: schema.Exchange, topic: str, observer: Listening) -> list[str]:
    """What an observer sees of the request and the event, and a reply that no client of ours has touched."""
    combination, faults = run.place.combination, list[str]()
    if not await run.news.until(lambda: len(observer.heard.items) >= 2):
        faults.append(f"an observer saw {len(observer.heard.items)} of 2 envelopes")
    for envelope in observer.heard.unread:
        faults += _bytes_faults("what an observer saw", _wire(wanted, {combination.caller}), envelope.data.hex())
    raw = await run.raw()
    letter = schema.Letter(topic=topic, data=wanted.wire, content_type=wanted.content_type)
    asked, inbox = request(letter, raw.instance, run.names), run.listening["inbox"]
    await raw.request(topic, asked.SerializeToString(), asked.call_id)
    await run.news.until(lambda: any(item.kind == REPLY for _, item in inbox.heard.items))
    replies = [item for _, item in inbox.heard.items if item.kind == REPLY]
    if len(replies) != 1 or replies[0].HasField("error"):
        return [*faults, f"expected one reply, seen {' '.join(str(replies).split())[:500]}"]
    wire = wanted.reply_wire or _wire(wanted, {combination.responder})
    faults += _bytes_faults("the reply", wire, replies[0].data.hex())
    if replies[0].content_type not in (wanted.reply_type, "" if wanted.reply_type else "application/msgpack"):
        faults.append(f"the reply: expected {wanted.reply_type or 'msgpack'}, seen {replies[0].content_type!r}")
    return faults


async def _ask(run: CaseRun, **command: Any) -> Any:
    async with asyncio.timeout(30):
        return await run.place.caller.ask(Command(system="caller", **command))


def _wire(wanted: schema.Exchange, senders: set[str]) -> str:
    return wanted.integral_wire if wanted.integral_wire and "node" in senders else wanted.wire


def _bytes_faults(what: str, expected: str, seen: str) -> list[str]:
    if expected == seen:
        return []
    return [f"{what}: expected the bytes {_cut(expected)}, seen {_cut(seen)}"]


def _cut(text: str) -> str:
    return text if len(text) < 200 else f"{text[:200]}… ({len(text) // 2} bytes)"
