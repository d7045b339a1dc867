"""`tieline services`."""

from __future__ import annotations

from typing import Any

import click

from tieline.events import EventSystem
from tieline.services import Service, Subscribed
from tieline_gateway.asyncapi import NOTHING
from tieline_gateway.asyncapi import asyncapi as asyncapi_document
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.page import Page, visible
from tieline_gateway.cli.plain import print_json
from tieline_gateway.cli.visit import USAGE, Broker, fail, json_option, ttl_option, with_broker
from tieline_gateway.contracts import Difference, differences
from tieline_gateway.shapes import shape

_HEADS = ("TOPIC", "GROUP", "KIND", "VERSION", "SCHEMA")


@click.command(epilog=examples("tieline services", "tieline services --json | jq '.services[].name'"))
@with_broker
@ttl_option
@json_option
@click.option("--asyncapi", "as_asyncapi", is_flag=True, help="Print an AsyncAPI 3.0 document (JSON).")
def services(*, broker: Broker, ttl: float, as_json: bool, as_asyncapi: bool) -> None:
    """Tell who is there, and what they are subscribed to.

    All live processes are asked. Warns where they differ about the schema or the version of a topic.
    """
    if as_json and as_asyncapi:
        fail("--json and --asyncapi are two documents; ask for one of them", USAGE)
    found = broker.visit(lambda events: _others(events, ttl))
    differing = differences(found)
    if as_asyncapi:
        print_json(asyncapi_document(found, broker.url))
    elif as_json:
        print_json(_document(found, differing))
    else:
        _show(Page(), found, differing)


@click.command(epilog=examples("tieline asyncapi > asyncapi.json"))
@with_broker
@ttl_option
def asyncapi(*, broker: Broker, ttl: float) -> None:
    """Print an AsyncAPI 3.0 document (JSON)."""
    print_json(asyncapi_document(broker.visit(lambda events: _others(events, ttl)), broker.url))


async def _others(events: EventSystem, ttl: float) -> list[Service]:
    """All services but this visitor."""
    found = await events.services(ttl=ttl)
    for service in found:
        service.instances.pop(events.instance, None)
    return [service for service in found if service.instances]


def _show(page: Page, found: list[Service], differing: list[Difference]) -> None:
    if not found:
        page.line("Nobody is there: no service has joined this broker (in this namespace).")
    for number, service in enumerate(found):
        page.line() if number else None
        page.line(visible(service.name), "bold")
        page.line(f"instances: {', '.join(_instances(service))}", indent=2)
        if service.subscriptions:
            rows = [_row(subscribed) for subscribed in service.subscriptions]
            page.table(_HEADS, rows, [""] * len(rows), indent=2, below=4)
    for difference in differing:
        page.line()
        _warn(page, difference)


def _instances(service: Service) -> list[str]:
    return [f"{visible(name)} ({visible(client) or 'did not answer'})" for name, client in service.instances.items()]


def _row(subscribed: Subscribed) -> tuple[str, ...]:
    kind = "stream" if subscribed.streams else subscribed.kind
    told = (subscribed.topic, subscribed.group, kind, subscribed.schema_version, _shapes(subscribed))
    return tuple(map(visible, told))


def _shapes(subscribed: Subscribed) -> str:
    """What goes in and what comes out; nothing where nothing is declared."""
    if subscribed.input is None and subscribed.output is None:
        return ""
    if subscribed.kind != "handler" or subscribed.output == NOTHING:
        return shape(subscribed.input)
    many = "*" if subscribed.streams else ""
    return f"{shape(subscribed.input)} → {shape(subscribed.output)}{many}"


def _warn(page: Page, difference: Difference) -> None:
    topic = visible(difference.topic)
    page.line(f"warning: {topic}: not all have the same {difference.about}", "yellow")
    shapes = [_says(side.says) for side in difference.sides]
    for side, text in zip(difference.sides, shapes, strict=True):
        hint = " (only limits differ, see --json)" if shapes.count(text) > 1 else ""
        page.line(f"{', '.join(map(visible, side.services))}:  {text}{hint}", indent=4)


def _says(what: Any) -> str:
    return visible(what if isinstance(what, str) else shape(what))


def _document(found: list[Service], differing: list[Difference]) -> dict[str, Any]:
    return {
        "services": [
            {
                "name": service.name,
                "instances": [{"instance": name, "client": client} for name, client in service.instances.items()],
                "subscriptions": [subscribed._asdict() for subscribed in service.subscriptions],
            }
            for service in found
        ],
        "differences": [
            {
                "topic": difference.topic,
                "about": difference.about,
                "sides": [{"services": side.services, "says": side.says} for side in difference.sides],
            }
            for difference in differing
        ],
    }
