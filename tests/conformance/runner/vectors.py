"""Cases made of the examples in `proto/vectors/`, so that what is written there once is proven in every combination."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import Call
from tests.conformance._contract.value_pb2 import Time, Value
from tests.conformance.peers.python.values import from_native
from tieline._contract.contract import TOPICS_APART

_VECTORS = Path(__file__).parents[3] / "proto/vectors"
_MOST_WIRE = 4_096


def cases_of(vectors: int) -> Iterator[schema.Case]:
    """The cases of one list of examples."""
    return _MAKERS[vectors]()


def _payloads() -> Iterator[schema.Case]:
    """Values that travel: there and back where the bytes are canonical, else from the bytes to every reader."""
    for example in _read("payloads.json", "cases"):
        wire = _hex(example["hex"])
        value = _value(example["value"])
        if wire.startswith("cb"):
            value.double = wire[2:]  # of all that is not a number, this
        if _can_be_published(example, wire):
            steps = [schema.Step(exchange=schema.Exchange(value=value, wire=wire))]
        else:
            steps = _read_by_handler(wire, value)
        needs = [schema.FEATURE_REMOTE] if len(steps) > 1 else []
        yield schema.Case(id=example["name"], needs=needs, steps=steps)


def _can_be_published(example: dict[str, Any], wire: str) -> bool:
    """Whether every language writes these bytes."""
    return example.get("canonical") and len(wire) <= _MOST_WIRE and "float" not in json.dumps(example["value"])


def _stored_payloads() -> Iterator[schema.Case]:
    """Values that wait in a store, for they are published before anybody subscribes; every byte of them is compared."""
    case = schema.Case(id="payloads are stored as they are", needs=[schema.FEATURE_DURABLE])
    deliveries = schema.Deliveries(at=["handler"])
    for example in _read("payloads.json", "cases"):
        wire = _hex(example["hex"])
        if not _can_be_published(example, wire):
            continue
        publish = case.steps.add().publish
        publish.topic, publish.key = "~.value", "key"
        publish.data.CopyFrom(_value(example["value"]))
        deliveries.got.add(data=wire).value.CopyFrom(publish.data)
    case.steps.add(subscribe={"id": "handler", "topic": "~.value", "durable": True})
    case.steps.add(deliveries=deliveries)
    yield case


def _read_by_handler(wire: str, value: Value) -> list[schema.Step]:
    subscribe = schema.Step(on="responder")
    subscribe.subscribe.id, subscribe.subscribe.topic = "handler", "~.value"
    send = schema.Step()
    send.send.event.topic, send.send.event.data = "~.value", wire
    deliveries = schema.Step()
    deliveries.deliveries.at.append("handler")
    deliveries.deliveries.got.add().value.CopyFrom(value)
    return [subscribe, send, deliveries]


def _bad_payloads() -> Iterator[schema.Case]:
    """Bytes that are no payload: the request is refused, the handler does not run, the responder lives on."""
    for example in _read("payloads.json", "bad"):
        wire = _hex(example["hex"])
        if example["code"] != "INVALID_PAYLOAD" or len(wire) > _MOST_WIRE:
            continue
        case = schema.Case(id=example["name"], needs=[schema.FEATURE_REMOTE])
        subscribe = case.steps.add(on="responder").subscribe
        subscribe.id, subscribe.topic = "handler", "~.bad"
        subscribe.handler.add().echo = True
        send = case.steps.add().send
        send.request.topic, send.request.data = "~.bad", wire
        heard = case.steps.add().heard
        heard.by = "inbox"
        heard.letters.add(kind=4).error.MergeFrom(schema.Wrong(code=8, outcome=1))
        after = case.steps.add(on="caller")
        after.call.topic = "~.bad"
        after.expect.value.nil = True
        got = case.steps.add().deliveries
        got.at.append("handler")
        got.count = 1
        yield case


def _matches() -> Iterator[schema.Case]:
    """Who hears what: a pattern and a topic, below a prefix of their own, which changes neither."""
    for example in _read("topics.json", "matches"):
        if example["topic"].startswith(TOPICS_APART):
            continue  # only where they begin so are they kept apart, and here they begin with the case's own token
        pattern, topic = example["pattern"], example["topic"]
        if max(pattern.count("."), topic.count(".")) > 13 or max(len(pattern), len(topic)) > 200:
            continue  # no room for the prefix
        case = schema.Case(id=f"{pattern} {'matches' if example['matches'] else 'does not match'} {topic}")
        for name, where in (("pattern", f"~.{pattern}"), ("fence", "~fence")):
            subscribe = case.steps.add(on="responder").subscribe
            subscribe.id, subscribe.topic = name, where
        for where in (f"~.{topic}", "~fence"):
            case.steps.add(on="caller").publish.topic = where
        for name, count in (("fence", 1), ("pattern", int(example["matches"]))):
            deliveries = case.steps.add().deliveries
            deliveries.at.append(name)
            deliveries.count = count
        yield case


def _fingerprints() -> Iterator[schema.Case]:
    """Payloads that are equal: whoever calls with a key sends the same fingerprint for all of them."""
    for example in _read("fingerprints.json", "equal"):
        case = schema.Case(id=example["about"], needs=[schema.FEATURE_REMOTE])
        listen = case.steps.add().listen
        listen.id, listen.route, listen.topic = "raw", schema.ROUTE_REQUEST, "~.ask"
        for number, payload in enumerate(example["payloads"], 1):
            begin = case.steps.add(begin=f"c{number}").call
            begin.topic, begin.idempotency_key = "~.ask", f"key {number}"
            _set_payload(begin, bytes.fromhex(payload["hex"]), payload.get("content_type", ""))
            heard = case.steps.add().heard
            heard.by = "raw"
            heard.letters.add(idempotency_key=f"key {number}", fingerprint=example["fingerprint"])
            send = case.steps.add().send
            send.to, send.answer.data = "raw", "01"
            end = case.steps.add()
            end.end.call, end.expect.value.int = f"c{number}", "1"
        yield case


def _set_payload(call: Call, data: bytes, content_type: str) -> None:
    """As a program would give it: values for MessagePack, text for text, bytes for the rest."""
    call.options.content_type = content_type
    if not content_type:
        call.data.CopyFrom(from_native(msgspec.msgpack.decode(data) if data else None))
    elif content_type.lower().startswith("text/"):
        call.data.text = data.decode()
    else:
        call.data.bytes = data.hex()


_MAKERS: dict[int, Callable[[], Iterator[schema.Case]]] = {
    schema.VECTORS_PAYLOADS: _payloads,
    schema.VECTORS_BAD_PAYLOADS: _bad_payloads,
    schema.VECTORS_MATCHES: _matches,
    schema.VECTORS_FINGERPRINTS: _fingerprints,
    schema.VECTORS_STORED_PAYLOADS: _stored_payloads,
}


def _read(name: str, part: str) -> list[Any]:
    examples: list[Any] = json.loads((_VECTORS / name).read_text())[part]
    return examples


def _hex(pieces: Any) -> str:
    """Hexadecimal, of a text or of a list of pieces, each perhaps with how often it comes."""
    if isinstance(pieces, str):
        return pieces
    return "".join(piece if isinstance(piece, str) else piece[0] * piece[1] for piece in pieces)


def _value(tagged: dict[str, Any], key: str = "") -> Value:
    kind = next(key for key in tagged if key != "times")
    content = tagged[kind]
    value = Value(times=tagged.get("times", 0), key=key)
    if kind == "float":
        value.double = struct.pack(">d", float(content)).hex()
    elif kind == "list":
        value.list = True
        value.items.extend(_value(item) for item in content)
    elif kind == "map":
        value.map = True
        value.items.extend(_value(item, key) for key, item in content)
    elif kind == "time":
        value.time.CopyFrom(Time(seconds=str(content["seconds"]), nanos=content["nanoseconds"]))
    else:
        setattr(value, kind, content)
    return value
