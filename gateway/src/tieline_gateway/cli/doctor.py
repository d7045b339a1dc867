"""`tieline doctor`."""

from __future__ import annotations

import asyncio
import sys
from importlib import metadata

import click

from tieline._contract.contract import CONTRACT_VERSION, DEFAULT_CONNECT_TIMEOUT_MS
from tieline.errors import InvalidArgumentError, PermissionDeniedError, TielineError
from tieline.history.stores import event_store
from tieline.transports.redis_inspect import inspect
from tieline_gateway.address import Address, parse_address
from tieline_gateway.cli.arguments import DURATION
from tieline_gateway.cli.environment import warn_of_unknown_variables
from tieline_gateway.cli.exit_codes import ExitCode
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.page import Page, visible
from tieline_gateway.cli.plain import plain, print_json
from tieline_gateway.cli.visit import Broker, json_option, with_broker
from tieline_gateway.diagnosis.finding import Finding, Level, error, fine, warning
from tieline_gateway.diagnosis.ports import check_grpc_port, check_http_port
from tieline_gateway.diagnosis.redis import check_redis
from tieline_gateway.diagnosis.work import check_work
from tieline_gateway.settings import DEFAULT_HTTP, DEFAULT_LISTEN, NO_HTTP

_MARKS = {Level.FINE: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.ERROR: ("✗", "red")}
_MORE_RIGHTS = (
    "for Redis, docs/redis-acl.md tells what a user needs; "
    "for a gateway, use a token of a principal with admin over '>'"
)
_CONNECT_SECONDS = DEFAULT_CONNECT_TIMEOUT_MS / 1000


@click.command(
    epilog=examples("tieline doctor", "tieline doctor --url redis://10.0.0.5 --json", "tieline doctor --stuck-after 1h")
)
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, envvar="TIELINE_LISTEN", help="A gateway's gRPC.")
@click.option("--http", default=DEFAULT_HTTP, show_default=True, envvar="TIELINE_HTTP", help="A gateway's HTTP.")
@click.option("--history", metavar="URL", default="", envvar="TIELINE_HISTORY", help="Try this database, too.")
@click.option(
    "--stuck-after",
    type=DURATION,
    default="5m",
    show_default=True,
    help="A group is stuck whose events wait so long.",
)
@json_option
@with_broker
def doctor(*, broker: Broker, listen: str, http: str, history: str, stuck_after: float, as_json: bool) -> None:
    """Say what is wrong, and how to mend it.

    Looks at this machine, the broker, and what is stored there. Nothing is changed. Ends with 1 if something does
    not work (✗); warnings (!) do not count.
    """
    warn_of_unknown_variables()
    ports = parse_address(listen), None if http == NO_HTTP else parse_address(http)
    found = asyncio.run(_examine(broker, ports, history, stuck_after))
    if as_json:
        print_json({"healthy": _healthy(found), "findings": [plain(each) for each in found]})
    else:
        _show(found)
    sys.exit(ExitCode.FINE if _healthy(found) else ExitCode.FAILED)


async def _examine(
    broker: Broker, ports: tuple[Address, Address | None], history: str, stuck_seconds: float
) -> list[Finding]:
    found = [_version(), await check_grpc_port(ports[0])]
    found += [await check_http_port(ports[1])] if ports[1] else []
    found += [await _store(history)] if history else []
    return [*found, *await _broker(broker, stuck_seconds)]


async def _broker(broker: Broker, stuck_seconds: float) -> list[Finding]:
    """The connection, the server behind it, and what is stored there; the first that fails is the last."""
    if not broker.url or broker.url.startswith("memory:"):
        advice = "give --url, or set TIELINE_URL; without it every process is alone, or a gateway is the broker"
        return [warning("broker", "no broker is named, so none was looked at", advice)]
    found: list[Finding] = []
    try:
        if broker.is_redis:
            facts = await inspect(broker.url, broker.namespace, _CONNECT_SECONDS)
            found += [fine("broker", f"Redis at {facts.address} answers"), *check_redis(facts)]
        async with broker.system(service="doctor") as events:
            found += [fine("broker", f"the gateway at {broker.address} answers")] if broker.is_gateway else []
            async for each in check_work(events, stuck_seconds):
                found.append(each)
    except TielineError as failure:
        found.append(_failed(failure))
    return found


def _failed(failure: TielineError) -> Finding:
    what, _, advice = failure.message.rpartition("; ")
    if isinstance(failure, PermissionDeniedError):
        return error("broker", failure.message, _MORE_RIGHTS)
    busy = "a script hangs there: SCRIPT KILL ends it; busy-reply-threshold says after which time it counts as hanging"
    if "BUSY" in failure.message:
        return error("broker", failure.message, busy)
    return error("broker", what or failure.message, advice if what else "see the sentence before")


def _version() -> Finding:
    number = metadata.version("tieline-gateway")
    client = metadata.version("tieline")
    told = f"tieline-gateway {number}, tieline {client}, agreement {CONTRACT_VERSION}, Python {sys.version.split()[0]}"
    if number != client:
        return warning(
            "version", told, "the client and the gateway belong together: pip install -U tieline tieline-gateway"
        )
    return fine("version", told)


async def _store(url: str) -> Finding:
    """Whether history can be kept there."""
    check = "history store"
    try:
        store = event_store(url)
        try:
            await store.figures()
        finally:
            await store.aclose()
    except InvalidArgumentError as failure:
        return error(check, failure.message, "it is sqlite:///path/of/file.db or postgresql://user@host/database")
    except Exception as failure:
        return error(check, str(failure), "look whether the database runs, and whether this user may write there")
    return fine(check, "it can be used")


def _healthy(found: list[Finding]) -> bool:
    return all(each.level is not Level.ERROR for each in found)


def _show(found: list[Finding]) -> None:
    page = Page()
    for each in found:
        mark, style = _MARKS[each.level]
        page.line(f"{mark} {each.check}: {visible(each.found)}", style if each.level is not Level.FINE else "")
        if each.advice:
            page.line(f"→ {visible(each.advice)}", indent=2)
    errors, warnings = (sum(each.level is level for each in found) for level in (Level.ERROR, Level.WARNING))
    page.line()
    page.line(f"{errors} to mend, {warnings} to think about, {len(found) - errors - warnings} fine", "bold")
