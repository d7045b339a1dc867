"""What commands share that ask one gateway over HTTP: its address, how they are let in, and how they end."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx

from tieline_gateway.cli.exit_codes import ExitCode, exit_code_of
from tieline_gateway.cli.visit import FAILED, USAGE, fail

_USUAL = "http://127.0.0.1:8080"
_SECONDS = 15.0
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = [
    click.option(
        "--web",
        "address",
        default=_USUAL,
        show_default=True,
        envvar="TIELINE_WEB",
        metavar="URL",
        help="Where the gateway serves HTTP.",
    ),
    click.option(
        "--token-file", type=_file, envvar="TIELINE_TOKEN_FILE", help="The token for a gateway is in this file."
    ),
    click.option("--ca-file", type=_file, help="PEM file of the authorities to trust instead of the system's."),
]


class Web(NamedTuple):
    """One gateway, and how to be let in."""

    address: str
    token: str = ""
    authorities: Path | None = None

    def ask(self, method: str, path: str) -> Any:
        """Ask, and return what was answered; what goes wrong ends the program."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        target = self.address.rstrip("/") + path
        try:
            verify = ssl.create_default_context(cafile=self.authorities)
            answer = httpx.request(method, target, headers=headers, timeout=_SECONDS, verify=verify)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ssl.SSLError) as error:
            fail(f"{self.address} cannot be asked: {error}", USAGE)
        except httpx.HTTPError as error:
            why = error or type(error).__name__
            fail(f"{self.address} did not answer: {why}; is `tieline up` running there?", ExitCode.UNREACHABLE)
        return _told(answer)


def with_web(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a gateway's HTTP face, and the argument `web` instead of them."""

    @functools.wraps(function)
    def command(*args: Any, address: str, token_file: Path | None, ca_file: Path | None, **options: Any) -> None:
        function(*args, web=Web(address, _token(token_file), ca_file), **options)

    wrapped: Callable[..., None] = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _told(answer: httpx.Response) -> Any:
    try:
        told = answer.json()
    except ValueError:
        fail(f"{answer.url} answered {answer.status_code}, and no JSON; is that a gateway of this version?", FAILED)
    if not answer.is_success:
        problem: dict[str, Any] = told if isinstance(told, dict) else {}
        fail(str(problem.get("detail") or answer.reason_phrase), exit_code_of(str(problem.get("code"))))
    return told


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeError) as error:
        fail(f"cannot read the token in {path}: {error}", USAGE)
