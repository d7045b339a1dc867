"""`tieline call`."""

from __future__ import annotations

import sys
from typing import Any

import click

from tieline.calls.gather import Gathered, Responder
from tieline.calls.retry import Retry
from tieline.errors import TielineError
from tieline.events import EventSystem
from tieline_gateway.cli.arguments import DURATION, header_option, headers_of, read_payload
from tieline_gateway.cli.exit_codes import ExitCode, exit_code
from tieline_gateway.cli.failure import spoken
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.page import Page, visible
from tieline_gateway.cli.plain import error_document, json_text, plain, print_json
from tieline_gateway.cli.visit import Broker, json_option, with_broker

_HEADS = ("SERVICE", "INSTANCE", "GROUP", "ANSWER")
_SHORT = 8


@click.command(
    epilog=examples(
        "tieline call calculate.sum '[1, 2, 3]'",
        "tieline call report.make @report.json --ttl 5m --wait 10",
        "tieline call invoice.pay '{\"amount\": 10}' --idempotency-key inv-7",
        "tieline call count.down 3 --stream",
        "tieline call cache.size --gather --every-instance",
    )
)
@click.argument("topic")
@click.argument("data", required=False)
@click.option("--ttl", type=DURATION, default="30", show_default=True, help="How long to wait: 5, 500ms, 2m.")
@click.option("--wait", type=DURATION, default="0", help="Wait so long for somebody who answers.")
@click.option("--stream", is_flag=True, help="Print each item of a streaming reply, one a line.")
@click.option("--gather", is_flag=True, help="Ask one of each group or service, and print all answers.")
@click.option("--every-instance", is_flag=True, help="With --gather: ask each instance.")
@click.option("--idempotent", is_flag=True, help="It may be sent again although it may have run.")
@click.option("--idempotency-key", help="Run it once for all calls with this key.")
@click.option("--attempts", type=click.IntRange(1, 1000), help="Try so often, within the TTL.")
@header_option
@click.option("--schema-version", default="", help="Version of the payload's schema.")
@click.option("--correlation-id", default="", help="Name of the chain it belongs to.")
@json_option
@with_broker
def call(topic: str, data: str | None, *, broker: Broker, as_json: bool, **options: Any) -> None:
    """Call a responder, and print its reply as JSON.

    DATA is JSON, @FILE with JSON, or - for JSON from stdin; null unless given. With --json an error is JSON too, on
    stderr.
    """
    _check(options)
    asked = _Asked(topic, read_payload(data), options)
    try:
        broker.visit(asked.stream if options["stream"] else asked.gather if options["gather"] else asked.call)
    except TielineError as error:
        if not as_json:
            raise
        click.echo(json_text(error_document(error)), err=True)
        sys.exit(exit_code(error))
    if options["gather"]:
        _show(asked.gathered, as_json)


class _Asked:
    """One question."""

    gathered: Gathered

    def __init__(self, topic: str, data: Any, options: dict[str, Any]) -> None:
        self._topic, self._data, self._options = topic, data, options
        names = ("schema_version", "correlation_id", "ttl")
        self._common: dict[str, Any] = {name: options[name] for name in names}
        self._common["headers"] = headers_of(options["headers"])

    async def call(self, events: EventSystem) -> None:
        options = self._options
        retry = Retry(attempts=options["attempts"]) if options["attempts"] else None
        reply = await events.publish_and_wait(
            self._topic,
            self._data,
            idempotent=options["idempotent"],
            idempotency_key=options["idempotency_key"],
            wait_for_responders=options["wait"],
            retry=retry,
            **self._common,
        )
        click.echo(json_text(reply, indent=2 if sys.stdout.isatty() else None))

    async def stream(self, events: EventSystem) -> None:
        options = {"idempotent": self._options["idempotent"], "wait_for_responders": self._options["wait"]}
        async with events.publish_and_stream(self._topic, self._data, **options, **self._common) as items:
            async for item in items:
                click.echo(json_text(item))

    async def gather(self, events: EventSystem) -> None:
        every = self._options["every_instance"]
        self.gathered = await events.publish_and_gather(self._topic, self._data, every_instance=every, **self._common)


def _check(options: dict[str, Any]) -> None:
    if options["stream"] and options["gather"]:
        raise click.UsageError("--stream reads one responder and --gather asks all: give one of them")
    if options["every_instance"] and not options["gather"]:
        raise click.UsageError("--every-instance goes with --gather")
    for name in ("idempotency_key", "attempts"):
        if options[name] and (options["stream"] or options["gather"]):
            raise click.UsageError(f"--{name.replace('_', '-')} is for a call with one reply")
    for name in ("wait", "idempotent"):
        if options[name] and options["gather"]:
            raise click.UsageError(f"--{name} is for a call with one responder")


def _show(gathered: Gathered, as_json: bool) -> None:
    """All answers; ends with the code of the first trouble if nobody replied."""
    failures = [(failure, False) for failure in gathered.errors] + [(failure, True) for failure in gathered.missing]
    if as_json:
        replies = [_who(reply.responder) | {"data": plain(reply.value)} for reply in gathered.replies]
        others = [
            _who(failure.responder) | {"error": error_document(failure.error), "missing": missing}
            for failure, missing in failures
        ]
        print_json({"answers": [*replies, *others]})
    else:
        rows = [(*_named(reply.responder), json_text(reply.value)) for reply in gathered.replies]
        rows += [(*_named(failure.responder), visible(spoken(failure.error))) for failure, _ in failures]
        styles = [""] * len(gathered.replies) + ["yellow" if missing else "red" for _, missing in failures]
        Page().table(_HEADS, rows, styles, indent=0, below=4)
    sys.exit(ExitCode.FINE if gathered.replies or not failures else exit_code(failures[0][0].error))


def _who(responder: Responder) -> dict[str, str]:
    return {"service": responder.service, "instance": responder.instance, "group": responder.group}


def _named(responder: Responder) -> tuple[str, str, str]:
    return visible(responder.service), visible(responder.instance[:_SHORT]), visible(responder.group)
