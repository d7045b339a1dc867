"""What commands share that join the broker for a moment: its options, how they get there, and how they end."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import click

from tieline.errors import InvalidArgumentError
from tieline.events import EventSystem
from tieline.settings import Settings
from tieline_gateway.cli.exit_codes import ExitCode

T = TypeVar("T")

FAILED, USAGE = ExitCode.FAILED, ExitCode.USAGE
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
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="TIELINE_TOKEN_FILE",
        help="The token for a gateway is in this file.",
    ),
]
ttl_option = click.option(
    "--ttl",
    type=click.FloatRange(0.001, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long instances have to answer.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Broker(NamedTuple):
    """Where to go, and how to be let in."""

    url: str
    namespace: str
    token: str = ""

    @property
    def is_gateway(self) -> bool:
        """Whether a gateway is in between."""
        return self.url.startswith("grpc")

    @property
    def is_redis(self) -> bool:
        """Whether nothing is in between."""
        return self.url.startswith(("redis", "unix"))

    @property
    def address(self) -> str:
        """The URL without its password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def system(self, **options: Any) -> EventSystem:
        """An event system there, which has not begun.

        Raises:
            InvalidArgumentError: the URL is none, or of a broker nobody else can be at.

        """
        if not self.url or self.url.startswith("memory:"):
            raise InvalidArgumentError(
                "memory:// is inside one process, where nobody else can look: give --url, or set TIELINE_URL"
            )
        usual: dict[str, Any] = {"service": "tieline", "settings": Settings(system_events=False)}
        return EventSystem(self.with_token(), namespace=self.namespace, **{**usual, **options})

    def visit(self, ask: Callable[[EventSystem], Awaitable[T]], **options: Any) -> T:
        """Join the broker, ask, and leave."""
        return asyncio.run(_visit(self.system(**options), ask))

    def with_token(self) -> str:
        """The URL as clients take it, with the token in it."""
        parts = urlsplit(self.url)
        if not self.token or not self.is_gateway or parts.password:
            return self.url
        return urlunsplit(parts._replace(netloc=f":{quote(self.token, safe='')}@{parts.netloc}"))


async def _visit(system: EventSystem, ask: Callable[[EventSystem], Awaitable[T]]) -> T:
    async with system as events:
        return await ask(events)


def with_broker(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a broker, and the argument `broker` instead of them."""

    @functools.wraps(function)
    def command(*args: Any, url: str, namespace: str, token_file: Path | None, **options: Any) -> None:
        function(*args, broker=Broker(url, namespace, _token(token_file)), **options)

    wrapped: Callable[..., None] = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeError) as error:
        raise InvalidArgumentError(f"cannot read the token in {path}: {error}") from None


def fail(message: str, code: int) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"tieline: {visible_line(message)}", err=True)
    sys.exit(code)


def visible_line(text: str) -> str:
    """A sentence with words of others in it, without what a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
