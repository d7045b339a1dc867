"""What commands share that join the broker for a moment to ask something."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import click

from tieline.errors import InvalidArgumentError, TielineError
from tieline.events import EventSystem

T = TypeVar("T")

FAILED, USAGE = 1, 2
_OPTIONS = [
    click.option(
        "--url",
        "--redis-url",
        default="",
        envvar=["TIELINE_URL", "REDIS_URL"],
        help="Redis, or a gateway (grpc://host:port); else TIELINE_URL, else REDIS_URL.",
    ),
    click.option("--namespace", default="", envvar="TIELINE_NAMESPACE", help="Separates installations on one Redis."),
    click.option(
        "--ttl",
        type=click.FloatRange(0.001, 3600),
        default=2.0,
        show_default=True,
        metavar="SECONDS",
        help="How long instances have to answer.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
]


def visiting(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a visit: url, namespace, ttl, as_json."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def visit(url: str, namespace: str, ask: Callable[[EventSystem], Awaitable[T]]) -> T:
    """Join the broker, ask, and leave. What goes wrong ends the program with one line."""
    if not url or url.startswith("memory:"):
        fail("memory:// is inside one process, where nobody else can look: give --url, or set TIELINE_URL", USAGE)
    try:
        return asyncio.run(_visit(url, namespace, ask))
    except InvalidArgumentError as error:
        fail(str(error), USAGE)
    except TielineError as error:
        fail(str(error), FAILED)


async def _visit(url: str, namespace: str, ask: Callable[[EventSystem], Awaitable[T]]) -> T:
    async with EventSystem(url, service="tieline", namespace=namespace) as events:
        return await ask(events)


def print_json(value: Any) -> None:
    """Print a document for programs; what JSON cannot say is told as text."""
    click.echo(json.dumps(value, indent=2, default=str))


def fail(message: str, code: int) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"tieline: {message}", err=True)
    sys.exit(code)
