"""What a Redis server says of itself, for whoever looks for what is wrong with it. Nothing is written."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, NamedTuple

from tieline._contract import contract
from tieline.transports.redis_link import RedisLink, ReplyError, pack
from tieline.transports.redis_server import RedisServer, as_map, command_error

_PINGS = 20
_BUFFER_BYTES = 1 << 20
_SETTINGS = (
    "maxmemory-policy",
    "min-replicas-to-write",
    "client-output-buffer-limit",
    "save",
    "appendonly",
    "busy-reply-threshold",
    "timeout",
)
_VERBS = {
    "<key>": "DEL EXISTS GET HGETALL HKEYS HLEN HVALS PTTL SMEMBERS TYPE UNLINK ZCARD",
    "<key> f": "HDEL HEXISTS HGET HMGET SADD SREM ZRANK ZREM ZSCORE SET",
    "<key> f 1": "HINCRBY HSET HSETNX",
    "<key> 0": "HSCAN ZSCAN ZPOPMIN PEXPIRE",
    "<key> 0 1": "ZADD ZRANGE ZREMRANGEBYSCORE",
    "<key> <key>": "RENAME",
    "<key> 1 <key>": "ZUNIONSTORE",
    "<stream>": "XLEN",
    "<stream> 0-1": "XDEL",
    "<stream> g": "XPENDING",
    "<stream> g 0-1": "XACK",
    "<stream> g c 0 0-0": "XAUTOCLAIM",
    "<stream> * f v": "XADD",
    "<stream> - +": "XRANGE XREVRANGE",
    "<stream> MAXLEN 0": "XTRIM",
    "GROUP g c STREAMS <stream> >": "XREADGROUP",
    "CREATE <stream> g 0": "XGROUP",
    "DELCONSUMER <stream> g c": "XGROUP",
    "DESTROY <stream> g": "XGROUP",
    "CONSUMERS <stream> g": "XINFO",
    "GROUPS <stream>": "XINFO",
    "<channel>": "SUBSCRIBE UNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE",
    "<channel> m": "PUBLISH SPUBLISH",
    "SHARDNUMSUB <channel>": "PUBSUB",
    "s 0": "EVAL EVALSHA",
    "LOAD s": "SCRIPT",
    "INFO": "CLIENT",
    "0": "SCAN",
    "m": "ECHO",
    "": "TIME PING",
}
COMMANDS = tuple(f"{verb} {arguments}" for arguments, verbs in _VERBS.items() for verb in verbs.split())
"""Every command that clients and scripts use, with arguments of the right number."""


class RedisFacts(NamedTuple):
    """What was found out.

    Attributes:
        address: where it is.
        info: what INFO tells; empty if the user may not ask.
        settings: what CONFIG GET tells; None if the user may not ask.
        user: who we are there; empty if the user may not ask.
        denied: commands that the user may not run, as the server says it; None if the user may not ask.
        skew: seconds that this machine's clock is ahead of the server's.
        latency: seconds that each of a few PINGs took, the shortest first.

    """

    address: str
    info: dict[str, str]
    settings: dict[str, str] | None
    user: str
    denied: list[str] | None
    skew: float
    latency: list[float]


async def inspect(url: str, namespace: str, seconds: float) -> RedisFacts:
    """Ask a server about itself.

    Args:
        url: as for an event system.
        namespace: of the installation; its names are those that must be allowed.
        seconds: to wait for the connection.

    Raises:
        TielineError: it cannot be reached or used; the message says why and what to do.

    """
    server = RedisServer(url)
    link, _ = await server.connect(
        lambda: RedisLink(_nothing, _nothing, _BUFFER_BYTES), f"doctor-{os.getpid()}", seconds
    )
    try:
        return await _ask(link, server.address, _names(server.prefix(namespace)))
    except Exception as error:
        raise command_error(error) from None
    finally:
        link.close("all is asked")


def _names(prefix: str) -> dict[str, str]:
    """One name of each kind, as the installation has them."""
    return {
        "key": contract.members_key(prefix, "doctor"),
        "stream": contract.stream_key(prefix, "doctor", "key"),
        "channel": contract.inbox_channel(prefix, "doctor"),
    }


async def _ask(link: RedisLink, address: str, names: dict[str, str]) -> RedisFacts:
    info = _read_info(_text(await _maybe(link, "INFO", "everything") or ""))
    settings = await _maybe(link, "CONFIG", "GET", *_SETTINGS)
    user = _text(await _maybe(link, "ACL", "WHOAMI") or "")
    told = None if settings is None else {name: str(value) for name, value in as_map(settings).items()}
    denied = await _denied(link, user, names) if user else None
    return RedisFacts(address, info, told, user, denied, await _skew(link), sorted(await _latency(link)))


async def _maybe(link: RedisLink, *command: str) -> Any:
    """The reply, or None where the user may not ask, or the server does not know the command."""
    try:
        return await link.call(*command)
    except ReplyError as refusal:
        if str(refusal).startswith(("NOPERM", "ERR unknown")):
            return None
        raise


async def _denied(link: RedisLink, user: str, names: dict[str, str]) -> list[str] | None:
    """What the user may not do, without doing it."""
    commands = [[names.get(word.strip("<>"), word) for word in command.split()] for command in COMMANDS]
    asked = [link.ask(pack("ACL", "DRYRUN", user, *command)) for command in commands]
    told = await asyncio.gather(*asked, return_exceptions=True)
    if any(isinstance(reply, BaseException) for reply in told):
        return None
    refusals = {_text(reply) for reply in told}
    return sorted(refusal for refusal in refusals if refusal != "OK")


async def _skew(link: RedisLink) -> float:
    asked = time.time()
    seconds, micros = await link.call("TIME")
    return (asked + time.time()) / 2 - (int(seconds) + int(micros) / 1_000_000)


async def _latency(link: RedisLink) -> list[float]:
    taken: list[float] = []
    for _ in range(_PINGS):
        asked = time.perf_counter()
        await link.call("PING")
        taken.append(time.perf_counter() - asked)
    return taken


def _read_info(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _nothing(_told: object) -> None:
    """Nothing is subscribed to, and losing the connection is told to whoever waits for a reply."""
