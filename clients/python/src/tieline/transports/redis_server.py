"""Finding and greeting a Redis server: the URL, TLS, HELLO, and what is wrong when it does not work."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from redis.connection import parse_url

from tieline.errors import (
    InvalidArgumentError,
    Outcome,
    OverloadedError,
    PermissionDeniedError,
    TielineError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError

_PARAMETERS = ("db", "username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
_LET_PASS = frozenset(
    {
        "client_name",
        "decode_responses",
        "encoding",
        "health_check_interval",
        "max_connections",
        "protocol",
        "retry_on_error",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "ssl_check_hostname",
        "timeout",
    }
)
_OLDEST = (7, 0)
_CHECK = "is it running, and is TIELINE_URL or REDIS_URL right?"


class ClientId(NamedTuple):
    """A connection as the server sees it. Numbers begin again with a server; with the address they do not lie."""

    number: str
    address: str


class RedisServer:
    """One server, as a URL names it."""

    def __init__(self, url: str) -> None:
        try:
            self._options: dict[str, Any] = dict(parse_url(url))
        except (ValueError, TypeError) as error:
            raise InvalidArgumentError(f"the Redis URL cannot be read: {error}") from None
        parts = urlsplit(url)
        _check_parameters(parts.query)
        if parts.scheme != "unix" and not parts.path.strip("/").isdigit() and parts.path not in ("", "/"):
            raise InvalidArgumentError(f"the Redis URL cannot be read: {parts.path!r} is no database number")
        self.database = int(self._options.get("db") or 0)
        self._path: str = self._options.get("path", "")
        self._host: str = self._options.get("host") or "localhost"
        self._port = int(self._options.get("port") or 6379)
        self._tls = tls_context(self._options) if parts.scheme == "rediss" else None
        self.address = unquote(self._path) if self._path else f"{self._host}:{self._port}"

    def prefix(self, namespace: str) -> str:
        """What the names of an installation begin with; pub/sub ignores databases, so they name theirs."""
        return "tl:" if not namespace and not self.database else f"tl:{namespace}@{self.database}:"

    async def connect(self, make: Callable[[], RedisLink], name: str, seconds: float) -> tuple[RedisLink, ClientId]:
        """A greeted link, and what the server calls it.

        Raises:
            UnavailableError, UnauthenticatedError, UnsupportedError: what is wrong, where, and what to do.

        """
        link: RedisLink | None = None
        try:
            async with asyncio.timeout(seconds):
                link = await self._connect(make)
                return link, await self._greet(link, name)
        except TimeoutError:
            check = "does it speak TLS, as rediss:// asks?" if self._tls else _CHECK
            error: TielineError = self._unavailable(f"no answer within {seconds:g} s; {check}")
        except LinkDownError as down:
            error = self._unavailable(f"{down}; {_CHECK}")
        except ReplyError as refusal:
            error = self._refused(str(refusal))
        except (OSError, ssl.SSLError) as failure:
            error = self._unavailable(f"{failure.strerror or failure}; {_CHECK}")
        except UnicodeError as strange:
            error = self._unavailable(f"that is no name of a host ({strange}); {_CHECK}")
        except TielineError as other:
            error = other
        except asyncio.CancelledError:
            if link is not None:
                link.abort("called off")
            raise
        if link is not None:
            link.abort("the greeting failed")
        raise error

    async def _connect(self, make: Callable[[], RedisLink]) -> RedisLink:
        loop = asyncio.get_running_loop()
        if self._path:
            return (await loop.create_unix_connection(make, self._path))[1]
        return (await loop.create_connection(make, self._host, self._port, ssl=self._tls))[1]

    async def _greet(self, link: RedisLink, name: str) -> ClientId:
        password = self._options.get("password")
        login = ["AUTH", self._options.get("username") or "default", password] if password else []
        hello = await link.call("HELLO", 3, *login, "SETNAME", name)
        if not isinstance(hello, (dict, list)):
            raise self._unavailable(f"it answered HELLO with {hello!r}, so it is no Redis; {_CHECK}")
        self._check(as_map(hello))
        if self.database:
            await link.call("SELECT", self.database)
        if self._path:
            return ClientId("", "")  # a unix socket cannot be half open, and all of its clients share one address
        told = await link.call("CLIENT", "INFO")
        if not isinstance(told, bytes):
            raise self._unavailable(f"it answered CLIENT INFO with {told!r}, so it is no Redis; {_CHECK}")
        parts = (part.partition("=") for part in told.decode("utf-8", "replace").split())
        info = {name: value for name, _, value in parts}
        return ClientId(info.get("id", ""), info.get("addr", ""))

    def _check(self, hello: dict[str, Any]) -> None:
        version = str(hello.get("version", "0"))
        server = str(hello.get("server", "redis"))
        if hello.get("mode") == "cluster":
            raise UnsupportedError(f"{self.address} is a Redis Cluster; use a single server or its primary for now")
        if hello.get("mode") == "sentinel":
            raise UnsupportedError(f"{self.address} is a Sentinel; give the address of the primary it watches")
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _OLDEST:
            raise UnsupportedError(f"{self.address} is {server} {version}; Redis 7.0 or Valkey 8 is the oldest we use")

    def _refused(self, message: str) -> TielineError:
        code = message.split(" ", 1)[0]
        if code == "NOAUTH":
            hint = "put its password into the URL, redis://:PASSWORD@host"
            return UnauthenticatedError(f"Redis at {self.address} wants a password: {hint}")
        if code == "WRONGPASS" or "without any password" in message:
            hint = "check user and password in the URL"
            return UnauthenticatedError(f"Redis at {self.address} refused the login: {message}; {hint}")
        if code == "NOPERM":
            return PermissionDeniedError(f"Redis at {self.address}: {message}")
        if code == "NOPROTO" or (code == "ERR" and "HELLO" in message.upper()):
            return UnsupportedError(f"{self.address} does not know RESP3 ({message}); Redis 7.0 or Valkey 8 is needed")
        return self._unavailable(message)

    def _unavailable(self, what: str) -> UnavailableError:
        return UnavailableError(f"cannot use Redis at {self.address}: {what}", outcome=Outcome.NOT_DELIVERED)


def _check_parameters(query: str) -> None:
    """Those of redis-py that mean nothing here are let pass: REDIS_URL may be shared with it."""
    for name in parse_qs(query, keep_blank_values=True):
        if name not in _PARAMETERS and name not in _LET_PASS:
            raise InvalidArgumentError(
                f"the Redis URL has an unknown parameter {name!r:.80}; known are {', '.join(_PARAMETERS)}"
            )


def as_map(reply: Any) -> dict[str, Any]:
    """A RESP3 map (or a flat RESP2 list) with text keys."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=False)
    return {_text(key): _text(value) for key, value in pairs}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def tls_context(options: dict[str, Any]) -> ssl.SSLContext:
    """TLS as redis-py's URL options ask for it: ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs=none.

    Raises:
        InvalidArgumentError: a file is missing, or does not hold what it should.

    """
    authority, certificate, key = (options.get(f"ssl_{name}") for name in ("ca_certs", "certfile", "keyfile"))
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:  # also ssl.SSLError
        files = ", ".join(file for file in (authority, certificate, key) if file)
        raise InvalidArgumentError(f"cannot use {files}, which the Redis URL names: {error}") from None
    if str(options.get("ssl_cert_reqs", "required")).lower() in ("none", "cert_none"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


_IN_SCRIPT = ("ERR The user executing the script can't", "ERR ACL failure in script")


def command_error(failure: Exception) -> TielineError:
    """What a failed command means to a caller."""
    if isinstance(failure, LinkDownError):
        return UnavailableError(f"the connection to Redis broke while a command was out: {failure}")
    message = str(failure)
    code = message.split(" ", 1)[0]
    if code == "NOPERM" or message.startswith(_IN_SCRIPT):
        return PermissionDeniedError(message, from_wire=True)
    if code == "OOM":
        return OverloadedError(f"Redis is out of memory: {message}", retry_after=1.0, from_wire=True)
    return UnavailableError(f"Redis refused a command: {message}", outcome=Outcome.NOT_DELIVERED, from_wire=True)
