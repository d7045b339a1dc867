"""Who is there and what they are subscribed to, as their instances tell it (SPEC.md, section 13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tieline.calls.gather import Responder


class Subscribed(NamedTuple):
    """One subscription of a service.

    Attributes:
        topic: topic or pattern.
        name: as the service calls it.
        group: empty for none.
        kind: "handler", "observer" or "batch".
        streams: its reply is a stream.
        schema_version: of the payload; empty if it was not said.
        input: JSON Schema of the payload; None if it was not said.
        output: JSON Schema of the reply or of each item; None if it was not said.

    """

    topic: str
    name: str
    group: str
    kind: str
    streams: bool
    schema_version: str
    input: dict[str, Any] | None
    output: dict[str, Any] | None


@dataclass(slots=True)
class Service:
    """A service: its instances, with the client each of them uses, and what they are subscribed to.

    The client is empty for an instance that is there but did not answer in time; what it is subscribed to is not known.
    Instances of one service that differ, as in the middle of a deployment, show as several subscriptions of one name.
    """

    name: str
    instances: dict[str, str] = field(default_factory=dict[str, str])
    subscriptions: list[Subscribed] = field(default_factory=list[Subscribed])


def services(told: Iterable[Any], missing: Iterable[Responder] = ()) -> list[Service]:
    """Join what instances told, by the name of their service; what cannot be read is left out."""
    found: dict[str, Service] = {}
    for silent in missing:
        found.setdefault(silent.service, Service(silent.service)).instances[silent.instance] = ""
    for one in told:
        if isinstance(one, dict) and isinstance(one.get("service"), str):
            service = found.setdefault(one["service"], Service(one["service"]))
            service.instances[str(one.get("instance"))] = str(one.get("client", ""))
            subscriptions = one.get("subscriptions")
            told_of = subscriptions if isinstance(subscriptions, list) else []
            for subscription in [_read(each) for each in told_of if isinstance(each, dict)]:
                if subscription not in service.subscriptions:
                    service.subscriptions.append(subscription)
    for service in found.values():
        service.subscriptions.sort(key=lambda one: (one.topic, one.name, one.group))
    return sorted(found.values(), key=lambda service: service.name)


def _read(told: dict[str, Any]) -> Subscribed:
    kind = "observer" if told.get("observe") else "batch" if told.get("batch") else "handler"
    return Subscribed(
        str(told.get("topic", "")),
        str(told.get("name", "")),
        str(told.get("group", "")),
        kind,
        bool(told.get("streams")),
        str(told.get("schema_version", "")),
        _schema(told.get("input")),
        _schema(told.get("output")),
    )


def _schema(told: Any) -> dict[str, Any] | None:
    return told if isinstance(told, dict) else None
