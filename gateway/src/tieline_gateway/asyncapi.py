"""What services are subscribed to, as an AsyncAPI 3.0 document.

A topic is a channel, a subscription is an operation that receives; one that answers has a `reply`. What AsyncAPI has no
word for is in extensions: `x-tieline-service`, `-subscription`, `-kind`, `-group`, `-streams`, `-schema-version`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from tieline.services import Service, Subscribed
from tieline_gateway.asyncapi_schemas import Schemas, Unique
from tieline_gateway.contracts import fingerprint

NOTHING = {"type": "null"}
"""The schema of what a handler gives that returns nothing."""

_CHAIN = {"$ref": "#/components/correlationIds/chain"}
_CHAIN_IS = {
    "description": "Names the chain of all that one act caused; `tieline explain` takes it.",
    "location": "$message.header#/correlation_id",
}
_REPLY_TO = {
    "description": "The caller's instance; a client knows it by itself.",
    "location": "$message.header#/reply_to",
}
_WILDCARDS = str.maketrans({"*": "any", ">": "rest"})
_PARAMETERS = {"*": "One token of the topic.", ">": "The rest of the topic, one token or more."}


def asyncapi(services: Iterable[Service], url: str) -> dict[str, Any]:
    """The document for what these services told, at the broker of this URL, whose password is left out.

    It is the same for the same subscriptions, however many instances there are.
    """
    return _Document().of(sorted(services, key=lambda service: service.name), url)


def server(url: str) -> dict[str, Any]:
    """A broker as a Server Object, without user, password and query."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return {"host": "localhost", "pathname": parts.path, "protocol": "redis", "description": "A unix socket."}
    found = {"host": parts.netloc.rpartition("@")[2] or "localhost", "protocol": parts.scheme}
    return found | ({"pathname": parts.path} if parts.path.strip("/") else {})


class _Channel:
    """A topic: its messages, and those of its replies."""

    def __init__(self, name: str, topic: str, schemas: Schemas) -> None:
        self.name = name
        self.topic = topic
        self._schemas = schemas
        self._messages: dict[tuple[str, str], str] = {}
        self._names = Unique()
        self.messages: dict[str, Any] = {}

    @property
    def ref(self) -> dict[str, str]:
        return {"$ref": f"#/channels/{self.name}"}

    def message(self, wanted: str, schema: Any, version: str) -> dict[str, str]:
        """The message with this schema; the same for all who declare the same."""
        key = (fingerprint(schema), version)
        if key not in self._messages:
            name = self._messages[key] = self._names.name(f"{wanted}.v{version}" if version else wanted)
            self.messages[name] = self._described(name, schema, version)
        return {"$ref": f"{self.ref['$ref']}/messages/{self._messages[key]}"}

    def _described(self, name: str, schema: Any, version: str) -> dict[str, Any]:
        message: dict[str, Any] = {"name": self.topic, "correlationId": _CHAIN}
        if schema is not None:
            message["payload"] = self._schemas.payload(schema, f"{self.name}.{name}")
        return message | ({"x-tieline-schema-version": version} if version else {})


class _Document:
    def __init__(self) -> None:
        self._schemas = Schemas()
        self._names = Unique()
        self._operation_names = Unique()
        self._channels: dict[str, _Channel] = {}
        self._replies: dict[str, _Channel] = {}
        self._operations: dict[str, Any] = {}

    def of(self, services: list[Service], url: str) -> dict[str, Any]:
        said = [(service.name, subscribed) for service in services for subscribed in service.subscriptions]
        for topic in sorted({subscribed.topic for _, subscribed in said}):
            self._add(topic, [each for each in said if each[1].topic == topic])
        channels = {channel.name: _described(channel) for channel in self._channels.values()}
        replies = {channel.name: {"address": None, "messages": channel.messages} for channel in self._replies.values()}
        return {
            "asyncapi": "3.0.0",
            "info": {
                "title": "Services joined by Tieline",
                "version": "0.0.0",
                "description": "Made by `tieline services --asyncapi` from what running services are subscribed to.",
            },
            "defaultContentType": "application/msgpack",
            "servers": {"broker": server(url)},
            "channels": channels | replies,
            "operations": self._operations,
            "components": {"schemas": self._schemas.components, "correlationIds": {"chain": _CHAIN_IS}},
        }

    def _add(self, topic: str, said: list[tuple[str, Subscribed]]) -> None:
        self._channels[topic] = channel = _Channel(self._names.name(topic.translate(_WILDCARDS)), topic, self._schemas)
        told = any(subscribed.input is not None for _, subscribed in said)
        for service, subscribed in said:
            operation = _operation(service, subscribed) | {"channel": channel.ref}
            if subscribed.input is not None or not told:
                operation["messages"] = [channel.message("message", subscribed.input, subscribed.schema_version)]
            if _answers(subscribed):
                operation["reply"] = self._reply(topic, subscribed)
            self._operations[self._operation_names.name(f"{service}.{topic.translate(_WILDCARDS)}")] = operation

    def _reply(self, topic: str, subscribed: Subscribed) -> dict[str, Any]:
        if topic not in self._replies:
            self._replies[topic] = _Channel(self._names.name(f"{topic}.reply"), topic, self._schemas)
        channel = self._replies[topic]
        wanted = "item" if subscribed.streams else "reply"
        message = channel.message(wanted, subscribed.output, "")
        return {"address": _REPLY_TO, "channel": channel.ref, "messages": [message]}


def _answers(subscribed: Subscribed) -> bool:
    """Requests have a topic, not a pattern; a handler that says it returns nothing is there for events."""
    is_pattern = "*" in subscribed.topic or ">" in subscribed.topic
    return subscribed.kind == "handler" and not is_pattern and subscribed.output != NOTHING


def _operation(service: str, subscribed: Subscribed) -> dict[str, Any]:
    told = {
        "x-tieline-service": service,
        "x-tieline-subscription": subscribed.name,
        "x-tieline-kind": subscribed.kind,
        "x-tieline-group": subscribed.group,
        "x-tieline-streams": subscribed.streams,
        "x-tieline-schema-version": subscribed.schema_version,
    }
    told = {name: value for name, value in told.items() if value}
    return {"action": "receive", "title": f"{service}: {subscribed.topic}", "tags": [{"name": service}], **told}


def _described(channel: _Channel) -> dict[str, Any]:
    """A channel whose address is the topic; each wildcard is a parameter."""
    parts, parameters = channel.topic.split("."), dict[str, Any]()
    for place, part in enumerate(parts):
        if part in _PARAMETERS:
            name = "rest" if part == ">" else f"token{place + 1}"
            parts[place] = f"{{{name}}}"
            parameters[name] = {"description": _PARAMETERS[part]}
    described = {"address": ".".join(parts), "messages": channel.messages}
    return described | ({"parameters": parameters, "x-tieline-pattern": channel.topic} if parameters else {})
