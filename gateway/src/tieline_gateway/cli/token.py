"""`tieline token`: make named tokens, list them, revoke them. The file holds their sums only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from tieline_gateway.access.permissions import Action
from tieline_gateway.access.rules import Rules, RulesError, check_rules
from tieline_gateway.access.token_file import (
    Holder,
    KeptToken,
    change_tokens,
    new_id,
    new_token,
    read_tokens,
    token_sum,
)

_USAGE, _NOT_FOUND = 2, 1
_DAY_MS = 86_400_000
_FILE = click.option(
    "--tokens",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="tieline-tokens.json",
    show_default=True,
    envvar="TIELINE_TOKENS",
    help="The file; the gateway gets it as --tokens, and reads it again when it changes.",
)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group()
def token() -> None:
    """Make, list and revoke the tokens of named principals."""


def _with_rules(function: Callable[..., None]) -> Callable[..., None]:
    for action in reversed(Action):
        for name, what in ((f"deny-{action}", "Never"), (str(action), "May")):
            told = f"{what} {action}: a topic or pattern; may be repeated."
            function = click.option(f"--{name}", multiple=True, metavar="PATTERN", help=told)(function)
    function = click.option("--service", "services", multiple=True, help="May be this service; any without.")(function)
    return click.option("--everything", is_flag=True, help="May do everything.")(function)


@token.command()
@click.argument("name")
@_FILE
@click.option("--days", type=click.FloatRange(0, min_open=True), help="When it ends; never without.")
@_with_rules
@_AS_JSON
def create(*, name: str, path: Path, days: float | None, as_json: bool, **rules: Any) -> None:
    """Make a token for the principal NAME, and print it: this once, for nobody can find it out later.

    Rules replace those that NAME has in the file. They may stand in the gateway's configuration instead, under
    [principals.NAME].
    """
    made, now = new_token(), time.time_ns() // 1_000_000
    ends = 0 if days is None else now + int(days * _DAY_MS)
    kept = KeptToken(id=new_id(), sha256=token_sum(made), created=now, expires=ends)
    with _told(), change_tokens(path) as file:
        given = _rules(rules)
        check_rules(name, given or Rules())
        holder = file.principals.setdefault(name, Holder())
        holder.tokens.append(kept)
        holder.rules = given or holder.rules
    if as_json:
        _print({"principal": name, "token": made, "id": kept.id, "expires": ends or None})
        return
    click.echo(made)
    ending = f", until {_moment(ends)}" if ends else ""
    click.echo(f"id {kept.id}, of {name}{ending}; {path} holds its SHA-256 sum only: keep it now", err=True)


@token.command("list")
@_FILE
@_AS_JSON
def list_(*, path: Path, as_json: bool) -> None:
    """List tokens by their ids, and what their holders may do."""
    with _told():
        file = read_tokens(path)
    told = [_row(name, holder.rules, kept) for name, holder in file.principals.items() for kept in holder.tokens]
    if as_json:
        _print(told)
        return
    for row in told:
        ends = f"until {_moment(row['expires'])}" if row["expires"] else "for ever"
        click.echo(f"{row['id']}  {row['principal']}  since {_moment(row['created'])}, {ends}  {_said(row['rules'])}")
    if not told:
        click.echo("no tokens; `tieline token create NAME` makes one", err=True)


@token.command()
@click.argument("which")
@_FILE
def revoke(*, which: str, path: Path) -> None:
    """Revoke the token with the id WHICH, or all those of the principal WHICH. Their streams end within seconds."""
    with _told(), change_tokens(path) as file:
        gone = _remove(file.principals, which)
    if not gone:
        _fail(f"{path} has no token and no principal {which!r}; `tieline token list` tells them", _NOT_FOUND)
    click.echo(f"revoked {', '.join(gone)}")


@token.command("hash")
def hash_() -> None:
    """Read a token from standard input, and print its SHA-256 sum, as tokens_sha256 of the configuration takes it."""
    given = sys.stdin.readline().strip()
    if not given:
        _fail("give the token on standard input", _USAGE)
    click.echo(token_sum(given))


def _rules(given: dict[str, Any]) -> Rules | None:
    """What was given, if anything was."""
    lists = {name: list(values) for name, values in given.items() if isinstance(values, tuple) and values}
    if not lists and not given["everything"]:
        return None
    return msgspec.convert({"everything": given["everything"], **lists}, Rules)


def _remove(principals: dict[str, Holder], which: str) -> list[str]:
    gone: list[str] = []
    for name, holder in principals.items():
        revoked = [kept.id for kept in holder.tokens if which in (kept.id, name)]
        gone += revoked
        holder.tokens = [kept for kept in holder.tokens if kept.id not in revoked]
    return gone


def _row(name: str, rules: Rules | None, kept: KeptToken) -> dict[str, Any]:
    told = msgspec.to_builtins(rules) if rules else None
    return {"id": kept.id, "principal": name, "created": kept.created, "expires": kept.expires or None, "rules": told}


def _said(rules: dict[str, Any] | None) -> str:
    if rules is None:
        return "(rules: see the configuration)"
    return " ".join(f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in rules.items())


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _print(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except RulesError as error:
        _fail(str(error), _USAGE)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"tieline: {message}", err=True)
    sys.exit(code)
