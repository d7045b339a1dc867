"""`tieline dlq`: dead letters."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from tieline.durable.dead_letters import DeadLetter
from tieline.events import EventSystem
from tieline_gateway.cli.arguments import header_option, headers_of, parse_json, read_payload
from tieline_gateway.cli.exit_codes import ExitCode
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, away, confirm, short, show_list, show_one, yes_option
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.plain import json_text, plain
from tieline_gateway.cli.progress import Progress
from tieline_gateway.cli.visit import Broker, fail, json_option, with_broker
from tieline_gateway.counted import counted

_PAGE = 1000
_TOGETHER = 20
_COLUMNS: tuple[Column[DeadLetter], ...] = (
    Column("ID", lambda letter: letter.id),
    Column("GROUP", lambda letter: letter.group),
    Column("KEY", lambda letter: letter.event.key),
    Column("REASON", lambda letter: letter.reason),
    Column("TRIES", lambda letter: letter.attempts),
    Column("REDRIVEN", lambda letter: letter.redriven or ""),
    Column("WHEN", lambda letter: away(letter.time)),
    Column("ERROR", lambda letter: short(str(letter.error))),
)
_OF_TOPICS: tuple[Column[dict[str, Any]], ...] = (
    Column("TOPIC", lambda row: row["topic"]),
    Column("DEAD LETTERS", lambda row: row["shown"]),
)


def _filters(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--key", help="Those of this ordering key."),
        click.option("--reason", type=click.Choice(["failed", "rejected", "expired"]), help="Those given up for this."),
        click.option("--group", help="Those of this subscription group."),
    ):
        function = option(function)
    return function


@click.group(
    epilog=examples("tieline dlq list", "tieline dlq list order.placed", "tieline dlq redrive order.placed --all")
)
def dlq() -> None:
    """Dead letters: durable events that were given up."""


@dlq.command("list", epilog=examples("tieline dlq list", "tieline dlq list order.placed --reason failed --json"))
@click.argument("topic", required=False)
@_filters
@click.option("--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="So many at most.")
@click.option("--after", default="", metavar="ID", help="Those after this one.")
@json_option
@with_broker
def list_(topic: str | None, *, broker: Broker, as_json: bool, **options: Any) -> None:
    """List the dead letters of a topic, oldest first.

    Without TOPIC, how many each topic has.
    """
    if topic is None:
        if any(options[name] for name in ("group", "reason", "key", "after")):
            raise click.UsageError("filters go with a TOPIC")
        show_list(broker.visit(_counts), _OF_TOPICS, as_json=as_json, nothing="There are no dead letters.")
        return
    found = broker.visit(lambda events: events.dead_letters.list(topic, **options))
    following = found[-1].id if len(found) == options["limit"] else ""
    nothing = f"{topic} has no dead letters (of this kind)."
    show_list(found, _COLUMNS, as_json=as_json, nothing=nothing, more={"next": following})
    if following and not as_json:
        click.echo(f"There may be more: --after {following}", err=True)


async def _counts(events: EventSystem) -> list[dict[str, Any]]:
    counts: list[dict[str, Any]] = []
    for topic in sorted(await events.groups.topics()):
        number = len(await events.dead_letters.list(topic, limit=_PAGE))
        if number:
            more = number == _PAGE
            shown = f"{number:,} or more" if more else str(number)
            counts.append({"topic": topic, "count": number, "more": more, "shown": shown})
    return counts


@dlq.command(epilog=examples("tieline dlq show order.placed 1763784000000-0"))
@click.argument("topic")
@click.argument("id")
@json_option
@with_broker
def show(topic: str, id: str, *, broker: Broker, as_json: bool) -> None:
    """Show one dead letter, with its payload and its error."""
    show_one(broker.visit(lambda events: events.dead_letters.get(topic, id)), as_json=as_json)


@dlq.command(
    epilog=examples(
        "tieline dlq redrive order.placed 1763784000000-0",
        "tieline dlq redrive order.placed --group billing",
        "tieline dlq redrive order.placed --all",
    )
)
@click.argument("topic")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@_filters
@click.option("--all", "everything", is_flag=True, help="All of the topic.")
@json_option
@with_broker
def redrive(topic: str, ids: tuple[str, ...], *, broker: Broker, as_json: bool, **options: Any) -> None:
    """Put dead letters back, each for the group in which it failed.

    Those of these IDs, those that fit the filters, or all. Ends with 8 if one of the IDs is not there.
    """
    chosen = _chosen(ids, options)
    if ids:
        found = broker.visit(lambda events: _each(topic, ids, "redriving", events.dead_letters.redrive))
        _tell_each(found, "put back", as_json)
        return
    done = broker.visit(lambda events: _in_steps(events, topic, chosen, "redriving", events.dead_letters.redrive))
    _tell(done, "put back", as_json)


@dlq.command(
    epilog=examples("tieline dlq purge order.placed --reason expired", "tieline dlq purge order.placed --all --yes")
)
@click.argument("topic")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@_filters
@click.option("--all", "everything", is_flag=True, help="All of the topic.")
@yes_option
@json_option
@with_broker
def purge(topic: str, ids: tuple[str, ...], *, broker: Broker, as_json: bool, yes: bool, **options: Any) -> None:
    """Delete dead letters for good.

    Those of these IDs, those that fit the filters, or all. Ends with 8 if one of the IDs is not there.
    """
    chosen = _chosen(ids, options)
    confirm(f"Delete {len(ids) or 'all these'} dead letters of {topic} for good?", yes=yes)
    if ids:
        found = broker.visit(lambda events: _each(topic, ids, "deleting", events.dead_letters.purge))
        _tell_each(found, "deleted", as_json)
        return
    _tell(broker.visit(lambda events: events.dead_letters.purge(topic, **chosen)), "deleted", as_json)


@dlq.command(
    epilog=examples(
        "tieline dlq edit order.placed 1763784000000-0 '{\"id\": 7}'",
        "tieline dlq edit order.placed 1763784000000-0          in your $EDITOR",
    )
)
@click.argument("topic")
@click.argument("id")
@click.argument("data", required=False)
@header_option
@with_broker
def edit(topic: str, id: str, data: str | None, *, broker: Broker, headers: tuple[tuple[str, str], ...]) -> None:
    """Put a dead letter back with another payload.

    DATA is JSON, @FILE with JSON, or - for JSON from stdin; without it your editor opens with the payload.
    """
    letter = None if data is not None else broker.visit(lambda events: events.dead_letters.get(topic, id))
    payload = read_payload(data) if letter is None else _edited(letter)
    broker.visit(lambda events: events.dead_letters.edit(topic, id, payload, headers=headers_of(headers)))
    click.echo(f"put back {id} with another payload")


def _edited(letter: DeadLetter) -> Any:
    if not sys.stdin.isatty():
        raise click.UsageError("say which payload: DATA, @FILE, or - for stdin")
    before = json.dumps(plain(letter.event.data), indent=2, ensure_ascii=False)
    after = click.edit(before, extension=".json")
    if after is None or after.strip() == before:
        raise click.UsageError("nothing was changed, so it stays where it is; dlq redrive puts it back as it is")
    return parse_json(after, "what you wrote")


def _chosen(ids: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """What was said about which: filters, none for all or where there are IDs."""
    filters = {name: options[name] for name in ("group", "reason", "key") if options[name] is not None}
    if sum((bool(ids), bool(filters), options["everything"])) != 1:
        raise click.UsageError("say which dead letters: their IDs, or --group, --reason and --key, or --all")
    return filters


async def _each(topic: str, ids: Sequence[str], what: str, act: Callable[..., Any]) -> dict[str, bool]:
    """A few at a time; tells of each ID whether it was there."""
    found: dict[str, bool] = dict.fromkeys(ids, False)
    with Progress(what, len(found)) as bar:
        for first in range(0, len(found), _TOGETHER):
            some = list(found)[first : first + _TOGETHER]
            done = await asyncio.gather(*(act(topic, [each]) for each in some))
            found.update((each, bool(number)) for each, number in zip(some, done, strict=True))
            bar.update(first + len(some))
    return found


async def _in_steps(events: EventSystem, topic: str, chosen: dict[str, Any], what: str, act: Callable[..., Any]) -> int:
    """A few at a time, so that one sees how far it is; what was there when it began."""
    ids = await _ids(events, topic, chosen)
    done = 0
    with Progress(what, len(ids)) as bar:
        for first in range(0, len(ids), _TOGETHER):
            done += await act(topic, ids[first : first + _TOGETHER])
            bar.update(first + _TOGETHER)
    return done


async def _ids(events: EventSystem, topic: str, filters: dict[str, Any]) -> list[str]:
    ids: list[str] = []
    while page := await events.dead_letters.list(topic, **filters, after=ids[-1] if ids else "", limit=_PAGE):
        ids += [letter.id for letter in page]
    return ids


def _tell(done: int, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(json_text({what.replace(" ", "_"): done}))
    else:
        click.echo(f"{what} {counted(done, 'dead letter')}")


def _tell_each(found: dict[str, bool], what: str, as_json: bool) -> None:
    """Tell of those that were asked for by their IDs; ends with another code if one was not there."""
    missing = [each for each, there in found.items() if not there]
    done = len(found) - len(missing)
    if as_json:
        click.echo(json_text({what.replace(" ", "_"): done, "not_found": missing}))
    elif not missing:
        _tell(done, what, as_json)
    else:
        click.echo(f"{what} {done:,} of {counted(len(found), 'dead letter')}")
    if missing:
        fail(f"not there (any more): {visible(', '.join(missing))}", ExitCode.NOT_FOUND)
