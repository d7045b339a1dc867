"""`tieline pub`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import click

from tieline.durable.many import Item
from tieline.errors import TielineError
from tieline.events import EventSystem
from tieline.publisher import Receipt
from tieline_gateway.cli.arguments import (
    DURATION,
    LATER,
    header_option,
    headers_of,
    parse_json,
    read_payload,
)
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.page import Page, visible
from tieline_gateway.cli.plain import json_text
from tieline_gateway.cli.progress import Progress
from tieline_gateway.cli.stdin_lines import read_lines
from tieline_gateway.cli.visit import Broker, json_option, with_broker
from tieline_gateway.counted import counted

_TOGETHER = 500
_PRIORITIES = ("1", "5", "8", "10")


@click.command(
    epilog=examples(
        "tieline pub user.created '{\"id\": 7}'",
        "tieline pub comment.added @comment.json --key card-7         stored, in the order of its key",
        "tieline pub invoice.remind '{\"id\": 7}' --durable --delay 2h  stored when it is due",
        "cat events.jsonl | tieline pub order.placed --durable --lines",
    )
)
@click.argument("topic")
@click.argument("data", required=False)
@click.option("--key", help="Store it, in the order of this key.")
@click.option("--durable", is_flag=True, help="Store it, without a key.")
@click.option("--dedupe", metavar="ID", help="Store it once in 24 hours under this id.")
@click.option("--priority", type=click.Choice(_PRIORITIES), help="Of what is stored without a key.")
@click.option("--delay", type=DURATION, help="Publish it so much later: 90, 5m, 2h, 7d.")
@click.option("--at", type=LATER, help="Publish it at this moment: 2026-11-21T18:30:00Z, or 2h from now.")
@click.option("--ttl", type=DURATION, help="How long it is worth handling.")
@header_option
@click.option("--schema-version", help="Version of the payload's schema.")
@click.option("--correlation-id", help="Name of the chain it belongs to.")
@click.option("--count", type=click.IntRange(1, 100_000_000), default=1, help="Publish it so many times.")
@click.option("--lines", is_flag=True, help="Each line of stdin is the JSON of an event.")
@json_option
@with_broker
def pub(
    topic: str, data: str | None, *, broker: Broker, count: int, lines: bool, as_json: bool, **options: Any
) -> None:
    """Publish an event: live, stored, or later.

    DATA is JSON, @FILE with JSON, or - for JSON from stdin; null unless given.
    """
    priority, headers = options.pop("priority"), headers_of(options.pop("headers"))
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    given |= {"priority": int(priority)} if priority else {}
    if lines and (data is not None or count > 1 or "dedupe" in given):
        raise click.UsageError("--lines takes the events from stdin: leave DATA, --count and --dedupe out")
    tell = functools.partial(_tell, Page(), as_json)
    if lines:
        ask = functools.partial(_publish_lines, topic=topic, headers=headers, given=given)
        _tell_sum(broker.visit(ask), as_json)
    else:
        payload = read_payload(data)
        publish = functools.partial(_publish, topic=topic, data=payload, headers=headers, given=given)
        broker.visit(functools.partial(_repeat, publish=publish, count=count, tell=tell))


async def _publish(
    events: EventSystem, *, topic: str, data: Any, headers: dict[str, str] | None, given: dict[str, Any]
) -> Receipt:
    return await events.publish(topic, data, headers=headers, **given)


async def _repeat(
    events: EventSystem,
    *,
    publish: Callable[[EventSystem], Awaitable[Receipt]],
    count: int,
    tell: Callable[[Receipt], None],
) -> None:
    if count == 1:
        tell(await publish(events))
        return
    with Progress("publishing", count) as bar:
        for number in range(1, count + 1):
            await publish(events)
            bar.update(number)
    click.echo(f"published {counted(count, 'event')}", err=True)


async def _publish_lines(
    events: EventSystem, *, topic: str, headers: dict[str, str] | None, given: dict[str, Any]
) -> int:
    """All of stdin; what came before a line that is no JSON is published."""
    stored = ("key" in given or "durable" in given) and not {"delay", "at"} & given.keys()
    publish = _store_together if stored else _publish_each
    done = 0
    with Progress("publishing") as bar:
        async for lines in read_lines(_TOGETHER):
            payloads, trouble = _payloads(lines, done)
            try:
                await publish(events, topic, payloads, headers, given)
                done += len(payloads)
                if trouble is not None:
                    raise trouble
            except (TielineError, click.UsageError):
                click.echo(f"tieline: published before that: {counted(done, 'event')}", err=True)
                raise
            bar.update(done)
    return done


def _payloads(lines: Sequence[bytes], before: int) -> tuple[list[Any], click.UsageError | None]:
    """What lines say, up to the first that cannot be read, and what is wrong with that one."""
    payloads: list[Any] = []
    for line in lines:
        try:
            payloads.append(_payload(line, before + len(payloads) + 1))
        except click.UsageError as error:
            return payloads, error
    return payloads, None


def _payload(line: bytes, number: int) -> Any:
    try:
        return parse_json(line.decode(), f"line {number:,}")
    except UnicodeDecodeError:
        raise click.UsageError(f"line {number:,} is not in UTF-8") from None


async def _publish_each(
    events: EventSystem, topic: str, payloads: list[Any], headers: dict[str, str] | None, given: dict[str, Any]
) -> None:
    for payload in payloads:
        await events.publish(topic, payload, headers=headers, **given)


async def _store_together(
    events: EventSystem, topic: str, payloads: list[Any], headers: dict[str, str] | None, given: dict[str, Any]
) -> None:
    own = {name: given[name] for name in ("key", "priority") if name in given}
    common = {name: given[name] for name in ("ttl", "schema_version", "correlation_id") if name in given}
    await events.publish_many(topic, [Item(payload, headers=headers, **own) for payload in payloads], **common)


def _tell(page: Page, as_json: bool, receipt: Receipt) -> None:
    if as_json:
        click.echo(json_text(receipt))
        return
    page.line(visible(_sentence(receipt)))


def _sentence(receipt: Receipt) -> str:
    if receipt.due is not None:
        when = "now, as that is over" if receipt.overdue else f"for {_clock(receipt.due)}"
        return f"planned {receipt.id} {when} (tieline schedule show {receipt.id})"
    if receipt.stored is not None:
        again = ", as it was before" if receipt.stored.duplicate else ""
        return f"stored {receipt.id} in {receipt.stored.stream}{again}"
    return f"published {receipt.id}"


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _tell_sum(done: int, as_json: bool) -> None:
    if as_json:
        click.echo(json_text({"published": done}))
    else:
        click.echo(f"published {counted(done, 'event')}")
